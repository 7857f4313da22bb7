#include "gateway/hide.h"

#include <doctest/doctest.h>

#include <string>

namespace weir::gateway {

namespace {

constexpr std::string_view kHead =
    "POST /v1/messages HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-ant-api03-0123456789abcdefghij\r\n"
    "X-Api-Key: personal\r\nX-Team: blue-team-of-the-north\r\nX-Service-Token: 12\r\n\r\n";

}  // namespace

TEST_CASE("hide: a message that repeats the credential shows its hint") {
  CHECK(hide_credentials("bad key: sk-ant-api03-0123456789abcdefghij.", kHead) == "bad key: sk-a...ghij.");
  CHECK(hide_credentials("\"personal\" and personal", kHead) == "\"p...l\" and p...l");
}

TEST_CASE("hide: so does one that repeats a part which tells more than the hint") {
  CHECK(hide_credentials("cut: sk-ant-api03-0123456789a", kHead) == "cut: sk-a...ghij");
  CHECK(hide_credentials("middle 0123456789abcdef, end 456789abcdefghij", kHead) ==
        "middle sk-a...ghij, end sk-a...ghij");
}

TEST_CASE("hide: everything else stays as it is") {
  for (const std::string_view text : {"", "Bearer tokens only", "keys begin with sk-ant-api03-",
                                      "blue-team-of-the-north", "12 requests", "sk-ant-api03-01", "person"}) {
    CHECK(hide_credentials(text, kHead) == text);
  }
  CHECK(hide_credentials("anything", "") == "anything");
}

TEST_CASE("hide: no part of 16 bytes of the secret is left, wherever the text is cut") {
  const std::string secret = "sk-ant-api03-0123456789abcdefghij";
  const std::string text = "x" + secret + secret + " " + secret.substr(5) + "y";
  for (size_t from = 0; from < text.size(); ++from) {
    for (size_t to = from; to <= text.size(); ++to) {
      const std::string hidden = hide_credentials(std::string_view(text).substr(from, to - from), kHead);
      size_t left = 0;
      for (size_t i = 0; i + 16 <= secret.size(); ++i)
        left += hidden.find(secret.substr(i, 16)) == std::string::npos ? 0 : 1;
      CHECK(left == 0);
    }
  }
}

}  // namespace weir::gateway
