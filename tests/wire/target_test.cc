#include "wire/target.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "support/splits.h"

namespace {

using namespace weir::wire;

TEST_CASE("target: path and query as the client sent them") {
  const Target target = parse_target("/v1/messages?beta=true&x=%2F/../?");
  CHECK(target.fault == TargetFault::none);
  CHECK(target.path == "/v1/messages");
  CHECK(target.has_query);
  CHECK(target.query == "beta=true&x=%2F/../?");
}

TEST_CASE("target: no query and an empty query differ") {
  CHECK_FALSE(parse_target("/a").has_query);
  CHECK(parse_target("/a?").has_query);
  CHECK(parse_target("/a?").query.empty());
}

TEST_CASE("target: absolute form is its path and query") {
  CHECK(parse_target("http://h/a?b").path == "/a");
  CHECK(parse_target("http://h/a?b").query == "b");
  CHECK(parse_target("HTTPS://h:443/a").path == "/a");
  CHECK(parse_target("http://[::1]:80/a").path == "/a");
  CHECK(parse_target("http://h").path == "/");
  CHECK(parse_target("http://h?b").path == "/");
  CHECK(parse_target("http://h?b").query == "b");
  CHECK(parse_target("http://h:80/a?b").authority == "h:80");
  CHECK(parse_target("http://h?b").authority == "h");
  CHECK(parse_target("//h/a").authority.empty());
}

TEST_CASE("target: paths that look odd and are sound") {
  for (const std::string path : {"/",
                                 "//",
                                 "/a//b",
                                 "/a/",
                                 "/...",
                                 "/.a",
                                 "/a.",
                                 "/..a",
                                 "/a..",
                                 "/a/.well-known/x",
                                 "/%20",
                                 "/%C3%A9",
                                 "/a%2Eb",
                                 "/%2e%2e%2e",
                                 "/%2e.a",
                                 "/a:b@c",
                                 "/~!$&'()*+,;=",
                                 "/[x]",
                                 "/\"<>^`{|}",
                                 "/;",
                                 "/;/a",
                                 "/;..",
                                 "/a;..",
                                 "/a;b=../c",
                                 "/...;a",
                                 "/%2e%2e%2e%3b",
                                 "/.a;b",
                                 "/..%3a",
                                 "/.%20;",
                                 "/..%253b",
                                 "/%25",
                                 "/%252f",
                                 "/%252e%252e/"}) {
    CAPTURE(path);
    const Target target = parse_target(path);
    CHECK(target.fault == TargetFault::none);
    CHECK(target.path == path);
  }
}

struct Refused {
  const char* target;
  TargetFault fault;
};

TEST_CASE("target: what is refused, and why") {
  using enum TargetFault;
  constexpr Refused kRows[] = {
      {"", not_a_path},
      {"*", not_a_path},
      {"v1/messages", not_a_path},
      {"h:443", not_a_path},
      {"?a", not_a_path},
      {"http:/h/a", not_a_path},
      {"http:///a", not_a_path},
      {"http://", not_a_path},
      {"http://?a", not_a_path},
      {"http://u@h/a", not_a_path},
      {"http://u:p@h/a", not_a_path},
      {"http://h%2f@x/", not_a_path},
      {"http://h\\a", not_a_path},
      {"ftp://h/a", not_a_path},
      {"https:h/a", not_a_path},
      {"//h/../a", dot_segment},
      {"/a#b", not_a_path},
      {"/a?b#c", not_a_path},
      {"/a%2Fb", encoded_slash},
      {"/a%2fb", encoded_slash},
      {"/a%5Cb", encoded_slash},
      {"/a%5cb", encoded_slash},
      {"/a\\b", encoded_slash},
      {"/%2F", encoded_slash},
      {"http://h/a%2Fb", encoded_slash},
      {"/.", dot_segment},
      {"/..", dot_segment},
      {"/./", dot_segment},
      {"/../", dot_segment},
      {"/a/./b", dot_segment},
      {"/a/../b", dot_segment},
      {"/a/..", dot_segment},
      {"/a/.?b", dot_segment},
      {"/%2e", dot_segment},
      {"/%2E%2e/a", dot_segment},
      {"/.%2e/a", dot_segment},
      {"/a/%2E./b", dot_segment},
      {"http://h/../a", dot_segment},
      {"/.;", dot_segment},
      {"/..;", dot_segment},
      {"/..;/", dot_segment},
      {"/..;a=b/c", dot_segment},
      {"/.;a/b", dot_segment},
      {"/.%3b", dot_segment},
      {"/..%3Ba", dot_segment},
      {"/%2e;", dot_segment},
      {"/.%2E%3b/a", dot_segment},
      {"/a/..;v=1/b", dot_segment},
      {"/a/..;v=1?b", dot_segment},
      {"/a/..;..;", dot_segment},
      {"http://h/..;/a", dot_segment},
      {"/a b", control_byte},
      {"/a?b c", control_byte},
      {"/a\tb", control_byte},
      {"/a\r\nb", control_byte},
      {"/a\x7f", control_byte},
      {"/a\x01", control_byte},
      {"/a\xC3\xA9", control_byte},
      {"/a?\xFF", control_byte},
      {"http://\xFF/", control_byte},
      {"/a%00", control_byte},
      {"/a%0d%0ab", control_byte},
      {"/a%1F", control_byte},
      {"/a%7f", control_byte},
      {"/%", bad_escape},
      {"/%2", bad_escape},
      {"/a%g0", bad_escape},
      {"/a%0g", bad_escape},
      {"/a%%41", bad_escape},
      {"/a%2", bad_escape},
      {"/%?20", bad_escape},
      {"/%u002f", bad_escape},
  };
  for (const Refused& row : kRows) {
    CAPTURE(row.target);
    CHECK(parse_target(row.target).fault == row.fault);
    CHECK_FALSE(describe(row.fault).empty());
  }
  CHECK(parse_target(std::string_view("/a\0b", 4)).fault == control_byte);
}

TEST_CASE("target: every byte in a path and in a query") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string part = "/a" + std::string(1, static_cast<char>(byte)) + "bc";
    const bool is_graphic = byte > 0x20 && byte < 0x7F && byte != '#';
    CHECK((parse_target("/x?" + part).fault == TargetFault::none) == is_graphic);
    // "%bc" is an escape, and '?' begins a query.
    CHECK((parse_target(part).fault == TargetFault::none) == (is_graphic && byte != '\\'));
  }
}

