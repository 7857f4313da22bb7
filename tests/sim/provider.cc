#include <algorithm>

#include "base/clock.h"
#include "sim/actors.h"

namespace weir::sim {

namespace {

// By which the worker may see its own send end too late.
constexpr uint64_t kLateMaxNs = 50 * kNsPerMs;
// timeouts.upstream_age and a tenth, and what a request is on its way.
constexpr uint64_t kAgeMaxNs = 6'600 * kNsPerMs + 500 * kNsPerMs;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string_view header_value(const wire::RequestHead& head, std::string_view name) {
  for (uint32_t i = 0; i < head.header_count; i++) {
    if (wire::equals_ignoring_case(head.headers[i].name, name)) return head.headers[i].value;
  }
  return {};
}

}  // namespace

void Provider::on_bytes(std::string_view bytes) {
  in_ += bytes;
  process();
}

void Provider::on_end(bool reset) {
  over_ = true;
  if (plan_ != nullptr && !plan_->answer_done) {
    trace("provider on link {}: weir {} before the answer to {} ended", link_.id(), reset ? "reset" : "closed",
          plan_->marker);
    plan_->answer_cut = true;
  }
  link_.close();
}

void Provider::process() {
  while (!over_ && !in_.empty()) {
    if (!in_body_) {
      require(!answering_, "a request came on link {} before the answer to {} had ended", link_.id(),
              plan_ != nullptr ? plan_->marker : "?");
      wire::RequestHead head;
      const wire::HeadResult result = wire::parse_request_head(in_, 0, 1u << 20, head);
      if (result.status == wire::HeadStatus::need_more) return;
      require(result.status == wire::HeadStatus::complete, "a provider got a malformed head ({}): {}",
              wire::describe(result.fault), in_);
      const std::string bytes = in_.substr(0, result.size);
      on_head(head, bytes);
      in_.erase(0, result.size);
      if (remaining_ == 0) request_complete();
      continue;
    }
    const size_t size = static_cast<size_t>(std::min<uint64_t>(remaining_, in_.size()));
    body_ += in_.substr(0, size);
    in_.erase(0, size);
    remaining_ -= size;
    if (remaining_ == 0) request_complete();
  }
}

void Provider::on_head(const wire::RequestHead& head, std::string_view bytes) {
  const std::string_view marker = header_value(head, "X-Marker");
  plan_ = world_.plan_of(marker);
  require(plan_ != nullptr, "a provider got a request that no client made: {}", bytes);
  Plan& plan = *plan_;
  trace("provider on link {}: request {}", link_.id(), plan.marker);
  check_head(plan, head, bytes);
  require(!spoilt_, "request {} came on link {} behind an answer that may carry a body and must not", plan.marker,
          link_.id());
  const uint64_t age_ns = world_.kernel().now_ns() - opened_ns_;
  require(age_ns < kAgeMaxNs || world_.kernel().weather().clock_jump_per_10000 > 0,
          "request {} came on link {}, which is {} ms old", plan.marker, link_.id(), age_ns / kNsPerMs);
  requests_++;
  plan.attempts++;
  if (plan.attempts == 1) {
    plan.first_link = requests_ > 1 ? &link_ : nullptr;
    plan.first_offset = link_.written_bytes();
  } else {
    // Once more, on a fresh connection, and only if a used one died before a byte of its answer had come.
    const Weather& weather = world_.kernel().weather();
    const uint64_t window_ns = std::clamp(6 * weather.delay_max_ns, 100 * kNsPerMs, kNsPerSecond);
    const bool late = plan.request_arrived && plan.died_ns > plan.arrived_ns + window_ns + kLateMaxNs;
    require(!late || weather.clock_jump_per_10000 > 0, "request {} was sent again after its provider had it for {} ms",
            plan.marker, (plan.died_ns - plan.arrived_ns) / kNsPerMs);
    require(plan.attempts == 2 && requests_ == 1 && plan.first_link != nullptr &&
                plan.first_link->taken_bytes() <= plan.first_offset,
            "request {} was sent {} times, though it must not be", plan.marker, plan.attempts);
  }
  body_.clear();
  remaining_ = head.framing == wire::BodyFraming::length ? head.content_length : 0;
  require(head.framing != wire::BodyFraming::chunked, "request {} goes upstream in chunks", plan.marker);
  in_body_ = true;
  answered_ = false;
  if (plan.answer.early) begin_answer();
}

