// Any bytes as the body of a request of the Chat Completions API.
#include "fuzz/request_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return weir::reader::fuzz_request(weir::reader::RequestApi::chat_completions, data, size);
}
