#include "mock/plan.h"

#include <doctest/doctest.h>

using namespace weir::mock;

TEST_CASE("mock plan: each key is set") {
  Plan plan;
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{{"status", "503"},
                                                                                             {"delay", "10ms"},
                                                                                             {"gap", "1s"},
                                                                                             {"events", "3"},
                                                                                             {"bytes", "5"},
                                                                                             {"thinking", "1"},
                                                                                             {"tool", "Read"},
                                                                                             {"framing", "close"},
                                                                                             {"ending", "reset"},
                                                                                             {"cut", "7"},
                                                                                             {"step", "true"},
                                                                                             {"interim", "true"},
                                                                                             {"id", "fixed"},
                                                                                             {"stamped", "1"},
                                                                                             {"separate", "1"},
                                                                                             {"body", "x"}}) {
    CHECK(apply(plan, key, value));
  }
  CHECK(plan.status == 503);
  CHECK(plan.delay_ns == 10'000'000);
  CHECK(plan.gap_ns == 1'000'000'000);
  CHECK(plan.shape.events == 3);
  CHECK(plan.shape.event_bytes == 5);
  CHECK(plan.shape.thinking);
  CHECK(plan.shape.tool == "Read");
  CHECK(plan.framing == Framing::close);
  CHECK(plan.ending == Ending::reset);
  CHECK(plan.cut == 7);
  CHECK(plan.step);
  CHECK(plan.interim);
  CHECK(plan.body == "x");
  CHECK(plan.id == "fixed");
  CHECK(plan.shape.stamped);
  CHECK(plan.separate);
}

TEST_CASE("mock plan: what is not understood is named") {
  Plan plan;
  CHECK(apply(plan, "status", "1000").error().message == "status must be a number up to 999 (was \"1000\")");
  CHECK(apply(plan, "ending", "bang").error().message ==
        "ending must be one of keep, drop, reset, hang (was \"bang\")");
  CHECK(apply(plan, "step", "maybe").error().message == "step must be true or false (was \"maybe\")");
  CHECK_FALSE(apply(plan, "events", "-1"));
  CHECK_FALSE(apply(plan, "delay", "10"));
  CHECK_FALSE(apply(plan, "colour", "red"));
}

TEST_CASE("mock script: answers build on the defaults") {
  Plan defaults;
  defaults.shape.events = 2;
  const auto plans =
      parse_script(R"([{"status":429,"headers":[["Retry-After","7"]]},{"body":{"a":[1]},"step":true}])", defaults);
  REQUIRE(plans);
  REQUIRE(plans->size() == 2);
  CHECK((*plans)[0].status == 429);
  CHECK((*plans)[0].headers == std::vector<std::pair<std::string, std::string>>{{"Retry-After", "7"}});
  CHECK((*plans)[1].body == R"({"a":[1]})");
  CHECK((*plans)[1].step);
  CHECK((*plans)[1].shape.events == 2);
}

TEST_CASE("mock script: mistakes are told") {
  CHECK_FALSE(parse_script("", {}));
  CHECK_FALSE(parse_script("[1]", {}));
  CHECK_FALSE(parse_script(R"({"headers":[["a"]]})", {}));
  CHECK_FALSE(parse_script(R"({"status":"many"})", {}));
  CHECK(parse_script(R"({"status":200})", {})->size() == 1);
}
