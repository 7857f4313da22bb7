// How long the hint of a credential takes ("sk-a...efgh"), which every exchange has in its record; ns.
#include <array>
#include <string>
#include <string_view>

#include "base/mask.h"
#include "micro.h"

namespace {

using namespace weir;

struct Example {
  std::string_view name;
  std::string secret;
  std::string_view hint;
};

std::string repeated(std::string_view text, size_t count) {
  std::string result;
  for (size_t i = 0; i < count; ++i) result += text;
  return result;
}

}  // namespace

int main(int count, char** arguments) {
  bench::Micro micro(count, arguments);
  const Example examples[] = {
      {"mask, an Anthropic key of 108 bytes", "sk-ant-api03-" + repeated("abcde", 19), "sk-a...bcde"},
      {"mask, an OpenAI key of 51 bytes", "sk-" + repeated("0123456789ab", 4), "sk-0...89ab"},
      {"mask, a login's token of 1,200 bytes", "eyJh" + repeated("Zm9v", 299), "eyJh...Zm9v"},
      {"mask, 40 characters of two bytes", repeated("\xC3\xA9", 40),
       "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9...\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"},
  };
  for (const Example& example : examples) {
    std::array<char, kHintSizeMax> hint{};
    size_t size = 0;
    if (micro.measure(example.name, {}, [&] { return size = mask(example.secret, hint.data()); })) {
      micro.check(std::string_view(hint.data(), size) == example.hint, example.name);
    }
  }
  return micro.finish();
}
