#include "reader/content_coding.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>

#include "base/assert.h"
#include "base/sliced_work.h"

namespace weir::reader {
namespace {

constexpr size_t kStep = size_t{8} * 1024;
// As large as a decoded body may be: an encoder that knows the size may choose a window that holds it all.
constexpr int kZstdWindowLogMax = 26;
// zlib's own estimate for inflate with the largest window (zconf.h), rounded up.
constexpr size_t kZlibMemory = size_t{48} * 1024;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same_word(std::string_view text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) { return lower(a) == b; });
}

// Brotli does not tell how much it holds; each block starts with its size, to be counted.
struct alignas(std::max_align_t) BlockSize {
  size_t size;
};

void* counted_allocate(void* total, size_t size) {
  auto* const block = static_cast<BlockSize*>(std::malloc(sizeof(BlockSize) + size));
  ASSERT(block != nullptr);
  block->size = size;
  *static_cast<size_t*>(total) += size;
  return block + 1;
}

void counted_free(void* total, void* memory) {
  if (memory == nullptr) return;
  auto* const block = static_cast<BlockSize*>(memory) - 1;
  *static_cast<size_t*>(total) -= block->size;
  std::free(block);
}

}  // namespace

struct ContentDecoder::Impl {
  ContentCoding coding = ContentCoding::identity;
  bool at_end = false;
  z_stream gzip{};
  ZSTD_DCtx* zstd = nullptr;
  BrotliDecoderState* brotli = nullptr;
  size_t brotli_memory = 0;

  bool step_gzip(std::string_view& input, char* out, size_t room, size_t& written);
  bool step_zstd(std::string_view& input, char* out, size_t room, size_t& written);
  bool step_brotli(std::string_view& input, char* out, size_t room, size_t& written);
};

ContentCoding content_coding_of(std::string_view header_value) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!header_value.empty() && is_space(header_value.front())) header_value.remove_prefix(1);
  while (!header_value.empty() && is_space(header_value.back())) header_value.remove_suffix(1);
  if (header_value.empty() || same_word(header_value, "identity")) return ContentCoding::identity;
  if (same_word(header_value, "gzip") || same_word(header_value, "x-gzip")) return ContentCoding::gzip;
  if (same_word(header_value, "zstd")) return ContentCoding::zstd;
  if (same_word(header_value, "br")) return ContentCoding::brotli;
  return ContentCoding::unknown;
}

ContentDecoder::ContentDecoder() : impl_(std::make_unique<Impl>()) {}
ContentDecoder::~ContentDecoder() {
  end();
}

void ContentDecoder::begin(ContentCoding coding) {
  end();
  impl_->coding = coding;
  impl_->at_end = false;
  switch (coding) {
    case ContentCoding::gzip:
      impl_->gzip = {};
      ASSERT(inflateInit2(&impl_->gzip, 16 + MAX_WBITS) == Z_OK);  // 16: with gzip's header and checksum
      return;
    case ContentCoding::zstd:
      impl_->zstd = ZSTD_createDCtx();
      ASSERT(impl_->zstd != nullptr);
      ASSERT(ZSTD_isError(ZSTD_DCtx_setParameter(impl_->zstd, ZSTD_d_windowLogMax, kZstdWindowLogMax)) == 0);
      return;
    case ContentCoding::brotli:
      impl_->brotli = BrotliDecoderCreateInstance(counted_allocate, counted_free, &impl_->brotli_memory);
      ASSERT(impl_->brotli != nullptr);
      return;
    case ContentCoding::identity:
    case ContentCoding::unknown:
      break;
  }
  ASSERT(false);
}

void ContentDecoder::end() {
  if (impl_->coding == ContentCoding::gzip) inflateEnd(&impl_->gzip);
  if (impl_->zstd != nullptr) ZSTD_freeDCtx(impl_->zstd);
  if (impl_->brotli != nullptr) BrotliDecoderDestroyInstance(impl_->brotli);
  impl_->zstd = nullptr;
  impl_->brotli = nullptr;
  impl_->coding = ContentCoding::identity;
}

bool ContentDecoder::at_end() const {
  return impl_->at_end;
}

