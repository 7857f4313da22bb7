// Warm requests allocate nothing on a worker: every malloc of the worker's thread is counted over 10,000 of them. A
// program of its own, because it stands in for malloc; built without sanitizers (suite `release`), which do the same.
#include <doctest/doctest.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

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

namespace weir {
namespace {

using namespace testing;

constexpr int kWarmUp = 300;
constexpr int kRequests = 10000;

size_t allocations_of(const Provider::Script& script, const std::string& request_bytes) {
  Provider provider(script);
  Gateway gateway({.upstream_port = provider.port()});
  Socket client = gateway.connect();
  const auto ask = [&](int count) {
    for (int i = 0; i < count; i++) {
      client.send(request_bytes);
      REQUIRE(client.read_answer().complete);
    }
  };
  ask(kWarmUp);
  allocations = 0;
  counting = true;
  ask(kRequests);
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
  CHECK(
      allocations_of(
          [](Socket& connection) {
            while (connection.read_request().complete) {
              connection.send(json_answer(
                  R"({"id":"r","model":"m","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2}})"));
            }
          },
          request("/openai/v1/chat/completions", kChat)) == 0);
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
  CHECK(
      allocations_of(
          [&](Socket& connection) {
            while (connection.read_request().complete) connection.send(answer);
          },
          request("/anthropic/v1/messages",
                  R"({"model":"claude","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]})")) ==
      0);
}

}  // namespace
}  // namespace weir
