#include "gateway/hide.h"

#include <algorithm>
#include <utility>

#include "base/mask.h"
#include "base/secret.h"
#include "gateway/option.h"

namespace weir::gateway {

namespace {

// Shorter words ("Bearer", a count) are no secrets, and hiding them would garble the text.
constexpr size_t kSecretMin = 8;
// A part of this length tells more than a hint does. Keys begin alike ("sk-ant-api03-" is 13 bytes).
constexpr size_t kRunMin = 16;

std::string hide(std::string_view text, std::string_view secret) {
  const size_t least = std::min(kRunMin, secret.size());
  std::string out;
  while (text.size() >= least) {
    const size_t at = secret.find(text.substr(0, least));
    if (at == std::string_view::npos) {
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    size_t size = least;
    while (size < text.size() && at + size < secret.size() && text[size] == secret[at + size]) ++size;
    out += mask(secret);
    text.remove_prefix(size);
  }
  out += text;
  return out;
}

}  // namespace

std::string hide_credentials(std::string_view text, std::string_view request_head) {
  std::string out(text);
  while (!request_head.empty()) {
    const size_t end = request_head.find("\r\n");
    const std::string_view line = request_head.substr(0, end);
    request_head.remove_prefix(end == std::string_view::npos ? request_head.size() : end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_secret_header(line.substr(0, colon))) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty()) {
      const size_t blank = value.find_first_of(" \t");
      const std::string_view word = value.substr(0, blank);
      if (word.size() >= kSecretMin) {
        std::string hidden = hide(out, word);
        wipe(out);
        out = std::move(hidden);
      }
      value.remove_prefix(blank == std::string_view::npos ? value.size() : blank + 1);
    }
  }
  return out;
}

}  // namespace weir::gateway
