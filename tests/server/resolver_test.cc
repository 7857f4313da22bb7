#include "server/resolver.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <initializer_list>
#include <iterator>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "base/assert.h"

namespace weir::server {
namespace {

constexpr uint64_t kTtl = 60 * kNsPerSecond;

// Also called in look-ups, whose threads doctest's macros do not know.
io::Address address(const std::string& text) {
  const auto parsed = io::parse_address(text);
  ASSERT(parsed);
  return *parsed;
}

std::vector<io::Address> addresses(std::initializer_list<const char*> texts) {
  std::vector<io::Address> list;
  for (const char* text : texts) list.push_back(address(text));
  return list;
}

std::string text_of(const std::vector<io::Address>& list) {
  std::string text;
  for (const io::Address& one : list) text += (text.empty() ? "" : " ") + one.text();
  return text;
}

std::string interleaved(std::initializer_list<const char*> texts) {
  std::vector<io::Address> list = addresses(texts);
  interleave_families(list);
  return text_of(list);
}

Resolution found(std::initializer_list<const char*> texts) {
  return {.list = addresses(texts), .error = {}};
}
Resolution failure(const char* error) {
  return {.list = {}, .error = error};
}

// A table of one name whose look-ups are answered by the test.
struct OneName {
  // The name must be due at `now_ns`, and not a nanosecond before.
  NameTable::Turn answer(uint64_t now_ns, Resolution resolution) {
    CHECK(table.next_due_ns() == now_ns);
    if (now_ns > 0) CHECK(table.take_due(now_ns - 1).empty());
    const auto due = table.take_due(now_ns);
    REQUIRE(due.size() == 1);
    CHECK(due[0].host == "api.test");
    CHECK(due[0].port == 443);
    CHECK(table.take_due(now_ns + kTtl * 10).empty());  // one look-up at a time
    return table.take(due[0].index, std::move(resolution), now_ns);
  }
  const Addresses& published() const { return *table.published(index); }

  NameTable table{kTtl};
  size_t index = table.add("api.test", 443, 0);
};

// A log that goes to a file, read after everything logged before is written.
class LogFile {
 public:
  LogFile() : descriptor_(::mkstemp(path_.data())), sink_(descriptor_, LogFormat::text, LogLevel::debug) {}
  ~LogFile() {
    logger.reset();  // the sink is still there, its descriptor too
    sink_.flush();
    ::close(descriptor_);
    std::filesystem::remove(path_);
  }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  std::string read() {
    sink_.flush();
    std::ifstream file(path_);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "weir-resolver-XXXXXX").string();
  int descriptor_;
  LogSink sink_;

 public:
  std::unique_ptr<Logger> logger = sink_.make_logger();
};

// Collects publications and lets the test wait for them.
class Inbox {
 public:
  Resolver::OnResolved callback() {
    return [this](size_t index, const std::shared_ptr<const Addresses>& known) {
      const std::scoped_lock lock(mutex_);
      received_.push_back(std::to_string(index) + ": " + (known->error.empty() ? text_of(known->list) : known->error));
      changed_.notify_all();
    };
  }
  std::vector<std::string> wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return received_.size() >= count; });
    return received_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> received_;
};

}  // namespace

TEST_CASE("resolver: the families take turns, beginning with the first, and copies go") {
  CHECK(interleaved({"[2001:db8::1]:443", "[2001:db8::2]:443", "[2001:db8::3]:443", "192.0.2.1:443"}) ==
        "[2001:db8::1]:443 192.0.2.1:443 [2001:db8::2]:443 [2001:db8::3]:443");
  CHECK(interleaved({"192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1"}) == "192.0.2.1:1 [2001:db8::1]:1 192.0.2.2:1");
  CHECK(interleaved({"192.0.2.1:1", "192.0.2.1:1", "192.0.2.2:1"}) == "192.0.2.1:1 192.0.2.2:1");
  CHECK(interleaved({}).empty());
}

TEST_CASE("resolver: a name is looked up at once and again after each TTL") {
  OneName name;
  CHECK(name.table.published(name.index) == nullptr);
  CHECK(name.answer(0, found({"192.0.2.1:443"})) == NameTable::Turn::none);
  CHECK(text_of(name.published().list) == "192.0.2.1:443");
  CHECK(name.answer(kTtl, found({"192.0.2.2:443"})) == NameTable::Turn::none);
  CHECK(text_of(name.published().list) == "192.0.2.2:443");
}

