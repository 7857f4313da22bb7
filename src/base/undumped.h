// Memory that core dumps leave out (MADV_DONTDUMP): for whatever bears tokens, keys and prompts in passing, which is
// every ByteBuffer and all that the TLS library allocates (undumped.cc takes the place of its allocator). Blocks of
// size classes with a small cache for each thread, so that taking and giving back costs no lock and no system call;
// large ones are mappings of their own. What is given back up to 128 KiB is kept for the next one of its class and
// never unmapped.
//
// Under address and thread sanitizers this is malloc, whose blocks they check.
#pragma once

#include <cstddef>

namespace weir {

// Aligned to 16 bytes; never null: without memory the process ends.
void* undumped_allocate(size_t size);
// From any thread. Null is taken.
void undumped_free(void* memory);
// What was asked for.
size_t undumped_size(const void* memory);

struct UndumpedFree {
  void operator()(char* memory) const { undumped_free(memory); }
};

}  // namespace weir