size_t ContentDecoder::memory() const {
  if (impl_->coding == ContentCoding::gzip) return kZlibMemory;
  return (impl_->zstd != nullptr ? ZSTD_sizeof_DCtx(impl_->zstd) : 0) + impl_->brotli_memory;
}

bool ContentDecoder::Impl::step_gzip(std::string_view& input, char* out, size_t room, size_t& written) {
  if (at_end) {
    if (input.empty()) return true;
    if (inflateReset(&gzip) != Z_OK) return false;  // RFC 1952, section 2.2: members follow each other
    at_end = false;
  }
  const size_t given = std::min(input.size(), size_t{1} << 30);
  gzip.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  gzip.avail_in = static_cast<uInt>(given);
  gzip.next_out = reinterpret_cast<Bytef*>(out);
  gzip.avail_out = static_cast<uInt>(room);
  const int result = inflate(&gzip, Z_NO_FLUSH);
  written = room - gzip.avail_out;
  input.remove_prefix(given - gzip.avail_in);
  at_end = result == Z_STREAM_END;
  return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;  // the last: nothing to do
}

bool ContentDecoder::Impl::step_zstd(std::string_view& input, char* out, size_t room, size_t& written) {
  if (at_end && input.empty()) return true;
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  ZSTD_outBuffer to{out, room, 0};
  const size_t result = ZSTD_decompressStream(zstd, &to, &in);
  if (ZSTD_isError(result) != 0) return false;
  written = to.pos;
  input.remove_prefix(in.pos);
  at_end = result == 0;
  return true;
}

bool ContentDecoder::Impl::step_brotli(std::string_view& input, char* out, size_t room, size_t& written) {
  if (at_end) return input.empty();
  size_t available = input.size();
  const auto* from = reinterpret_cast<const uint8_t*>(input.data());
  size_t left = room;
  auto* to = reinterpret_cast<uint8_t*>(out);
  const BrotliDecoderResult result = BrotliDecoderDecompressStream(brotli, &available, &from, &left, &to, nullptr);
  written = room - left;
  input.remove_prefix(input.size() - available);
  at_end = result == BROTLI_DECODER_RESULT_SUCCESS;
  return result != BROTLI_DECODER_RESULT_ERROR;
}

bool ContentDecoder::step(std::string_view& input, char* out, size_t room, size_t& written) {
  written = 0;
  switch (impl_->coding) {
    case ContentCoding::gzip:
      return impl_->step_gzip(input, out, room, written);
    case ContentCoding::zstd:
      return impl_->step_zstd(input, out, room, written);
    case ContentCoding::brotli:
      return impl_->step_brotli(input, out, room, written);
    case ContentCoding::identity:
    case ContentCoding::unknown:
      break;
  }
  return false;
}

bool decode_body(ContentDecoder& decoder, ContentCoding coding, std::string_view body, size_t size_max,
                 ByteBuffer& out) {
  out.clear();
  if (coding == ContentCoding::unknown) return false;
  const size_t by_ratio = body.size() > SIZE_MAX / kDecodedRatioMax ? SIZE_MAX : body.size() * kDecodedRatioMax;
  const size_t allowed = std::min(size_max, std::max(kDecodedFree, by_ratio));
  decoder.begin(coding);
  bool right = true;
  for (bool more = true; right && more;) {
    // Grown at once to all that it may need: only what is written takes memory, and nothing of it is copied again.
    if (out.capacity() - out.size() < kStep) out.reserve((out.size() < kDecodedFree ? kDecodedFree : allowed) + kStep);
    // Little of the input at once too: millions of blocks can stand in it that bear nothing.
    std::string_view part = body.substr(0, kStep);
    const size_t given = part.size();
    size_t written = 0;
    right = decoder.step(part, out.make_room(kStep), kStep, written) && written <= allowed - out.size();
    if (right) out.commit(written);
    const size_t taken = given - part.size();
    body.remove_prefix(taken);
    // A step that neither took nor wrote anything would be repeated for ever.
    right = right && (written > 0 || taken > 0 || body.empty());
    right = right && SlicedWork::spend(decoding_cost(taken, written));
    more = !body.empty() || written == kStep;
  }
  right = right && decoder.at_end();
  decoder.end();
  return right;
}

}  // namespace weir::reader