TEST_CASE("target: every escape in a path") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const bool is_refused = byte < 0x20 || byte == 0x7F || byte == '/' || byte == '\\';
    CHECK((parse_target(fmt::format("/a%{:02x}", byte)).fault != TargetFault::none) == is_refused);
    CHECK((parse_target(fmt::format("/a%{:02X}b", byte)).fault != TargetFault::none) == is_refused);
  }
}

TEST_CASE("target: nothing past the end is read") {
  weir::test::GuardedBuffer buffer(100);
  for (const std::string_view text :
       {"/a%", "/a%2", "/%2e", "/..%3b", "/.;", "http://", "http://h", "/a?", "/", "http"}) {
    for (size_t size = 0; size <= text.size(); ++size) {
      const Target target = parse_target(buffer.place(text.substr(0, size)));
      CHECK(target.path.size() + target.query.size() <= text.size() + 1);
    }
  }
}

// --- base URLs

struct Url {
  const char* text;
  const char* host;
  const char* path;
  const char* authority;
  uint16_t port;
  bool tls;
};

TEST_CASE("base url: what operators write") {
  constexpr Url kRows[] = {
      {"https://api.anthropic.com", "api.anthropic.com", "", "api.anthropic.com", 443, true},
      {"https://api.openai.com/v1", "api.openai.com", "/v1", "api.openai.com", 443, true},
      {"https://api.openai.com/v1/", "api.openai.com", "/v1", "api.openai.com", 443, true},
      {"https://chatgpt.com/backend-api/codex", "chatgpt.com", "/backend-api/codex", "chatgpt.com", 443, true},
      {"http://127.0.0.1:8080", "127.0.0.1", "", "127.0.0.1:8080", 8080, false},
      {"http://h/", "h", "", "h", 80, false},
      {"http://h//", "h", "", "h", 80, false},
      {"http://h:80/a", "h", "/a", "h", 80, false},
      {"https://h:443", "h", "", "h", 443, true},
      {"https://h:80", "h", "", "h:80", 80, true},
      {"http://h:443", "h", "", "h:443", 443, false},
      {"HTTPS://API.Example.COM/V1", "api.example.com", "/V1", "api.example.com", 443, true},
      {"http://[::1]:4002/x", "::1", "/x", "[::1]:4002", 4002, false},
      {"https://[2001:DB8::1]", "2001:db8::1", "", "[2001:db8::1]", 443, true},
      {"http://h:65535", "h", "", "h:65535", 65535, false},
      {"http://under_score-host.", "under_score-host.", "", "under_score-host.", 80, false},
      {"http://h/a%20b", "h", "/a%20b", "h", 80, false},
  };
  for (const Url& row : kRows) {
    CAPTURE(row.text);
    const auto url = parse_base_url(row.text);
    REQUIRE(url.has_value());
    CHECK(url->tls == row.tls);
    CHECK(url->host == row.host);
    CHECK(url->port == row.port);
    CHECK(url->path == row.path);
    CHECK(url->authority == row.authority);
  }
}

