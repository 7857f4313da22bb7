// ASSERT states what only a bug of ours can break; it stays on in release builds. Nothing that a peer sends may reach
// one.
#pragma once

namespace weir {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace weir

#define ASSERT(condition)                                       \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::weir::assertion_failed(#condition, __FILE__, __LINE__); \
  } while (false)
