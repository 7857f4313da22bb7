// The authorizer as one worker asks it: the token table (store), a question to the operator's service with a cache of
// its answers (http), or the configured user (none).
//
// http: (1) one question for all who ask the same at the same time; each of them may leave at any time. (2) At most
// WorkerOptions::callouts connections; the questions behind them wait in order, those about whom the service granted
// before first, so that guesses do not keep users out. What waits is bounded by number and by the authorizer's timeout.
// (3) A verdict belongs to the snapshot that asked: after a reload it is neither cached nor shared with newer
// exchanges. (4) A token's bytes are not kept longer than the question that needs them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/log_throttle.h"
#include "base/slot_pool.h"
#include "gateway/entry.h"
#include "gateway/token_table.h"
#include "proxy/buffer_pool.h"
#include "proxy/snapshot.h"
#include "proxy/timer_wheel.h"
#include "proxy/verdict_cache.h"

namespace weir::proxy {

class Authorizer;
class Callout;
class Worker;
struct HeldSnapshot;
struct Question;

// `why`: for the log, of an authorizer that is unreachable: "auth.example.com: it answered with status 500".
struct Authorization {
  gateway::Verdict verdict = gateway::Verdict::refused;
  std::string_view why = {};
};

class AuthorizerUser {
 public:
  // `identity` is filled when the verdict is `allowed`. Both are valid during the call.
  virtual void on_authorized(const Authorization& authorization, const gateway::Identity& identity) = 0;

 protected:
  ~AuthorizerUser() = default;

 private:
  friend class Authorizer;
  Question* question_ = nullptr;  // whose answer it waits for
  AuthorizerUser* next_ = nullptr;
  AuthorizerUser* previous_ = nullptr;
};

// What is asked about one token or key id, and all who wait for the answer.
struct Question : public Slot {
  enum class State : uint8_t {
    waiting,  // for a connection
    asked,    // by its callout
    told,     // it is answered, and its users are being told
    pausing,  // some of them will be told with the next tick
  };
  State state = State::waiting;
  Digest key{};
  HeldSnapshot* held = nullptr;  // counted
  BufferId request = kNoBufferId;
  bool granted_before = false;
  Callout* callout = nullptr;
  AuthorizerUser* first_user = nullptr;
  AuthorizerUser* last_user = nullptr;
  Question* bucket_next = nullptr;  // of those that a new user may still join
  Question* next = nullptr;         // in the line that it stands in: waiting, or pausing
  Question* previous = nullptr;
  Timer timer;
  gateway::Verdict verdict = gateway::Verdict::unreachable;
  gateway::Identity identity;
  std::string why;
};

class Authorizer {
 public:
  explicit Authorizer(Worker& worker);
  ~Authorizer();
  Authorizer(const Authorizer&) = delete;
  Authorizer& operator=(const Authorizer&) = delete;

  // An answer now, or nothing: then `user` hears it later, unless forget() comes first. `identity` is filled when the
  // verdict is `allowed`. `held` is the user's snapshot.
  std::optional<Authorization> ask(const gateway::Entry& entry, AuthorizerUser& user, HeldSnapshot& held,
                                   gateway::Identity& identity);
  void forget(AuthorizerUser& user);
  void set_tokens(std::shared_ptr<const gateway::TokenTable> tokens) { tokens_ = std::move(tokens); }
  void on_new_snapshot();  // the service may be another one
  void on_drain();
  void ask_waiting();
  // Of a question's timer, and of the authorizer's own.
  void on_timer(Question& question);
  void on_timer();
  uint32_t question_count() const { return questions_.used_count(); }

 private:
  friend class Callout;

  // Questions in the order of their coming.
  struct Line {
    Question* first = nullptr;
    Question* last = nullptr;
    void push(Question& question);
    void remove(Question& question);
  };

  std::optional<Authorization> ask_service(const gateway::Entry& entry, AuthorizerUser& user, HeldSnapshot& held,
                                           gateway::Identity& identity);
  Question* open_question(const Digest& key, const gateway::Entry& entry, HeldSnapshot& held, bool granted_before);
  Question*& bucket(const Digest& key);
  Question* find(const Digest& key, const HeldSnapshot& held);
  void unlink(Question& question);  // from its bucket
  void join(Question& question, AuthorizerUser& user);
  Line& line_of(const Question& question) { return question.granted_before ? waiting_known_ : waiting_; }
  Callout* connection_for(const Question& question);
  void wake_at(uint64_t at_ns);
  // From the callout: `identity` where it is allowed.
  void conclude(Question& question, gateway::Verdict verdict, const gateway::Identity& identity, std::string_view why);
  void tell(Question& question);
  void release(Question& question);
  void log_unreachable(const Question& question, std::string_view why);

  static constexpr size_t kBuckets = 1024;
  // Who is told in one go: each of them begins a request. The others follow with the next tick.
  static constexpr uint32_t kToldMax = 128;

  Worker& worker_;
  std::shared_ptr<const gateway::TokenTable> tokens_;
  VerdictCache cache_;
  SlotPool<Question> questions_;
  uint32_t unknown_count_ = 0;  // questions about whom nobody has granted before
  std::array<Question*, kBuckets> buckets_{};
  Line waiting_known_;
  Line waiting_;
  Line pausing_;
  std::vector<std::unique_ptr<Callout>> callouts_;  // made when they are needed
  Timer timer_;                                     // asks and tells again
  LogThrottle full_throttle_;
};

}  // namespace weir::proxy