TEST_CASE("base url: what is refused says why") {
  struct Row {
    const char* text;
    const char* part_of_message;
  };
  constexpr Row kRows[] = {
      {"", "must begin with https://"},
      {"api.openai.com", "must begin with https://"},
      {"ftp://h", "must begin with https://"},
      {"https:/h", "must begin with https://"},
      {"//h/v1", "must begin with https://"},
      {" https://h", "must begin with https://"},
      {"https://", "has no host"},
      {"https:///v1", "has no host"},
      {"https://:443", "has no host"},
      {"https://h?a=b", "no query"},
      {"https://h/v1?", "no query"},
      {"https://h/v1#x", "no fragment"},
      {"https://user:secret@h/v1", "no user information"},
      {"user:secret@h", "no user information"},
      {"ftp://user:secret@h/v1", "no user information"},
      {"https://user:secret@h?a", "no user information"},
      {"https://h h", "in its host"},
      {"https://h\n", "in its host"},
      {"https://h\\x", "in its host"},
      {"https://h%41", "in its host"},
      {"https://caf\xC3\xA9", "in its host"},
      {"https://h:", "must have a port"},
      {"https://h:0", "must have a port"},
      {"https://h:65536", "must have a port"},
      {"https://h:99999999999", "must have a port"},
      {"https://h:8x", "must have a port"},
      {"https://h:-1", "must have a port"},
      {"https://h:80:80", "must have a port"},
      {"https://[::1", "without its closing bracket"},
      {"https://[::g]", "is not an IPv6 address"},
      {"https://[]", "is not an IPv6 address"},
      {"https://[127.0.0.1]", "is not an IPv6 address"},
      {"https://[::1]x", "other than a port"},
      {"https://h/a/../b", "a dot segment"},
      {"https://h/a b", "a control byte"},
      {"https://h/%2f", "an encoded slash"},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.text);
    const auto url = parse_base_url(row.text);
    REQUIRE_FALSE(url.has_value());
    CHECK(url.error().message.find(row.part_of_message) != std::string::npos);
    CHECK(url.error().message.find("secret") == std::string::npos);
  }
}

}  // namespace
