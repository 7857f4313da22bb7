// Any bytes as a compressed request body: it is read or unreadable, never refused, and never edited.
#include "fuzz/request_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::reader;  // NOLINT(google-build-using-namespace)
  if (size < 2) return 0;
  constexpr std::string_view encodings[] = {"gzip", "zstd", "br"};
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const RequestApi api = static_cast<RequestApi>(data[0] / 3 % 3);
  const RequestFacts facts = read_request(api, body, encodings[data[0] % 3]);
  ASSERT(facts.status == BodyStatus::ok || facts.status == BodyStatus::unreadable);
  ASSERT(!facts.insert_usage);
  check_facts(api, body, facts);
  return 0;
}
