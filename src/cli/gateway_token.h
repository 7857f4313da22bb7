// Making gateway tokens, for `weir key add` and the demo.
#pragma once

#include <string>

#include "base/result.h"
#include "record/store.h"

namespace weir::cli {

// "weir_" and 32 random bytes in 43 characters of base64url. Empty: the kernel gave none.
std::string make_gateway_token();

// `user_id` empty: that of the user's earlier keys, else a new one. `expires_at`: µs since the epoch, 0: never.
Result<record::GatewayKey> add_gateway_key(record::Store& store, const std::string& user, const std::string& user_id,
                                           int64_t expires_at, const std::string& token);

}  // namespace weir::cli
