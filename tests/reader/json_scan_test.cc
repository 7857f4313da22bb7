#include "reader/json_scan.h"

#include <doctest/doctest.h>

#include <vector>

#include "reader/support.h"

namespace weir::reader {
namespace {

// Where both end up, walking past what needs care as JsonReader does; all places must agree.
std::string walk(SkipContent skip, std::string_view text) {
  std::string places;
  const char* at = text.data();
  const char* const end = at + text.size();
  bool non_ascii = false;
  for (;;) {
    at = skip(at, end, non_ascii);
    if (at == end) break;
    places += std::to_string(at - text.data()) + " ";
    if (*at != '\\' || end - at < 2) break;
    at += 2;  // whatever the escape is
  }
  return places;
}

// Those that this machine runs.
std::vector<SkipContent> fast_ones() {
#if defined(__x86_64__)
  return {skip_content_sse2, best_skip_content()};
#else
  return {best_skip_content()};
#endif
}

}  // namespace

TEST_CASE("json scan: the fast implementations say what the scalar one says") {
  std::mt19937 random(29);
  const std::string_view rare = "\"\\\\\\\\\\u/bfnrtx\n\x1f \xC3\x7f";
  for (int i = 0; i < 60000; ++i) {
    std::string text(random() % 200, 'a');
    const size_t every = 1 + random() % 60;
    for (char& c : text) {
      if (random() % every == 0) c = rare[random() % rare.size()];
    }
    const ExactCopy copy(text);
    CAPTURE(text);
    for (const SkipContent fast : fast_ones()) {
      REQUIRE(walk(fast, copy.view()) == walk(skip_content_scalar, copy.view()));
    }
  }
}

TEST_CASE("json scan: every place of every special byte in and around a block") {
  for (size_t size = 0; size < 140; ++size) {
    for (size_t at = 0; at < size; ++at) {
      for (const char* const special : {"\"", "\x01", "\\n", "\\u", "\\\\", "\\\"", "\\"}) {
        std::string text(size, 'x');
        text.replace(at, std::string_view(special).size(), special);
        const ExactCopy copy(text);
        for (const SkipContent fast : fast_ones()) {
          REQUIRE(walk(fast, copy.view()) == walk(skip_content_scalar, copy.view()));
        }
      }
    }
  }
}

TEST_CASE("json scan: a byte over 0x7F before the place is always told") {
  for (size_t size = 1; size < 140; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = '\x80';
      const ExactCopy copy(text + "\"");
      const char* const begin = copy.view().data();
      for (const SkipContent fast : fast_ones()) {
        bool non_ascii = false;
        CHECK(fast(begin, begin + copy.view().size(), non_ascii) == begin + size);
        CHECK(non_ascii);
      }
    }
  }
}

TEST_CASE("json scan: short strings are found only where nothing needs care") {
  const auto place = [](std::string_view text) {
    const ExactCopy copy(text);
    bool non_ascii = false;
    const char* const begin = copy.view().data();
    const char* const close = short_string_end(begin, begin + copy.view().size(), non_ascii);
    return std::to_string(close == nullptr ? -1 : close - begin) + (non_ascii ? " non-ascii" : "");
  };
  if (place("\"123456789012345") == "-1") return;  // not on this machine
  CHECK(place("role\":\"user\",\"co") == "4");
  CHECK(place("123456789012345\"") == "15");
  CHECK(place("1234567890123456\"") == "-1");
  CHECK(place("ro\\\"le\":123456789") == "-1");
  CHECK(place("ro\nle\":123456789") == "-1");
  CHECK(place("role\"\\\n:12345678") == "4");
  CHECK(place("r\xC3\xA9le\":123456789") == "5 non-ascii");
  CHECK(place("role\"\xC3\xA9:123456789") == "4");
  CHECK(place("role\"") == "-1");
}

}  // namespace weir::reader
