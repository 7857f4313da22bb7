#include "base/undumped.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace weir {

TEST_CASE("undumped: blocks of every size are aligned, know their size and do not overlap") {
  std::vector<char*> blocks;
  std::vector<size_t> sizes;
  for (size_t size = 0; size < 300000; size += 1 + size / 7) sizes.push_back(size);
  for (size_t i = 0; i < sizes.size(); i++) {
    blocks.push_back(static_cast<char*>(undumped_allocate(sizes[i])));
    CHECK(reinterpret_cast<uintptr_t>(blocks[i]) % 16 == 0);
    CHECK(undumped_size(blocks[i]) == sizes[i]);
    std::memset(blocks[i], static_cast<int>(i & 0x7F), sizes[i]);
  }
  for (size_t i = 0; i < sizes.size(); i++) {
    size_t wrong = 0;
    for (size_t j = 0; j < sizes[i]; j++) wrong += blocks[i][j] != static_cast<char>(i & 0x7F) ? 1 : 0;
    CHECK(wrong == 0);
    undumped_free(blocks[i]);
  }
  undumped_free(nullptr);
}

TEST_CASE("undumped: threads give back what others took, and end with blocks in their caches") {
  for (int round = 0; round < 20; round++) {
    std::vector<char*> blocks;
    for (size_t i = 0; i < 500; i++) {
      blocks.push_back(static_cast<char*>(undumped_allocate(40 + i * 13)));
      std::memset(blocks.back(), 'x', 40 + i * 13);
    }
    std::thread([&] {
      for (char* block : blocks) undumped_free(block);
      for (size_t i = 0; i < 500; i++) blocks[i] = static_cast<char*>(undumped_allocate(40 + i * 13));
    }).join();
    for (char* block : blocks) undumped_free(block);
  }
}

}  // namespace weir
