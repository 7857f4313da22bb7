#include "io/engine.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace weir::io {
namespace {

constexpr uint64_t kPatience = 5 * kNsPerSecond;

struct Pair {
  std::array<int, 2> ends{-1, -1};
  Pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0); }
  ~Pair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
};

struct Fixture {
  std::unique_ptr<Engine> engine;
  explicit Fixture(uint32_t buffers = 16, uint32_t size = 1024)
      : Fixture(EngineOptions{.buffers = buffers, .buffer_size = size}) {}
  // As `weir serve` runs it: what the engine does must be on the list of what its ring may do.
  explicit Fixture(EngineOptions options) {
    options.entries = 64;
    options.completion_entries = 256;
    options.restricted = probe_kernel().restrictions;
    auto made = Engine::create(options);
    REQUIRE_MESSAGE(made.has_value(), (made ? "" : made.error().message));
    engine = std::move(*made);
  }
  // The next completions, at least one.
  std::vector<Completion> next() {
    std::array<Completion, 32> out;
    const uint64_t deadline = monotonic_ns() + kPatience;
    while (monotonic_ns() < deadline) {
      const size_t count = engine->wait(out, 100 * kNsPerMs);
      if (count > 0) return {out.begin(), out.begin() + static_cast<long>(count)};
    }
    FAIL("no completion in time");
    return {};
  }
  std::string text_of(const Completion& completion) {
    std::string text(engine->buffer_data(completion.buffer), static_cast<size_t>(completion.result));
    engine->release_buffer(completion.buffer);
    return text;
  }
};

