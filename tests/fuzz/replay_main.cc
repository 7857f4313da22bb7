// Runs a fuzz target without libFuzzer: over each file of the folders given, each of its prefixes, and mutations of it
// that are the same in every run. A finding aborts.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kMutationsPerSeed = 1000;
constexpr size_t kPrefixesMax = 512;

// In memory of exactly its size, so that a read past the end is seen.
void run(const std::string& input) {
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

}  // namespace

int main(int count, char** arguments) {
  size_t seeds = 0;
  weir::test::Random random(1);
  for (int i = 1; i < count; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(arguments[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string seed{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
      ++seeds;
      run(seed);
      for (size_t size = 0; size < seed.size() && size < kPrefixesMax; ++size) run(seed.substr(0, size));
      for (int mutation = 0; mutation < kMutationsPerSeed; ++mutation)
        run(random.mutated(seed, "\r\n\t :;,\"{}[]\\/%.0aF"));
    }
  }
  std::printf("%zu seeds, their prefixes and mutations: no finding\n", seeds);
  return seeds > 0 ? 0 : 1;
}
