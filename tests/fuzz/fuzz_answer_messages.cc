// Any bytes as an answer of the Messages API.
#include "fuzz/answer_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return weir::reader::fuzz_answer(weir::reader::RequestApi::messages, data, size);
}
