// Any bytes as the body of a request of the Responses API.
#include "fuzz/request_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return weir::reader::fuzz_request(weir::reader::RequestApi::responses, data, size);
}
