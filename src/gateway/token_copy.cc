#include "gateway/token_copy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "gateway/head_index.h"
#include "gateway/option.h"

namespace weir::gateway {

namespace {

// A token of this length is in no other text by chance; a shorter one must be a word of its own.
constexpr size_t kUniqueMin = 16;
// More than a name and a token make; what is longer is no Basic credential.
constexpr size_t kBasicMax = 4096;

constexpr bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// The library's search in linear time: both texts are a peer's.
size_t find_in(std::string_view text, std::string_view part, size_t from) {
  const void* found = ::memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? text.npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

bool contains(std::string_view text, std::string_view token) {
  for (size_t at = find_in(text, token, 0); at != text.npos; at = find_in(text, token, at + 1)) {
    const size_t end = at + token.size();
    if (token.size() >= kUniqueMin) return true;
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

// "Basic" and the base64 of "user:password" (RFC 7617), either of which may be the token.
bool basic_contains(std::string_view value, std::string_view token) {
  constexpr std::string_view kScheme = "basic";
  value = trim(value);
  if (value.size() <= kScheme.size() || value.size() > kBasicMax || !is_blank(value[kScheme.size()])) return false;
  if (!wire::equals_ignoring_case(value.substr(0, kScheme.size()), kScheme)) return false;
  std::array<char, kBasicMax> decoded;
  size_t size = 0;
  unsigned bits = 0;
  unsigned bit_count = 0;
  for (const char c : trim(value.substr(kScheme.size()))) {
    const int six = base64_value(c);
    if (six < 0) break;
    bits = (bits << 6 | static_cast<unsigned>(six)) & 0xFFFF;
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    decoded[size++] = static_cast<char>(bits >> bit_count & 0xFF);
  }
  const bool found = contains({decoded.data(), size}, token);
  std::fill_n(decoded.begin(), size, '\0');
  return found;
}

std::string_view cookie_value(std::string_view cookie) {
  const size_t equals = cookie.find('=');
  return equals == cookie.npos ? cookie : cookie.substr(equals + 1);
}

bool is_cookie(const wire::Header& header) {
  return wire::equals_ignoring_case(header.name, "cookie");
}

// Calls `use(cookie)` for each part between semicolons, with the blanks around it.
template <class Use>
void for_each_cookie(std::string_view cookies, Use&& use) {
  for (;;) {
    const size_t end = cookies.find(';');
    use(cookies.substr(0, end));
    if (end == cookies.npos) return;
    cookies.remove_prefix(end + 1);
  }
}

}  // namespace

bool holds_token(std::string_view value, std::string_view token) {
  if (token.empty() || value.size() < token.size()) return false;
  return contains(value, token) || basic_contains(value, token);
}

// Most values are shorter than a token, and nearly none holds one: the name is looked at last.
TokenCopy find_token_copy(const wire::Header& header, std::string_view token) {
  if (!holds_token(header.value, token)) return TokenCopy::none;
  if (!is_cookie(header)) return is_secret_header(header.name) ? TokenCopy::header : TokenCopy::none;
  bool found = false;
  for_each_cookie(header.value, [&](std::string_view cookie) { found |= holds_token(cookie_value(cookie), token); });
  return found ? TokenCopy::cookie : TokenCopy::none;
}

void append_other_cookies(const wire::Header& header, std::string_view token, ByteBuffer& out) {
  const size_t begin = out.size();
  out.append(header.name);
  out.append(": ");
  bool begun = false;
  bool any = false;
  for_each_cookie(header.value, [&](std::string_view cookie) {
    if (holds_token(cookie_value(cookie), token)) return;
    std::string_view kept = cookie;
    if (std::exchange(begun, true)) {
      out.append(';');
    } else {  // blanks before a value are no part of it
      while (!kept.empty() && is_blank(kept.front())) kept.remove_prefix(1);
    }
    out.append(kept);
    any = any || !trim(cookie).empty();
  });
  if (!any) {
    out.truncate(begin);
    return;
  }
  out.append("\r\n");
}

}  // namespace weir::gateway