void write_all(int descriptor, std::string_view bytes) {
  REQUIRE(::write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

TEST_CASE("engine: a token survives packing") {
  const Token token{.op = 7, .index = kTokenIndexMax, .generation = 0xDEADBEEF};
  const Token back = Token::unpack(token.pack());
  CHECK(back.op == 7);
  CHECK(back.index == kTokenIndexMax);
  CHECK(back.generation == 0xDEADBEEF);
}

TEST_CASE("engine: a multishot receive yields each write and then the end") {
  Fixture fixture;
  Pair pair;
  fixture.engine->receive(pair.ends[0], {.op = 1, .index = 5, .generation = 9});
  for (const char* text : {"one", "two"}) {
    fixture.engine->wait({}, 0);
    write_all(pair.ends[1], text);
    const auto got = fixture.next();
    REQUIRE(got.size() == 1);
    CHECK(got[0].token.index == 5);
    CHECK(got[0].more);
    CHECK(fixture.text_of(got[0]) == text);
  }
  ::shutdown(pair.ends[1], SHUT_WR);
  const auto end = fixture.next();
  CHECK(end[0].code == Code::ok);
  CHECK(end[0].result == 0);
  CHECK_FALSE(end[0].more);
  CHECK(fixture.engine->buffers_free() == 16);
}

TEST_CASE("engine: without a feature all works, and what ends without `more` is started again") {
  const EngineOptions variants[] = {
      {.multishot_receive = false},
      {.multishot_accept = false},
      {.deferred_work = false},
      {.deferred_work = false, .cooperative_work = false},
      {.registered_ring = false},
      {.multishot_receive = false, .multishot_accept = false, .deferred_work = false, .registered_ring = false},
  };
  for (const EngineOptions& variant : variants) {
    CAPTURE(variant.multishot_receive);
    CAPTURE(variant.multishot_accept);
    CAPTURE(variant.deferred_work);
    Fixture fixture(variant);
    const auto listener = listen_on(*parse_address("127.0.0.1:0"), {});
    REQUIRE(listener.has_value());
    fixture.engine->accept(*listener, {.op = 1});
    for (int i = 0; i < 2; ++i) {
      const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      REQUIRE(client >= 0);
      const auto address = local_address(*listener);
      REQUIRE(::connect(client, reinterpret_cast<const sockaddr*>(&address->storage), address->size) == 0);
      const auto accepted = fixture.next();
      REQUIRE(accepted.size() == 1);
      CHECK(accepted[0].more == variant.multishot_accept);
      if (!accepted[0].more) fixture.engine->accept(*listener, {.op = 1});
      fixture.engine->receive(accepted[0].result, {.op = 2});
      for (const char* text : {"one", "two"}) {
        write_all(client, text);
        const auto got = fixture.next();
        REQUIRE(got.size() == 1);
        CHECK(got[0].token.op == 2);
        CHECK(got[0].more == variant.multishot_receive);
        CHECK(fixture.text_of(got[0]) == text);
        if (!got[0].more) fixture.engine->receive(accepted[0].result, {.op = 2});
      }
      ::close(client);
      CHECK(fixture.next()[0].result == 0);
      ::close(accepted[0].result);
    }
    ::close(*listener);
    CHECK(fixture.engine->buffers_free() == fixture.engine->buffers_total());
  }
}

TEST_CASE("engine: slices are sent in order by one operation") {
  Fixture fixture;
  Pair pair;
  std::string head = "head ";
  std::string body = "body";
  const std::array<iovec, 2> slices{{{head.data(), head.size()}, {body.data(), body.size()}}};
  fixture.engine->send(pair.ends[0], slices, {.op = 2});
  const auto sent = fixture.next();
  CHECK(sent[0].result == 9);
  std::array<char, 16> got{};
  CHECK(::read(pair.ends[1], got.data(), got.size()) == 9);
  CHECK(std::string_view(got.data(), 9) == "head body");
}

TEST_CASE("engine: a receive without buffers is held until a quarter is back, and loses nothing") {
  Fixture fixture(4, 16);
  Pair pair;
  fixture.engine->receive(pair.ends[0], {.op = 1});
  fixture.engine->wait({}, 0);
  const std::string sent(size_t{16} * 6, 'x');
  write_all(pair.ends[1], sent);
  std::vector<Completion> held;
  bool starved = false;
  while (!starved) {
    for (const Completion& completion : fixture.next()) {
      if (completion.code == Code::no_buffers) {
        starved = true;
        CHECK_FALSE(completion.more);
        fixture.engine->receive(pair.ends[0], {.op = 1});
      } else {
        held.push_back(completion);
      }
    }
  }
  REQUIRE(held.size() == 4);
  std::array<Completion, 8> none;
  CHECK(fixture.engine->wait(none, 20 * kNsPerMs) == 0);  // parked: no spinning, no completion
  size_t received = 0;
  for (const Completion& completion : held) received += fixture.text_of(completion).size();
  while (received < sent.size()) {
    for (const Completion& completion : fixture.next()) {
      REQUIRE(completion.code == Code::ok);
      received += fixture.text_of(completion).size();
    }
  }
  CHECK(received == sent.size());
  CHECK(fixture.engine->counters().receives_starved >= 1);
}

TEST_CASE("engine: a receive of one piece leaves the rest to the next") {
  Fixture fixture(4, 16);
  Pair pair;
  write_all(pair.ends[1], std::string(size_t{16} * 3, 'x'));
  for (int i = 0; i < 3; i++) {
    fixture.engine->receive_once(pair.ends[0], {.op = 1});
    const auto completions = fixture.next();
    REQUIRE(completions.size() == 1);
    CHECK_FALSE(completions[0].more);
    CHECK(fixture.text_of(completions[0]) == std::string(16, 'x'));
  }
}

TEST_CASE("engine: cancel ends a receive, a parked one too") {
  Fixture fixture(4, 16);
  Pair pair;
  const Token token{.op = 3, .index = 1, .generation = 1};
  fixture.engine->receive(pair.ends[0], token);
  fixture.engine->wait({}, 0);
  fixture.engine->cancel(token);
  const auto ended = fixture.next();
  CHECK(ended[0].code == Code::cancelled);
  CHECK_FALSE(ended[0].more);
}

TEST_CASE("engine: shutdown ends the pending operations of a socket") {
  Fixture fixture;
  Pair pair;
  fixture.engine->receive(pair.ends[0], {.op = 1});
  fixture.engine->wait({}, 0);
  fixture.engine->shutdown(pair.ends[0]);
  const auto ended = fixture.next();
  CHECK(ended[0].result == 0);
  CHECK_FALSE(ended[0].more);
}

TEST_CASE("engine: connect and accept over TCP, a refused one says so") {
  Fixture fixture;
  const auto listener = listen_on(*parse_address("127.0.0.1:0"), {});
  REQUIRE(listener.has_value());
  const auto bound = local_address(*listener);
  fixture.engine->accept(*listener, {.op = 1});
  const auto client = open_stream(AF_INET);
  fixture.engine->connect(*client, *bound, {.op = 2});
  int accepted = -1;
  bool connected = false;
  while (accepted < 0 || !connected) {
    for (const Completion& completion : fixture.next()) {
      REQUIRE(completion.code == Code::ok);
      if (completion.token.op == 1) accepted = completion.result;
      if (completion.token.op == 2) connected = true;
    }
  }
  CHECK(peer_address(accepted)->port() == local_address(*client)->port());
  ::close(*listener);
  ::close(accepted);
  ::close(*client);
  fixture.engine->cancel({.op = 1});
  CHECK(fixture.next()[0].code == Code::cancelled);  // only now the port is free
  const auto second = open_stream(AF_INET);
  fixture.engine->connect(*second, *bound, {.op = 4});
  CHECK(fixture.next()[0].code == Code::refused);
  ::close(*second);
}

TEST_CASE("engine: with a least wait, one turn takes what comes within it") {
  if (!probe_kernel().min_wait) {
    MESSAGE("skipped: this kernel has no least wait (it came with Linux 6.12)");
    return;
  }
  auto engine = Engine::create({.entries = 64, .buffers = 16, .wait_us = 200'000});
  REQUIRE(engine.has_value());
  Pair first, second;
  (*engine)->receive(first.ends[0], {.op = 1});
  (*engine)->receive(second.ends[0], {.op = 2});
  (*engine)->wait({}, 0);
  write_all(first.ends[1], "a");
  std::thread later([&] {
    // Some time after the first is there; a turn without a least wait would have returned with it.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    write_all(second.ends[1], "b");
  });
  std::array<Completion, 8> completions;
  CHECK((*engine)->wait(completions, 5 * kNsPerSecond) == 2);
  later.join();
}

TEST_CASE("engine: a least wait is no more than the timeout when nothing comes") {
  auto engine = Engine::create({.entries = 64, .buffers = 16, .wait_us = 100});
  REQUIRE(engine.has_value());
  std::array<Completion, 8> completions;
  const uint64_t before = monotonic_ns();
  CHECK((*engine)->wait(completions, 20 * kNsPerMs) == 0);
  CHECK(monotonic_ns() - before >= 20 * kNsPerMs);
}

uint64_t sleeps_of_this_thread() {
  rusage used{};
  REQUIRE(::getrusage(RUSAGE_THREAD, &used) == 0);
  return static_cast<uint64_t>(used.ru_nvcsw);
}
uint64_t cpu_ns_of_this_thread() {
  timespec used{};
  REQUIRE(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
  return static_cast<uint64_t>(used.tv_sec) * kNsPerSecond + static_cast<uint64_t>(used.tv_nsec);
}

TEST_CASE("engine: busy polling finds what comes without sleeping") {
  for (const bool deferred : {true, false}) {
    CAPTURE(deferred);
    Fixture fixture(EngineOptions{
        .buffers = 16, .busy_poll_ns = kPatience, .deferred_work = deferred, .cooperative_work = deferred});
    Pair pair;
    fixture.engine->receive(pair.ends[0], {.op = 1});
    fixture.engine->wait({}, 0);
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // long enough that another engine would sleep
      write_all(pair.ends[1], "a");
    });
    std::array<Completion, 8> completions;
    const uint64_t slept = sleeps_of_this_thread();
    const size_t count = fixture.engine->wait(completions, kPatience);
    CHECK(sleeps_of_this_thread() == slept);
    later.join();
    REQUIRE(count == 1);
    CHECK(completions[0].result == 1);
  }
}

TEST_CASE("engine: busy polling ends with the timeout, and sleeps when its own time is over") {
  std::array<Completion, 8> completions;
  {
    Fixture fixture(EngineOptions{.buffers = 16, .busy_poll_ns = kNsPerSecond});
    const uint64_t before = monotonic_ns();
    CHECK(fixture.engine->wait(completions, 10 * kNsPerMs) == 0);
    CHECK(monotonic_ns() - before >= 10 * kNsPerMs);
    CHECK(monotonic_ns() - before < kNsPerSecond);
  }
  Fixture fixture(EngineOptions{.buffers = 16, .busy_poll_ns = 50 * kNsPerUs});
  const uint64_t before = monotonic_ns();
  const uint64_t used = cpu_ns_of_this_thread();
  const uint64_t slept = sleeps_of_this_thread();
  CHECK(fixture.engine->wait(completions, 200 * kNsPerMs) == 0);
  CHECK(monotonic_ns() - before >= 200 * kNsPerMs);
  CHECK(sleeps_of_this_thread() > slept);
  CHECK(cpu_ns_of_this_thread() - used < 100 * kNsPerMs);
}

// Counts what comes back.
struct CountingLender final : Lender {
  void give_back(uint32_t block, const char* memory) override {
    last_block = block;
    last_memory = memory;
    given_back++;
  }
  bool is_held(uint32_t) const override { return given_back == 0; }
  uint32_t last_block = 0;
  const char* last_memory = nullptr;
  int given_back = 0;
};

TEST_CASE("engine: receive_into waits for all of it") {
  Fixture fixture;
  Pair pair;
  std::array<char, 6> into{};
  CountingLender lender;
  const Loan loan(lender, 7, into);
  fixture.engine->receive_into(pair.ends[0], loan, {.op = 1});
  fixture.engine->wait({}, 0);
  write_all(pair.ends[1], "abc");
  fixture.engine->wait({}, 0);
  write_all(pair.ends[1], "def");
  CHECK(fixture.next()[0].result == 6);
  CHECK(std::string_view(into.data(), 6) == "abcdef");
}

TEST_CASE("engine: a cancelled receive_into says how much had come, and writes nothing after that") {
  Fixture fixture;
  Pair pair;
  std::array<char, 6> into{};
  CountingLender lender;
  const Loan loan(lender, 7, into);
  fixture.engine->receive_into(pair.ends[0], loan, {.op = 1});
  fixture.engine->wait({}, 0);
  write_all(pair.ends[1], "abc");
  fixture.engine->wait({}, 0);
  fixture.engine->cancel({.op = 1});
  CHECK(fixture.next()[0].result == 3);
  write_all(pair.ends[1], "def");
  fixture.engine->wait({}, 0);
  CHECK(std::string_view(into.data(), 6) == std::string_view("abc\0\0\0", 6));
}

TEST_CASE("engine: a loan goes back once, when its last holder lets go") {
  CountingLender lender;
  std::array<char, 4> memory{};
  {
    Loan first(lender, 7, memory);
    Loan second(std::move(first));
    CHECK(!first.is_out());  // NOLINT(bugprone-use-after-move): moving from one is what is tested
    Loan third;
    third = std::move(second);
    CHECK(third.is_out());
    CHECK(lender.given_back == 0);
    third = Loan();
    CHECK(lender.given_back == 1);
  }
  CHECK(lender.given_back == 1);
  CHECK(lender.last_block == 7);
  CHECK(lender.last_memory == memory.data());
}

TEST_CASE("engine: a restricted ring takes nothing that the engine does not need") {
  if (!probe_kernel().restrictions) {
    MESSAGE("skipped: this kernel has no ring restrictions");
    return;
  }
  const Fixture fixture;
  const auto register_with = [](int ring, unsigned what, void* argument, unsigned count) {
    return ::syscall(SYS_io_uring_register, ring, what, argument, count) < 0 ? errno : 0;
  };
  std::array<char, 4096> memory;
  iovec buffer{memory.data(), memory.size()};
  int rings = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry.path(), error) != "anon_inode:[io_uring]") continue;
    const int ring = std::stoi(entry.path().filename().string());
    CHECK(register_with(ring, 0 /* IORING_REGISTER_BUFFERS */, &buffer, 1) == EACCES);
    CHECK(register_with(ring, 9 /* IORING_REGISTER_PERSONALITY */, nullptr, 0) == EACCES);
    rings++;
  }
  CHECK(rings == 1);
}

TEST_CASE("address: texts of every kind come back as they were") {
  for (const char* text : {"127.0.0.1:4001", "0.0.0.0:0", "[::1]:65535", "unix:/run/weir/agents.sock"}) {
    const auto address = parse_address(text);
    REQUIRE(address.has_value());
    CHECK(address->text() == text);
  }
  CHECK(parse_address("127.9.9.9:1")->is_loopback());
  CHECK(parse_address("[::1]:1")->is_loopback());
  CHECK_FALSE(parse_address("10.0.0.1:1")->is_loopback());
}

TEST_CASE("address: what is no address is refused with the reason") {
  for (const char* text : {"", "4001", "localhost:1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                           "[::1:1", "[x]:1", "unix:", "256.0.0.1:1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_address(text).has_value());
  }
}

}  // namespace
}  // namespace weir::io
