#include "base/ids.h"

#include <sys/random.h>

#include <array>
#include <bit>
#include <cerrno>
#include <string_view>

#include "base/assert.h"

namespace weir {
namespace {

void fill_with_random(void* out, size_t size) {
  ssize_t got = 0;
  do {
    got = getrandom(out, size, 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes come whole once the kernel's generator is ready, which this call waits for.
  ASSERT(got == static_cast<ssize_t>(size));
}

// xoshiro256** 1.0 (Blackman, Vigna; prng.di.unimi.it). Ids must differ, not be secret: nothing is authorised by one.
uint64_t next_random(std::array<uint64_t, 4>& s) {
  const uint64_t result = std::rotl(s[1] * 5, 7) * 9;
  const uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = std::rotl(s[3], 45);
  return result;
}

constexpr std::array<bool, 256> make_hex_digits() {
  std::array<bool, 256> digits{};
  for (const char digit : std::string_view("0123456789abcdefABCDEF")) digits[static_cast<unsigned char>(digit)] = true;
  return digits;
}
constexpr std::array<bool, 256> kHexDigits = make_hex_digits();
constexpr std::array<size_t, 5> kGroups = {8, 4, 4, 4, 12};  // digits, with a dash between two groups

}  // namespace

void Uuid::format(char* out) const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
    *out++ = kDigits[bytes[i] >> 4];
    *out++ = kDigits[bytes[i] & 15];
  }
}

std::string Uuid::text() const {
  std::string text(kUuidTextSize, '\0');
  format(text.data());
  return text;
}

bool is_uuid(std::string_view text) {
  if (text.size() != kUuidTextSize) return false;
  const char* at = text.data();
  bool right = true;
  for (const size_t group : kGroups) {
    for (const char* const end = at + group; at != end; ++at) right &= kHexDigits[static_cast<unsigned char>(*at)];
    if (at == text.data() + text.size()) break;
    right &= *at == '-';
    ++at;
  }
  return right;
}

UuidGenerator::UuidGenerator() {
  fill_with_random(state_.data(), sizeof(state_));
}

// RFC 9562 section 6.2, method 1: a counter of 32 bits stands in rand_a and the top 20 bits of rand_b. It begins anew
// at a random value in each millisecond, with its top bit clear, so that two thousand million ids fit before the
// timestamp has to run ahead of the clock.
Uuid UuidGenerator::next(int64_t unix_us) {
  const uint64_t now_ms = unix_us < 0 ? 0 : static_cast<uint64_t>(unix_us) / 1000;
  const uint64_t random = next_random(state_);
  if (now_ms > last_ms_) {
    last_ms_ = now_ms;
    counter_ = static_cast<uint32_t>(next_random(state_) >> 33);
  } else if (++counter_ == 0) {
    ++last_ms_;
  }
  Uuid id;
  for (size_t i = 0; i < 6; ++i) id.bytes[i] = static_cast<uint8_t>(last_ms_ >> (40 - 8 * i));
  id.bytes[6] = static_cast<uint8_t>(0x70 | (counter_ >> 28));
  id.bytes[7] = static_cast<uint8_t>(counter_ >> 20);
  id.bytes[8] = static_cast<uint8_t>(0x80 | ((counter_ >> 14) & 0x3F));
  id.bytes[9] = static_cast<uint8_t>(counter_ >> 6);
  id.bytes[10] = static_cast<uint8_t>((counter_ << 2) | (random & 3));
  for (size_t i = 11; i < 16; ++i) id.bytes[i] = static_cast<uint8_t>(random >> (8 * (i - 10)));
  return id;
}

Uuid random_uuid() {
  Uuid id;
  fill_with_random(id.bytes.data(), id.bytes.size());
  id.bytes[6] = static_cast<uint8_t>(0x40 | (id.bytes[6] & 0x0F));
  id.bytes[8] = static_cast<uint8_t>(0x80 | (id.bytes[8] & 0x3F));
  return id;
}

}  // namespace weir
