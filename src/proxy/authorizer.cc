#include "proxy/authorizer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/callout.h"
#include "proxy/worker.h"

namespace weir::proxy {

namespace {

constexpr std::string_view kFull = "too many questions wait for the authorizer";

}  // namespace

void Authorizer::Line::push(Question& question) {
  question.next = nullptr;
  question.previous = last;
  (last != nullptr ? last->next : first) = &question;
  last = &question;
}

void Authorizer::Line::remove(Question& question) {
  (question.previous != nullptr ? question.previous->next : first) = question.next;
  (question.next != nullptr ? question.next->previous : last) = question.previous;
  question.next = question.previous = nullptr;
}

Authorizer::Authorizer(Worker& worker) : worker_(worker), questions_(worker.questions_max()) {
  timer_.owner = TimerOwner::authorizer;
  timer_.object = this;
}

Authorizer::~Authorizer() = default;

// --- asking ---

std::optional<Authorization> Authorizer::ask(const gateway::Entry& entry, AuthorizerUser& user, HeldSnapshot& held,
                                             gateway::Identity& identity) {
  const gateway::AuthorizerConfig& config = held.snapshot->policy->config.authorizer;
  switch (config.kind) {
    case gateway::AuthorizerKind::none:
      identity = gateway::Identity::make(config.user_id, config.username, "");
      return Authorization{.verdict = gateway::Verdict::allowed};
    case gateway::AuthorizerKind::store: {
      if (!tokens_)
        return Authorization{.verdict = gateway::Verdict::unreachable, .why = "the tokens have not been read yet"};
      const gateway::TokenTable::Answer answer = entry.delegated
                                                     ? tokens_->find_key(entry.delegated_key_id, worker_.now_us())
                                                     : tokens_->find_token(sha256(entry.token), worker_.now_us());
      if (answer.verdict == gateway::Verdict::allowed) identity = *answer.identity;
      return Authorization{.verdict = answer.verdict};
    }
    case gateway::AuthorizerKind::http:
      break;
  }
  return ask_service(entry, user, held, identity);
}

std::optional<Authorization> Authorizer::ask_service(const gateway::Entry& entry, AuthorizerUser& user,
                                                     HeldSnapshot& held, gateway::Identity& identity) {
  // A key id and a token of the same text are two things.
  const Digest key = entry.delegated ? sha256("key:", entry.delegated_key_id) : sha256("token:", entry.token);
  const VerdictCache::Found found = cache_.find(key, worker_.now_ns(), identity);
  if (found == VerdictCache::Found::granted) return Authorization{.verdict = gateway::Verdict::allowed};
  if (found == VerdictCache::Found::refused) return Authorization{.verdict = gateway::Verdict::refused};
  if (Question* running = find(key, held); running != nullptr) {
    worker_.count().authorizer_shared.add();
    join(*running, user);
    return std::nullopt;
  }
  Question* question = open_question(key, entry, held, found == VerdictCache::Found::granted_before);
  if (question == nullptr) {
    worker_.count().authorizer_full.add();
    if (const auto held_back = full_throttle_.pass(worker_.now_ns())) {
      worker_.log().error(kFull, {{"authority", held.snapshot->authorizer_url.authority}, {"held_back", *held_back}});
    }
    return Authorization{.verdict = gateway::Verdict::unreachable, .why = kFull};
  }
  join(*question, user);
  line_of(*question).push(*question);
  ask_waiting();
  return std::nullopt;
}

// Null: there are too many. A quarter is left for those about whom the service has granted before.
Question* Authorizer::open_question(const Digest& key, const gateway::Entry& entry, HeldSnapshot& held,
                                    bool granted_before) {
  const uint32_t count_max = worker_.questions_max();
  if (!granted_before && unknown_count_ >= count_max - count_max / 4) return nullptr;
  Question* question = questions_.acquire();
  if (question == nullptr) return nullptr;
  if (!granted_before) unknown_count_++;
  question->state = Question::State::waiting;
  question->key = key;
  question->held = &held;
  worker_.retain_snapshot(held);
  question->granted_before = granted_before;
  const Snapshot& snapshot = *held.snapshot;
  const gateway::AuthorizerConfig& config = snapshot.policy->config.authorizer;
  question->request = worker_.buffers().acquire(1024);
  gateway::write_authorizer_request({.authority = snapshot.authorizer_url.authority,
                                     .path = snapshot.authorizer_url.path,
                                     .token = entry.delegated ? std::string_view() : entry.token,
                                     .delegated_key_id = entry.delegated_key_id,
                                     .header = config.header},
                                    worker_.buffers().block(question->request));
  question->timer.owner = TimerOwner::question;
  question->timer.object = question;
  worker_.wheel().set(question->timer, worker_.now_ns() + config.timeout_ns);
  question->bucket_next = std::exchange(bucket(key), question);
  return question;
}

Question*& Authorizer::bucket(const Digest& key) {
  uint64_t first = 0;
  std::memcpy(&first, key.data(), sizeof first);
  return buckets_[first % kBuckets];
}

Question* Authorizer::find(const Digest& key, const HeldSnapshot& held) {
  for (Question* question = bucket(key); question != nullptr; question = question->bucket_next) {
    if (question->held == &held && equal_in_constant_time(question->key, key)) return question;
  }
  return nullptr;
}

void Authorizer::unlink(Question& question) {
  for (Question** place = &bucket(question.key); *place != nullptr; place = &(*place)->bucket_next) {
    if (*place != &question) continue;
    *place = std::exchange(question.bucket_next, nullptr);
    return;
  }
}

void Authorizer::join(Question& question, AuthorizerUser& user) {
  ASSERT(user.question_ == nullptr);
  user.question_ = &question;
  user.previous_ = question.last_user;
  user.next_ = nullptr;
  (question.last_user != nullptr ? question.last_user->next_ : question.first_user) = &user;
  question.last_user = &user;
}

void Authorizer::forget(AuthorizerUser& user) {
  Question* question = std::exchange(user.question_, nullptr);
  if (question == nullptr) return;
  (user.previous_ != nullptr ? user.previous_->next_ : question->first_user) = user.next_;
  (user.next_ != nullptr ? user.next_->previous_ : question->last_user) = user.previous_;
  user.next_ = user.previous_ = nullptr;
  if (question->first_user != nullptr) return;
  switch (question->state) {
    case Question::State::waiting:
      line_of(*question).remove(*question);
      release(*question);
      return;
    case Question::State::asked:
      // The answer is of use for the next request; but nothing is waited for when weir ends.
      if (!worker_.draining()) return;
      question->callout->give_up();
      release(*question);
      wake_at(worker_.now_ns());
      return;
    case Question::State::told:
      return;  // tell() goes on
    case Question::State::pausing:
      pausing_.remove(*question);
      release(*question);
      return;
  }
}

// --- connections ---

// A kept one that has rested, the last used first; or one that is yet to be made; or none now.
Callout* Authorizer::connection_for(const Question& question) {
  const bool newest = worker_.is_newest(*question.held);
  const uint64_t now_ns = worker_.now_ns();
  Callout* best = nullptr;
  Callout* free = nullptr;
  Callout* other = nullptr;  // kept for a newer configuration than the question's
  uint64_t rested_ns = UINT64_MAX;
  for (const auto& callout : callouts_) {
    if (callout->free()) {
      free = callout.get();
    } else if (callout->kept() && !newest) {
      other = callout.get();
    } else if (callout->kept() && callout->rested_ns() > now_ns) {
      rested_ns = std::min(rested_ns, callout->rested_ns());
    } else if (callout->kept() && (best == nullptr || callout->rested_ns() > best->rested_ns())) {
      best = callout.get();
    }
  }
  if (best != nullptr) return best;
  if (free != nullptr) return free;
  if (callouts_.size() < worker_.callouts_max()) {
    return callouts_.emplace_back(std::make_unique<Callout>(worker_)).get();
  }
  if (other != nullptr) {
    other->give_up();
    return other;
  }
  if (rested_ns != UINT64_MAX) wake_at(rested_ns);
  return nullptr;
}

void Authorizer::wake_at(uint64_t at_ns) {
  if (timer_.deadline_ns == 0 || timer_.deadline_ns > at_ns) worker_.wheel().set(timer_, at_ns);
}

void Authorizer::ask_waiting() {
  for (;;) {
    Line& line = waiting_known_.first != nullptr ? waiting_known_ : waiting_;
    if (line.first == nullptr) return;
    Callout* callout = connection_for(*line.first);
    if (callout == nullptr) return;
    Question& question = *line.first;
    line.remove(question);
    callout->ask(question);
  }
}

// --- answers ---

void Authorizer::conclude(Question& question, gateway::Verdict verdict, const gateway::Identity& identity,
                          std::string_view why) {
  worker_.wheel().remove(question.timer);
  unlink(question);
  question.verdict = verdict;
  question.identity.clear();
  question.why.clear();
  const bool newest = worker_.is_newest(*question.held);
  switch (verdict) {
    case gateway::Verdict::allowed:
      question.identity = identity;
      if (newest) cache_.keep_granted(question.key, identity, worker_.now_ns());
      break;
    case gateway::Verdict::refused:
      if (newest) cache_.keep_refused(question.key, worker_.now_ns());
      break;
    case gateway::Verdict::unreachable:
      question.why = fmt::format("{}: {}", question.held->snapshot->authorizer_url.authority, why);
      log_unreachable(question, why);
      break;
  }
  tell(question);
  if (verdict == gateway::Verdict::unreachable) {
    wake_at(worker_.now_ns());  // not at once: the next one may fail at once too, and the one behind it
  } else {
    ask_waiting();
  }
}

void Authorizer::tell(Question& question) {
  question.state = Question::State::told;
  const Authorization authorization{.verdict = question.verdict, .why = question.why};
  for (uint32_t told = 0; question.first_user != nullptr; told++) {
    if (told == kToldMax) {
      question.state = Question::State::pausing;
      pausing_.push(question);
      wake_at(worker_.now_ns());
      return;
    }
    AuthorizerUser& user = *question.first_user;
    question.first_user = user.next_;
    (question.first_user != nullptr ? question.first_user->previous_ : question.last_user) = nullptr;
    user.question_ = nullptr;
    user.next_ = user.previous_ = nullptr;
    user.on_authorized(authorization, question.identity);
  }
  release(question);
}

void Authorizer::release(Question& question) {
  worker_.wheel().remove(question.timer);
  unlink(question);
  if (!question.granted_before) unknown_count_--;
  // The request bears the token.
  worker_.buffers().release(std::exchange(question.request, kNoBufferId));
  worker_.drop_snapshot(std::exchange(question.held, nullptr));
  questions_.release(question);
}

void Authorizer::log_unreachable(const Question& question, std::string_view why) {
  const auto held_back = worker_.throttle(Noise::authorizer).pass(worker_.now_ns());
  if (!held_back) return;
  worker_.log().error(
      "the authorizer did not answer",
      {{"authority", question.held->snapshot->authorizer_url.authority}, {"reason", why}, {"held_back", *held_back}});
}

// --- time, reload, drain ---

void Authorizer::on_timer(Question& question) {
  worker_.count().timeouts_authorizer.add();
  const bool asked = question.state == Question::State::asked;
  if (asked) {
    question.callout->give_up();
  } else {
    line_of(question).remove(question);
  }
  conclude(question, gateway::Verdict::unreachable, {},
           asked ? "it did not answer in time" : "no connection to it became free in time");
}

void Authorizer::on_timer() {
  if (Question* question = pausing_.first; question != nullptr) {
    pausing_.remove(*question);
    tell(*question);
    if (pausing_.first != nullptr) wake_at(worker_.now_ns());
  }
  ask_waiting();
}

void Authorizer::on_new_snapshot() {
  cache_.clear();
  for (const auto& callout : callouts_) {
    if (callout->kept()) callout->give_up();
  }
  ask_waiting();
}

void Authorizer::on_drain() {
  for (const auto& callout : callouts_) {
    if (callout->kept()) callout->give_up();
  }
  for (const auto& callout : callouts_) {
    Question* question = callout->question();
    if (question != nullptr && question->first_user == nullptr) {
      callout->give_up();
      release(*question);
    }
  }
  ask_waiting();
}

}  // namespace weir::proxy