TEST_CASE("resolver: an equal answer is not published again, another one is with a higher generation") {
  OneName name;
  name.answer(0, found({"192.0.2.1:443", "[2001:db8::1]:443"}));
  const uint64_t before = name.published().generation;
  name.answer(kTtl, found({"192.0.2.1:443", "[2001:db8::1]:443"}));
  CHECK(name.published().generation == before);
  name.answer(kTtl * 2, found({"192.0.2.1:443"}));
  CHECK(name.published().generation > before);
}

TEST_CASE("resolver: stale addresses stay in use while look-ups fail, and each turn is told once") {
  OneName name;
  name.answer(0, found({"192.0.2.1:443"}));
  const auto before = name.table.published(name.index);
  CHECK(name.answer(kTtl, failure("Temporary failure in name resolution")) == NameTable::Turn::failed);
  CHECK(name.answer(kTtl + kNsPerSecond, failure("Name or service not known")) == NameTable::Turn::none);
  CHECK(name.table.published(name.index) == before);
  CHECK(name.answer(kTtl + kNsPerSecond * 3, found({"192.0.2.1:443"})) == NameTable::Turn::recovered);
  CHECK(name.table.published(name.index) == before);
}

TEST_CASE("resolver: a name that never resolved is published with its error, and then with its addresses") {
  OneName name;
  CHECK(name.answer(0, failure("Name or service not known")) == NameTable::Turn::failed);
  CHECK(name.published().list.empty());
  CHECK(name.published().error == "Name or service not known");
  CHECK(name.answer(kNsPerSecond, found({"192.0.2.1:443"})) == NameTable::Turn::recovered);
  CHECK(name.published().error.empty());
  CHECK(text_of(name.published().list) == "192.0.2.1:443");
}

TEST_CASE("resolver: failures are retried after pauses that double up to the TTL, and a success resets them") {
  OneName name;
  uint64_t now = 0;
  for (const uint64_t pause_s : {1U, 2U, 4U, 8U, 16U, 32U, 60U, 60U}) {
    name.answer(now, failure("Temporary failure in name resolution"));
    CHECK(name.table.next_due_ns() == now + pause_s * kNsPerSecond);
    now = name.table.next_due_ns();
  }
  name.answer(now, found({"192.0.2.1:443"}));
  name.answer(now + kTtl, failure("Temporary failure in name resolution"));
  CHECK(name.table.next_due_ns() == now + kTtl + kNsPerSecond);
}

TEST_CASE("resolver: IP literals are published at once and never looked up") {
  NameTable table(kTtl);
  for (const char* literal : {"192.0.2.7", "2001:db8::7", "::1"}) {
    const size_t index = table.add(literal, 8443, 5);
    REQUIRE(table.published(index) != nullptr);
    CHECK(table.published(index)->list.size() == 1);
    CHECK(table.published(index)->list[0].host_text() == literal);
    CHECK(table.published(index)->list[0].port() == 8443);
  }
  CHECK(table.next_due_ns() == UINT64_MAX);
  CHECK(table.take_due(UINT64_MAX).empty());
}

TEST_CASE("resolver: a name is known once, each port apart") {
  NameTable table(kTtl);
  CHECK(table.add("api.test", 443, 0) == 0);
  CHECK(table.add("api.test", 8443, 0) == 1);
  CHECK(table.add("api.test", 443, 9) == 0);
  CHECK(table.take_due(0).size() == 2);
}

TEST_CASE("resolver: the system knows localhost, and says why it does not know another") {
  const Resolution local = resolve_by_system("localhost", 4001);
  REQUIRE_FALSE(local.list.empty());
  for (const io::Address& one : local.list) {
    CHECK(one.is_loopback());
    CHECK(one.port() == 4001);
  }
  const Resolution bad = resolve_by_system("not a host name", 4001);
  CHECK(bad.list.empty());
  CHECK_FALSE(bad.error.empty());
}

TEST_CASE("resolver: every subscriber hears of every name, also of those known before it came") {
  LogFile log;
  Inbox early;
  Inbox late;
  Resolver resolver(kTtl, *log.logger, [](const std::string& host, uint16_t) {
    return host == "a.test" ? found({"192.0.2.1:443"}) : failure("Name or service not known");
  });
  resolver.subscribe(early.callback());
  CHECK(resolver.add("a.test", 443) == 0);
  CHECK(early.wait_for(1) == std::vector<std::string>{"0: 192.0.2.1:443"});
  CHECK(resolver.add("192.0.2.9", 80) == 1);
  CHECK(early.wait_for(2)[1] == "1: 192.0.2.9:80");
  CHECK(resolver.add("b.test", 443) == 2);
  CHECK(early.wait_for(3)[2] == "2: Name or service not known");
  resolver.subscribe(late.callback());
  CHECK(late.wait_for(3) == early.wait_for(3));
}

