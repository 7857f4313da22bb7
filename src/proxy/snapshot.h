// What a worker is given: the immutable parts of the configuration, the token table, addresses. Made by the control
// thread, handed over through the worker's mailbox, never on the way of a request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "gateway/policy.h"
#include "gateway/token_table.h"
#include "io/address.h"
#include "tls/tls.h"

namespace weir::proxy {

// An upstream place: one pool of connections for each worker. Two providers at one place share it.
struct OriginSpec {
  bool tls = false;
  std::string host;
  uint16_t port = 0;
  std::string ca_file;

  bool operator==(const OriginSpec&) const = default;
};
inline constexpr uint32_t kNoOrigin = 0xFFFFFFFF;

struct AddressList {
  std::vector<io::Address> addresses;
  std::string error;  // why it is empty
};

// An exchange keeps the snapshot that it began with.
struct Snapshot {
  std::unique_ptr<const gateway::Policy> policy;
  std::vector<uint32_t> provider_origins;  // by Provider::index, into the server's list of origins
  uint32_t authorizer_origin = kNoOrigin;
  wire::BaseUrl authorizer_url;
  std::vector<std::shared_ptr<tls::ServerContext>> listener_tls;  // by listener; null: plaintext
};

struct NewSnapshot {
  std::shared_ptr<const Snapshot> snapshot;
  std::vector<OriginSpec> origins;                           // all of them; the list only grows
  std::vector<std::unique_ptr<tls::ClientContext>> clients;  // by origin; null: plaintext, or what there is stays
};
struct NewTokens {
  std::shared_ptr<const gateway::TokenTable> tokens;
};
struct NewAddresses {
  uint32_t origin = 0;
  std::shared_ptr<const AddressList> list;
};
struct Drain {
  uint64_t deadline_ns = 0;  // CLOCK_MONOTONIC: what runs then is ended
};
using Message = std::variant<NewSnapshot, NewTokens, NewAddresses, Drain>;

}  // namespace weir::proxy
