// One connection to the authorizer's service: made when a question needs it, kept for the next one, and its own all the
// while: it never comes from, nor goes to, the pool that providers' connections are in.
//
// What is read on it decides who a user is, so nothing that is left over may count. It bears another question only if
// the answer before was whole, had its framing in order and nothing behind it (gateway::AuthorizerAnswer), if it has
// been silent since for kRestNs, and if it stays silent until the question has left; else a fresh one is made.
#pragma once

#include <cstdint>
#include <string_view>

#include "gateway/authorizer_answer.h"
#include "proxy/authorizer.h"
#include "proxy/upstream.h"

namespace weir::proxy {

class Callout : public UpstreamUser {
 public:
  // Two answers that were sent together come within this time, as a rule.
  static constexpr uint64_t kRestNs = 100 * kNsPerMs;

  explicit Callout(Worker& worker) : worker_(worker) {}
  virtual ~Callout() = default;
  Callout(const Callout&) = delete;
  Callout& operator=(const Callout&) = delete;

  // REQUIRES: free() or kept().
  void ask(Question& question);
  void give_up();  // nobody wants the answer any more, or a kept connection
  bool free() const { return question_ == nullptr && upstream_ == nullptr; }
  bool kept() const { return question_ == nullptr && upstream_ != nullptr; }
  Question* question() const { return question_; }
  uint64_t rested_ns() const;  // when it may be asked again; REQUIRES: kept()

  void on_upstream_ready(Upstream& upstream) override;
  void on_upstream_failed(UpstreamFault fault, std::string_view why) override;
  void on_upstream_data(const Piece& piece) override;
  void on_upstream_ended(bool orderly, std::string_view why) override;
  void on_upstream_timeout() override;

 private:
  void connect();
  void send_request();
  bool ask_again();
  void answered();
  void conclude(gateway::Verdict verdict, const gateway::Identity& identity, std::string_view why, bool keep);
  void unreachable(std::string_view why) { conclude(gateway::Verdict::unreachable, {}, why, false); }

  Worker& worker_;
  Question* question_ = nullptr;
  Upstream* upstream_ = nullptr;
  gateway::AuthorizerAnswer answer_;
  bool reused_ = false;  // the connection has borne a question before this one
  bool again_ = false;   // this question is asked for the second time
  uint64_t made_ns_ = 0;
  uint64_t kept_since_ns_ = 0;
};

}  // namespace weir::proxy
