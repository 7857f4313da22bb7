// What a provider says about a request may repeat the credential that it got ("Incorrect API key provided: sk-..."):
// before such a text is logged or recorded, the credential in it becomes its hint.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::gateway {

// The first `size_max` bytes of `text`, with whatever they have in common with a secret of `request_head` (the bytes of
// the request as it went upstream) as its hint. Secrets are the values of Authorization, X-Api-Key and other headers
// named like them. A secret is recognised whole, in runs of 16 bytes and more, for a message can cut a key, and where
// the provider has masked it: 4 bytes and more of its beginning or end, next to 4 and more mask characters, which tell
// its length.
//
// The work is bounded by the sum of `size_max` and the head's size, not by their product: both may come from peers.
std::string hide_credentials(std::string_view text, std::string_view request_head, size_t size_max);

}  // namespace weir::gateway
