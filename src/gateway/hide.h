// What a provider says about a request may repeat the credential that it got ("Incorrect API key provided: sk-..."):
// before such a text is logged or recorded, the credential in it becomes its hint.
#pragma once

#include <string>
#include <string_view>

namespace weir::gateway {

// `text` with whatever it has in common with a secret of `request_head` (the bytes of the request as it went upstream)
// masked: the values of Authorization, X-Api-Key and other headers named like secrets, whole or in runs of 16 bytes and
// more, for a message can cut a key.
std::string hide_credentials(std::string_view text, std::string_view request_head);

}  // namespace weir::gateway
