// Help for narrow terminals: its lines of 100 columns are broken where a reader expects it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::cli {

// Of the terminal at the descriptor; 100 where there is none.
size_t terminal_columns(int descriptor);

// Each line in at most `columns`: first a second option of the line gets a line of its own, then texts go on below
// where they began. Words stay whole, so a line may still be longer if one word is.
std::string wrapped(std::string_view text, size_t columns);

}  // namespace weir::cli