TEST_CASE("resolver: a name is refreshed after its TTL, and failure and recovery are logged once each") {
  LogFile log;
  Inbox inbox;
  auto calls = std::make_shared<std::atomic<int>>(0);
  {
    // Short enough to wait for, and the table's tests show the pauses: here it is the thread that keeps them.
    Resolver resolver(kNsPerMs, *log.logger, [calls](const std::string&, uint16_t) {
      const int call = calls->fetch_add(1);
      if (call == 1 || call == 2) return failure("Temporary failure in name resolution");
      return call == 0 ? found({"192.0.2.1:443"}) : found({"192.0.2.2:443"});
    });
    resolver.subscribe(inbox.callback());
    resolver.add("api.test", 443);
    CHECK(inbox.wait_for(2) == std::vector<std::string>{"0: 192.0.2.1:443", "0: 192.0.2.2:443"});
  }
  CHECK(calls->load() >= 4);
  const std::string lines = log.read();
  const size_t warning = lines.find("cannot resolve a host name; its last addresses stay in use");
  REQUIRE(warning != std::string::npos);
  CHECK(lines.find("host=api.test error=\"Temporary failure in name resolution\" addresses=1") != std::string::npos);
  CHECK(lines.find("cannot resolve", warning + 1) == std::string::npos);
  CHECK(lines.find("a host name is resolved again", warning) != std::string::npos);
}

TEST_CASE("resolver: names that fail together are told together") {
  LogFile log;
  Inbox inbox;
  auto all_asked = std::make_shared<std::latch>(4);
  {
    Resolver resolver(kTtl, *log.logger, [all_asked](const std::string&, uint16_t) {
      all_asked->arrive_and_wait();  // so that the last is asked before the first has its answer
      return failure("Temporary failure in name resolution");
    });
    resolver.subscribe(inbox.callback());
    for (const char* host : {"a.test", "b.test", "c.test", "d.test"}) resolver.add(host, 443);
    CHECK(inbox.wait_for(4).size() == 4);
  }
  const std::string lines = log.read();
  const size_t line = lines.find("cannot resolve host names; retrying host=");
  REQUIRE(line != std::string::npos);
  CHECK(lines.find("cannot resolve", line + 1) == std::string::npos);
  const std::string told = lines.substr(line, lines.find('\n', line) - line);
  for (const char* host : {"a.test", "b.test", "c.test", "d.test"}) CHECK(told.find(host) != std::string::npos);
}

TEST_CASE("resolver: a look-up that hangs delays neither other names nor the end, and its answer is dropped") {
  LogFile log;
  Inbox inbox;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  auto ended = std::make_shared<std::promise<void>>();
  std::future<void> lookup_ended = ended->get_future();
  {
    Resolver resolver(kTtl, *log.logger, [released, ended](const std::string& host, uint16_t) {
      if (host == "other.test") return found({"192.0.2.1:443"});
      released.wait();
      ended->set_value();
      return found({"192.0.2.2:443"});
    });
    resolver.subscribe(inbox.callback());
    resolver.add("hangs.test", 443);
    resolver.add("other.test", 443);
    CHECK(inbox.wait_for(1) == std::vector<std::string>{"1: 192.0.2.1:443"});
  }
  release.set_value();  // the resolver is gone: it did not wait for this
  lookup_ended.wait();
  CHECK(inbox.wait_for(1).size() == 1);
}

TEST_CASE("resolver: names may be added from the callback") {
  LogFile log;
  Inbox inbox;
  const auto tell = inbox.callback();
  Resolver resolver(kTtl, *log.logger, [](const std::string&, uint16_t) { return found({"192.0.2.1:443"}); });
  resolver.subscribe([&](size_t index, const std::shared_ptr<const Addresses>& known) {
    if (index == 0) resolver.add("second.test", 443);
    tell(index, known);
  });
  resolver.add("first.test", 443);
  CHECK(inbox.wait_for(2) == std::vector<std::string>{"0: 192.0.2.1:443", "1: 192.0.2.1:443"});
}

}  // namespace weir::server
