// What to send where: for callers who put a credential in the wrong place. Composed for refusals only; the texts name
// headers and never repeat a value.
#pragma once

#include <string>

#include "gateway/entry.h"
#include "gateway/policy.h"

namespace weir::gateway {

// For a gateway token that was refused: if it has the form of a provider's credential, where that and the gateway token
// belong. Empty: it has not.
std::string advise_token(const Policy& policy, const Entry& entry);

// For Refusal::credential_missing. REQUIRES: a route that was found.
std::string advise_credential(const Policy& policy, const Entry& entry, const wire::RequestHead& head);

// For Refusal::no_operator_key: the provider's name, and of a ChatGPT backend what it takes instead.
std::string advise_own_login(const Policy& policy, const Provider& provider);

}  // namespace weir::gateway
