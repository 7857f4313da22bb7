#include "mock/plan.h"

#include <simdjson.h>

#include <charconv>
#include <limits>

#include "base/units.h"

namespace weir::mock {

namespace {

template <class Number>
Result<> read_number(Number& out, std::string_view key, std::string_view value,
                     Number max = std::numeric_limits<Number>::max()) {
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  if (error != std::errc() || end != value.data() + value.size() || out > max) {
    return fail("{} must be a number up to {} (was \"{}\")", key, max, value);
  }
  return {};
}

Result<> read_duration(uint64_t& out, std::string_view key, std::string_view value) {
  const Result<uint64_t> read = parse_duration(value);
  if (!read) return fail("{}: {}", key, read.error().message);
  out = *read;
  return {};
}

Result<> read_flag(bool& out, std::string_view key, std::string_view value) {
  if (value != "0" && value != "1" && value != "true" && value != "false") {
    return fail("{} must be true or false (was \"{}\")", key, value);
  }
  out = value == "1" || value == "true";
  return {};
}

template <class Enum>
Result<> read_word(Enum& out, std::string_view key, std::string_view value,
                   std::initializer_list<std::pair<std::string_view, Enum>> words) {
  std::string known;
  for (const auto& [word, meaning] : words) {
    if (word == value) {
      out = meaning;
      return {};
    }
    known += known.empty() ? word : ", " + std::string(word);
  }
  return fail("{} must be one of {} (was \"{}\")", key, known, value);
}

Result<> apply_headers(Plan& plan, simdjson::dom::element value) {
  simdjson::dom::array list;
  if (value.get(list) != simdjson::SUCCESS) return fail("headers must be a list of [name, value]");
  for (const simdjson::dom::element pair : list) {
    std::string_view name, text;
    if (pair.at(0).get(name) != simdjson::SUCCESS || pair.at(1).get(text) != simdjson::SUCCESS) {
      return fail("headers must be a list of [name, value]");
    }
    plan.headers.emplace_back(name, text);
  }
  return {};
}

Result<Plan> parse_answer(simdjson::dom::element element, const Plan& defaults) {
  simdjson::dom::object members;
  if (element.get(members) != simdjson::SUCCESS) return fail("an answer of a script must be an object");
  Plan plan = defaults;
  for (const auto [key, value] : members) {
    std::string_view text;
    Result<> applied;
    if (key == "headers") {
      applied = apply_headers(plan, value);
    } else if (value.get(text) == simdjson::SUCCESS) {
      applied = apply(plan, key, text);
    } else {  // numbers, booleans, and a body that is JSON itself
      applied = apply(plan, key, simdjson::minify(value));
    }
    if (!applied) return std::unexpected(applied.error());
  }
  return plan;
}

}  // namespace

Result<> apply(Plan& plan, std::string_view key, std::string_view value) {
  if (key == "status") return read_number<uint16_t>(plan.status, key, value, 999);
  if (key == "delay") return read_duration(plan.delay_ns, key, value);
  if (key == "gap") return read_duration(plan.gap_ns, key, value);
  if (key == "events") return read_number<uint32_t>(plan.shape.events, key, value);
  if (key == "bytes") return read_number<uint32_t>(plan.shape.event_bytes, key, value);
  if (key == "stamped") return read_flag(plan.shape.stamped, key, value);
  if (key == "separate") return read_flag(plan.separate, key, value);
  if (key == "thinking") return read_flag(plan.shape.thinking, key, value);
  if (key == "step") return read_flag(plan.step, key, value);
  if (key == "interim") return read_flag(plan.interim, key, value);
  if (key == "cut") return read_number<uint64_t>(plan.cut.emplace(), key, value);
  if (key == "framing") {
    return read_word<Framing>(plan.framing, key, value,
                              {{"usual", Framing::usual},
                               {"chunked", Framing::chunked},
                               {"length", Framing::length},
                               {"close", Framing::close}});
  }
  if (key == "ending") {
    return read_word<Ending>(
        plan.ending, key, value,
        {{"keep", Ending::keep}, {"drop", Ending::drop}, {"reset", Ending::reset}, {"hang", Ending::hang}});
  }
  if (key == "tool") {
    plan.shape.tool = value;
    return {};
  }
  if (key == "id") {
    plan.id = value;
    return {};
  }
  if (key == "body") {
    plan.body = value;
    return {};
  }
  return fail("{} is nothing that the mock provider knows", key);
}

Result<std::vector<Plan>> parse_script(std::string_view json, const Plan& defaults) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS) return fail("the script is not JSON");
  std::vector<Plan> plans;
  simdjson::dom::array list;
  if (root.get(list) != simdjson::SUCCESS) {
    Result<Plan> plan = parse_answer(root, defaults);
    if (!plan) return std::unexpected(plan.error());
    plans.push_back(std::move(*plan));
    return plans;
  }
  for (const simdjson::dom::element element : list) {
    Result<Plan> plan = parse_answer(element, defaults);
    if (!plan) return std::unexpected(plan.error());
    plans.push_back(std::move(*plan));
  }
  return plans;
}

}  // namespace weir::mock
