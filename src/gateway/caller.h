// The names of the clients that identify_caller() tells apart, by Caller::client_index: rules name them.
#pragma once

#include <span>
#include <string_view>

namespace weir::gateway {

// At most 32: rules hold a set of them as a mask.
std::span<const std::string_view> client_names();

}  // namespace weir::gateway
