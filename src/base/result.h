// Results of operations that a peer, the network, a file or an operator can make fail. Our own bugs are ASSERTs
// instead. The message is a whole sentence for a person: what is wrong, where, how to mend it. It never holds a secret.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace weir {

struct Error {
  std::string message;
};

template <class T = void>
using Result = std::expected<T, Error>;

// fail("weir.toml:{}: {}", line, what) is a Result of any type in its error state.
template <class... Args>
std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace weir
