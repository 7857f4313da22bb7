#include "gateway/hide.h"

#include <doctest/doctest.h>

#include <string>

namespace weir::gateway {

namespace {

std::string hide(std::string_view text, std::string_view head) {
  return hide_credentials(text, head, 1024);
}

constexpr std::string_view kHead =
    "POST /v1/messages HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-ant-api03-0123456789abcdefghij\r\n"
    "X-Api-Key: personal\r\nX-Team: blue-team-of-the-north\r\nX-Service-Token: 12\r\n\r\n";

}  // namespace

TEST_CASE("hide: a message that repeats the credential shows its hint") {
  CHECK(hide("bad key: sk-ant-api03-0123456789abcdefghij.", kHead) == "bad key: sk-a...ghij.");
  CHECK(hide("\"personal\" and personal", kHead) == "\"p...l\" and p...l");
}

TEST_CASE("hide: so does one that repeats a part which tells more than the hint") {
  CHECK(hide("cut: sk-ant-api03-0123456789a", kHead) == "cut: sk-a...ghij");
  CHECK(hide("middle 0123456789abcdef, end 456789abcdefghij", kHead) == "middle sk-a...ghij, end sk-a...ghij");
}

TEST_CASE("hide: everything else stays as it is") {
  for (const std::string_view text : {"", "Bearer tokens only", "keys begin with sk-ant-api03-",
                                      "blue-team-of-the-north", "12 requests", "sk-ant-api03-01", "person"}) {
    CHECK(hide(text, kHead) == text);
  }
  CHECK(hide("anything", "") == "anything");
}

TEST_CASE("hide: no part of 16 bytes of the secret is left, wherever the text is cut") {
  const std::string secret = "sk-ant-api03-0123456789abcdefghij";
  const std::string text = "x" + secret + secret + " " + secret.substr(5) + "y";
  for (size_t from = 0; from < text.size(); ++from) {
    for (size_t to = from; to <= text.size(); ++to) {
      const std::string hidden = hide(std::string_view(text).substr(from, to - from), kHead);
      size_t left = 0;
      for (size_t i = 0; i + 16 <= secret.size(); ++i)
        left += hidden.find(secret.substr(i, 16)) == std::string::npos ? 0 : 1;
      CHECK(left == 0);
    }
  }
}

TEST_CASE("hide: a key that its provider has masked shows the hint, not the mask, which tells its length") {
  const auto hidden = [](std::string_view text) { return hide(text, kHead); };
  CHECK(hidden("provided: sk-ant-a****************ghij. See") == "provided: sk-a...ghij. See");
  CHECK(hidden("sk-a****") == "sk-a...ghij");
  CHECK(hidden("****ghij") == "sk-a...ghij");
  CHECK(hidden("sk-ant....fghij, \xE2\x80\xA2\xE2\x80\xA2\xE2\x80\xA2\xE2\x80\xA2"
               "ghij") == "sk-a...ghij, sk-a...ghij");
  CHECK(hidden("sk-antxxxxxxghij") == "sk-a...ghij");
  CHECK(hidden("sk-ant-api03-01234567****") == "sk-a...ghij");
  CHECK(hidden("pers****nal") == "p...lnal");
}

TEST_CASE("hide: masks beside anything else stay") {
  for (const std::string_view text : {"sk-****ij", "sk-ant***", "blue****", "wait....", "xxxx", "****", "sk-a *****"}) {
    CHECK(hide(text, kHead) == text);
  }
}

TEST_CASE("hide: of a long text so much as is kept, and no part of a key that is cut there") {
  const std::string key = "sk-ant-api03-0123456789abcdefghij";
  const std::string text = std::string(20, '-') + key + key + "****" + std::string(300, '-');
  for (size_t size = 0; size <= text.size(); ++size) {
    const std::string hidden = hide_credentials(text, kHead, size);
    CHECK(hidden == (size <= 20 ? text.substr(0, size)
                                : std::string(20, '-') + "sk-a...ghij" + std::string(size > 90 ? size - 90 : 0, '-')));
  }
}

}  // namespace weir::gateway
