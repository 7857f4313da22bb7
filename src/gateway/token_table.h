// The gateway tokens that the store authorizer knows: an immutable snapshot of the `gateway_keys` table, built by the
// control thread whenever the database changes. Look-ups allocate nothing and take no lock.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "gateway/entry.h"

namespace weir::gateway {

struct TokenRow {
  std::string key_id;  // shown by `weir key list`
  Digest token_sha256{};
  std::string initiator_id;  // UUID
  std::string username;
  int64_t expires_at_us = 0;  // 0: never
};

class TokenTable {
 public:
  explicit TokenTable(const std::vector<TokenRow>& live_rows);  // revoked ones are not given

  struct Answer {
    Verdict verdict = Verdict::refused;
    const Identity* identity = nullptr;  // Valid as long as the table.
  };
  // `now_us` since the epoch. The digest is compared in constant time.
  Answer find_token(const Digest& token_sha256, int64_t now_us) const;
  Answer find_key(std::string_view key_id, int64_t now_us) const;
  size_t size() const { return rows_.size(); }

 private:
  struct Row {
    Digest token_sha256;
    Identity identity;
    int64_t expires_at_us;
  };
  static Answer answer(const Row& row, int64_t now_us);

  std::vector<Row> rows_;
  std::vector<uint32_t> by_digest_;  // open addressing on the digest's first bytes; index + 1
  std::vector<uint32_t> by_key_id_;  // sorted by key id
};

// The http authorizer (README: "Validating against an existing control plane"). Pure; the callout itself is proxy/'s.
//
// The question is a GET of the configured URL. A token goes into the configured header (authorizer.header, "{token}"
// stands for it): "Authorization: Bearer {token}" by default, "Coder-Session-Token: {token}" for /api/v2/users/me of an
// existing control plane. A delegated key id goes into `X-Weir-Delegated-Key-Id`, without any token: the service says
// who owns that key and whether it lives, in an answer of the same form.
struct AuthorizerRequest {
  std::string_view authority = {};
  std::string_view path = {};  // with its query; both of the configured URL
  std::string_view token = {};
  std::string_view delegated_key_id = {};  // empty: a token is asked about
  std::string_view header = "Authorization: Bearer {token}";
};
void write_authorizer_request(const AuthorizerRequest& request, ByteBuffer& out);
struct AuthorizerReply {
  Verdict verdict = Verdict::unreachable;
  Identity identity;
  std::string_view why;  // for the log when it is not `allowed`; static text
};
// 2xx with a JSON object {"id" (UUID), "username", "api_key_id" (optional)} → allowed; `initiator_id` is taken for
// `id`, and wins over it. 401, 403, 404 → refused; anything else, and a body that is not such an object → unreachable.
// REQUIRES: ByteBuffer::kPadding readable bytes after the body.
AuthorizerReply read_authorizer_answer(uint16_t status, std::string_view padded_body);

}  // namespace weir::gateway