void Provider::check_head(Plan& plan, const wire::RequestHead& head, std::string_view bytes) {
  require(plan.refusal == 0, "request {} reached a provider and should have been refused with {}", plan.marker,
          plan.refusal);
  require(kProviders[plan.provider].origin == origin_, "request {} came to the wrong provider", plan.marker);
  require(head.target == plan.upstream_target, "request {}: the target is {} instead of {}", plan.marker, head.target,
          plan.upstream_target);
  require(plan.api == gateway::Api::none || plan.starts == 1, "request {} went upstream with {} starts in the journal",
          plan.marker, plan.starts);
  const std::string text = lower(bytes);
  require(text.find("gw-token") == text.npos, "the gateway token goes upstream with {}: {}", plan.marker, bytes);
  for (const char* name : {"x-weir-", "x-coder-ai-governance", "\r\nexpect:", "\r\ntransfer-encoding:"}) {
    require(text.find(name) == text.npos, "{} goes upstream with {}: {}", name + (name[0] == '\r' ? 2 : 0), plan.marker,
            bytes);
  }
  uint32_t credentials = 0;
  for (uint32_t i = 0; i < head.header_count; i++) {
    const wire::Header& header = head.headers[i];
    if (header.id != wire::HeaderName::authorization && header.id != wire::HeaderName::x_api_key) continue;
    credentials++;
    require(wire::equals_ignoring_case(header.name, plan.credential_header), "request {} has {} instead of {}",
            plan.marker, header.name, plan.credential_header);
    bool right = header.value == plan.credential;
    if (!plan.byok) {
      // The operator's key of a snapshot between the request's first byte and now.
      for (uint32_t version = plan.key_version; version <= world_.key_version() && !right; version++) {
        const std::string key = world_.operator_key(plan.provider, version);
        right = header.value == (plan.credential_header == "authorization" ? "Bearer " + key : key);
        require(!right || plan.verdict_version < 0 || plan.verdict_version == version,
                "request {} is made with the key of configuration {}, and let in by the authorizer of {}", plan.marker,
                version, plan.verdict_version);
      }
    }
    require(right, "request {} bears the wrong credential: {}: {}", plan.marker, header.name, header.value);
  }
  require(credentials == 1, "request {} bears {} credentials", plan.marker, credentials);
  const std::string_view team = header_value(head, "X-Team");
  const bool ruled = world_.has_rules() && plan.api != gateway::Api::none;
  require(team == (ruled ? world_.username_of(plan) : std::string_view()), "request {}: the rule has set X-Team: {}",
          plan.marker, team);
  require(header_value(head, "X-Internal-Note").empty() == ruled, "request {}: X-Internal-Note is {}", plan.marker,
          ruled ? "there" : "gone");
}

void Provider::request_complete() {
  in_body_ = false;
  Plan& plan = *plan_;
  if (plan.inserted.empty()) {
    require(body_ == plan.body, "request {}: {} body bytes came instead of the client's {}", plan.marker, body_.size(),
            plan.body.size());
  } else {
    const size_t at = body_.find(plan.inserted);
    require(at != body_.npos, "request {}: usage is not asked for", plan.marker);
    std::string without = body_;
    without.erase(at, plan.inserted.size());
    require(without == plan.body, "request {}: more than the insertion was changed", plan.marker);
  }
  plan.request_arrived = true;
  plan.arrived_ns = world_.kernel().now_ns();
  if (!answering_ && !answered_) begin_answer();
}

void Provider::begin_answer() {
  answering_ = true;
  Plan* plan = plan_;
  world_.kernel().after(plan->answer.think_ns, [this, plan] {
    if (over_ || plan_ != plan) return;
    if (plan->answer.at_reuse != Fault::none && plan->attempts == 1 && requests_ > 1) {
      trace("provider on link {}: {} instead of an answer to {}, on a used connection", link_.id(),
            text(plan->answer.at_reuse), plan->marker);
      fault(plan->answer.at_reuse);
      return;
    }
    write_on(0);
  });
}

void Provider::fault(Fault kind) {
  over_ = true;
  plan_->died_ns = world_.kernel().now_ns();
  if (kind == Fault::reset) {
    link_.reset();
  } else {
    link_.close();
  }
}

void Provider::write_on(size_t from) {
  AnswerPlan& answer = plan_->answer;
  const size_t end = answer.fault == Fault::none ? answer.wire.size() : answer.fault_at;
  const size_t size = std::min(end - from, world_.random().size(1, std::max<size_t>(answer.piece_max, 1)));
  if (size > 0) {
    link_.write(answer.wire.substr(from, size));
    plan_->answer_written = from + size;
  }
  if (from + size < end) {
    world_.kernel().after(world_.random().skewed(answer.pause_max_ns), [this, plan = plan_, next = from + size] {
      if (!over_ && plan_ == plan) write_on(next);
    });
    return;
  }
  if (answer.fault == Fault::none) {
    answer_over();
    return;
  }
  trace("provider on link {}: {} after {} of {} bytes of the answer to {}", link_.id(), text(answer.fault), end,
        answer.wire.size(), plan_->marker);
  plan_->answer_cut = true;
  if (answer.fault != Fault::stall) fault(answer.fault);
}

