// Making gateway tokens, for `weir key add` and the demo.
#pragma once

#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "record/store.h"

namespace weir::cli {

// "weir_" and 32 random bytes in 43 characters of base64url. Empty: the kernel gave none.
std::string make_gateway_token();

// The initiator id of a user without another: the UUIDv5 of the name in this namespace, so that a user has one id on
// every node. Fixed for ever: records and budgets refer to users by it.
inline constexpr Uuid kUserNamespace = {{0xe2, 0xed, 0x87, 0xd9, 0x51, 0x19, 0x43, 0xe5,  //
                                         0x8d, 0x13, 0xbd, 0x86, 0xed, 0x17, 0x73, 0x00}};

// `user_id` empty: that of the user's earlier keys, else the one of the name. `expires_at`: µs since the epoch, 0:
// never.
Result<record::GatewayKey> add_gateway_key(record::Store& store, const std::string& user, const std::string& user_id,
                                           int64_t expires_at, const std::string& token);

}  // namespace weir::cli
