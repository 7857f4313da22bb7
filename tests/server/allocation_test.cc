// Warm requests allocate nothing on a worker: every malloc of the worker's thread is counted over 10,000 of them. A
// program of its own, because it stands in for malloc; built without sanitizers (suite `release`), which do the same.
#include <doctest/doctest.h>
#include <pthread.h>

#include <atomic>
#include <barrier>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "support/gateway.h"

extern "C" void* __libc_malloc(size_t size);  // NOLINT(bugprone-reserved-identifier): glibc's own, below any stand-in

namespace {

std::atomic<bool> counting{false};
std::atomic<size_t> allocations{0};

// The worker's thread bears this name; others (provider, recorder, log) may allocate as they like.
bool is_worker() {
  thread_local int answer = -1;
  if (answer < 0) {
    char name[16] = {};
    answer = pthread_getname_np(pthread_self(), name, sizeof name) == 0 && std::string_view(name) == "weir-0" ? 1 : 0;
  }
  return answer == 1;
}

}  // namespace

extern "C" void* malloc(size_t size) {
  if (counting.load(std::memory_order_relaxed) && is_worker()) allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}

extern "C" {
void* __real__ZN4weir17undumped_allocateEm(size_t size);   // NOLINT(bugprone-reserved-identifier): ld's --wrap
void* __wrap__ZN4weir17undumped_allocateEm(size_t size);   // NOLINT(bugprone-reserved-identifier)
void* __wrap__ZN4weir17undumped_allocateEm(size_t size) {  // NOLINT(bugprone-reserved-identifier)
  if (counting.load(std::memory_order_relaxed) && is_worker()) allocations.fetch_add(1, std::memory_order_relaxed);
  return __real__ZN4weir17undumped_allocateEm(size);
}
}

namespace weir {
namespace {

using namespace testing;

constexpr int kTogether = 4;
constexpr int kWarmUp = 300;  // by each of them
constexpr int kRequests = 10000;

// The same answer to every request, in two parts that are split at another place each time. While `together`, it waits
// until kTogether requests are there, and sends the second parts when every client has got its first: then the worker
// has had as many exchanges at once, and as many answers in parts, as it can ever have later, when one client asks and
// its next request may overtake the end of the one before.
class SplitProvider {
 public:
  explicit SplitProvider(std::string answer)
      : answer_(std::move(answer)),
        first_(answer_.find("\r\n\r\n") + 5),
        provider_([this](Socket& connection) { serve(connection); }) {}
  uint16_t port() const { return provider_.port(); }
  void first_parts_arrived() { (void)first_parts_.arrive(); }
  void wait_for_nobody() { together_ = false; }

 private:
  void serve(Socket& connection) {
    for (size_t count = 0; connection.read_request().complete; count++) {
      if (together_) requests_.arrive_and_wait();
      const size_t split = first_ + count * 7 % (answer_.size() - first_);
      connection.send(std::string_view(answer_).substr(0, split));
      if (together_) first_parts_.arrive_and_wait();
      connection.send(std::string_view(answer_).substr(split));
    }
  }

  std::string answer_;
  size_t first_;  // a byte of the body comes with the head
  std::barrier<> requests_{kTogether};
  std::barrier<> first_parts_{kTogether + 1};
  std::atomic<bool> together_{true};
  Provider provider_;
};

// What the worker allocates while one client asks kRequests times, after kTogether have asked kWarmUp times each.
size_t allocations_of(const std::string& answer, const std::string& request_bytes) {
  SplitProvider provider(answer);
  Gateway gateway({.upstream_port = provider.port()});
  std::vector<Socket> clients(kTogether);
  for (Socket& client : clients) client = gateway.connect();
  for (int i = 0; i < kWarmUp; i++) {
    for (Socket& client : clients) client.send(request_bytes);
    for (Socket& client : clients) REQUIRE(client.readable(kPatienceMs));
    provider.first_parts_arrived();
    for (Socket& client : clients) REQUIRE(client.read_answer().complete);
  }
  provider.wait_for_nobody();
  allocations = 0;
  counting = true;
  for (int i = 0; i < kRequests; i++) {
    clients[0].send(request_bytes);
    REQUIRE(clients[0].read_answer().complete);
  }
  counting = false;
  CHECK(gateway.rows(1).size() >= 1);
  return allocations;
}

TEST_CASE("allocations: the count sees what a worker allocates when it is cold") {
  counting = true;
  allocations = 0;
  Gateway gateway({.upstream_port = 1});
  Socket client = gateway.connect();
  client.send(request("/openai/v1/chat/completions", kChat));
  CHECK(client.read_answer().status() == 502);
  counting = false;
  CHECK(allocations > 0);
}

TEST_CASE("allocations: 10,000 warm blocking requests need none") {
  const std::string answer = json_answer(
      R"({"id":"r","model":"m","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}})");
  CHECK(allocations_of(answer, request("/openai/v1/chat/completions", kChat)) == 0);
}

TEST_CASE("allocations: 10,000 warm streams need none") {
  std::string stream;
  for (const std::string_view data :
       {R"({"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":5,"output_tokens":1}}})",
        R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
        R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}})",
        R"({"type":"content_block_stop","index":0})",
        R"({"type":"message_delta","delta":{},"usage":{"output_tokens":7}})", R"({"type":"message_stop"})"}) {
    const std::string event = fmt::format("data: {}\n\n", data);
    stream += fmt::format("{:x}\r\n{}\r\n", event.size(), event);
  }
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + stream + "0\r\n\r\n";
  const std::string body =
      R"({"model":"claude","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]})";
  CHECK(allocations_of(answer, request("/anthropic/v1/messages", body)) == 0);
}

}  // namespace
}  // namespace weir