void Provider::answer_over() {
  AnswerPlan& answer = plan_->answer;
  trace("provider on link {}: the answer to {} is out", link_.id(), plan_->marker);
  plan_->answer_done = true;
  answering_ = false;
  answered_ = true;
  spoilt_ = answer.forbidden_body;
  if (!answer.leftover.empty() && !answer.close) {
    world_.kernel().after(answer.leftover_ns, [this, leftover = answer.leftover] {
      if (!over_) link_.write(leftover);
    });
  }
  if (answer.close) {
    over_ = true;
    // With a part of the request unread, closing would be a reset that may destroy the answer.
    if (in_body_) {
      link_.finish();
    } else {
      link_.close();
    }
    return;
  }
  if (answer.idle_close) {
    world_.kernel().after(answer.idle_close_ns, [this, count = requests_] {
      // Perhaps just as the next request is on its way.
      if (over_ || requests_ != count || answering_ || in_body_) return;
      over_ = true;
      link_.close();
    });
  }
  process();
}

// --- the authorizer's service ---

void AuthorizerService::on_bytes(std::string_view bytes) {
  in_ += bytes;
  while (!over_) {
    wire::RequestHead head;
    const wire::HeadResult result = wire::parse_request_head(in_, 0, 1u << 20, head);
    if (result.status == wire::HeadStatus::need_more) return;
    require(result.status == wire::HeadStatus::complete, "the authorizer got a malformed head: {}", in_);
    const std::string_view key_id = header_value(head, "X-Weir-Delegated-Key-Id");
    const wire::Header* bearer = head.find(wire::HeaderName::authorization);
    require(key_id.empty() == (bearer != nullptr && bearer->value.starts_with("Bearer ")),
            "the authorizer is to be asked about a token or a key id: {}", in_);
    require(in_.find("sk-own") == in_.npos && in_.find("operator") == in_.npos,
            "the authorizer got a provider's credential: {}", in_);
    const Person* person = key_id.empty() ? world_.person_of(bearer->value.substr(7)) : world_.person_of_key(key_id);
    require(person != nullptr, "the authorizer is asked about somebody whom nobody is: {}", in_);
    const auto version =
        static_cast<uint32_t>(std::stoul(std::string(head.target.substr(std::string("/who/v").size()))));
    in_.erase(0, result.size);
    answer(*person, version);
  }
}

void AuthorizerService::on_end(bool reset) {
  (void)reset;
  over_ = true;
  link_.close();
}

void AuthorizerService::answer(const Person& person, uint32_t version) {
  Random& random = world_.random();
  std::string body =
      fmt::format(R"({{"id":"{}","username":"{}","more":[1,2]}})", person.id_of(version), person.username);
  int status = person.known ? 200 : 401;
  const uint64_t fault = world_.authorizer_faulty() ? random.below(10) : 9;
  uint64_t delay_ns = random.skewed(30 * kNsPerMs);
  if (fault == 0) body = "{not json";
  if (fault == 1) status = 500;
  if (fault == 2) delay_ns = 20 * kNsPerSecond;
  std::string interim;
  for (uint64_t i = random.percent(30) ? random.between(1, 3) : 0; i > 0; i--)
    interim += random.percent(50) ? "HTTP/1.1 100 Continue\r\n\r\n" : "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  std::string wire = interim + fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n", status);
  const uint64_t framing = random.below(3);
  if (framing == 0) wire += fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
  if (framing == 1) wire += fmt::format("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body);
  if (framing == 2) wire += fmt::format("Connection: close\r\n\r\n{}", body);
  // Twice the same answer, at once or a little later; the second must become no other person's.
  const bool twice = framing != 2 && world_.authorizer_doubles() && random.percent(40);
  const std::string later = twice && random.percent(60) ? wire : std::string();
  if (twice && later.empty()) wire += wire;
  const bool cut = fault == 3 || fault == 4;
  if (cut) wire.resize(random.size(0, wire.size() - 1 - (framing == 2 ? body.size() : 0)));
  const bool closes = framing == 2 || cut;
  trace("authorizer on link {}: {} for {}{}{}", link_.id(), status, person.username, twice ? ", twice" : "",
        cut ? ", cut" : "");
  world_.kernel().after(delay_ns, [this, wire, later, closes, reset = fault == 4] {
    if (over_) return;
    link_.write(wire);
    if (!closes) {
      if (!later.empty()) {
        world_.kernel().after(world_.random().below(20 * kNsPerMs), [this, later] {
          if (!over_) link_.write(later);
        });
      }
      return;
    }
    over_ = true;
    if (reset) {
      link_.reset();
    } else {
      link_.close();
    }
  });
}

}  // namespace weir::sim
