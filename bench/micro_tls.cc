// What TLS costs without a socket: CPU of each side for a handshake, for records, and memory of an idle pair. Two
// machines in one thread; the clock is the thread's own CPU time, so a busy computer disturbs it little.
//
//   micro_tls            medians of several runs, one line for each measurement
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "base/assert.h"
#include "base/byte_buffer.h"
#include "support/test_ca.h"
#include "tls/tls.h"

namespace {

using weir::ByteBuffer;
using weir::tls::ClientContext;
using weir::tls::Machine;
using weir::tls::ServerContext;
using weir::tls::Status;

constexpr int kRunCount = 9;

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double median(std::array<double, kRunCount> values) {
  std::ranges::sort(values);
  return values[kRunCount / 2];
}

struct Contexts {
  weir::test::TestCa ca;
  std::shared_ptr<ServerContext> server;
  std::unique_ptr<ClientContext> client;

  Contexts() {
    const weir::test::CertificateFiles files = ca.issue({});
    auto loaded = ServerContext::load(files.certificate, files.key);
    ASSERT(loaded);
    server = std::move(*loaded);
    renew_client();
  }
  void renew_client() {  // without sessions
    auto made = ClientContext::make(ca.ca_file(), "gateway.test");
    ASSERT(made);
    client = std::move(*made);
  }
};

struct Pair {
  explicit Pair(Contexts& contexts)
      : server(Machine::server(*contexts.server)), client(Machine::client(*contexts.client)) {}

  // Adds each side's time to its sum.
  void handshake(double& server_us, double& client_us) {
    double before = cpu_us();
    const auto turn = [&](double& sum) {
      const double now = cpu_us();
      sum += now - before;
      before = now;
    };
    client->start();
    turn(client_us);
    while (!client->outbox().empty() || !server->outbox().empty()) {
      receive(*server, *client);
      turn(server_us);
      receive(*client, *server);
      turn(client_us);
    }
    ASSERT(client->handshake_done() && server->handshake_done());
  }
  void receive(Machine& to, Machine& from) {
    plaintext.clear();
    const Status status = to.receive(from.outbox().view(), plaintext);
    ASSERT(status == Status::ok);
    from.outbox().clear();
  }

  std::unique_ptr<Machine> server;
  std::unique_ptr<Machine> client;
  ByteBuffer plaintext;
};

void measure_handshakes(uint16_t version, const char* name, bool resumed) {
  constexpr int kCount = 200;
  std::array<double, kRunCount> server{};
  std::array<double, kRunCount> client{};
  Contexts contexts;
  SSL_CTX_set_max_proto_version(contexts.server->native(), version);
  for (int run = 0; run < kRunCount; ++run) {
    double server_us = 0;
    double client_us = 0;
    for (int i = 0; i < kCount; ++i) {
      if (!resumed) contexts.renew_client();
      Pair pair(contexts);
      double* sums[] = {&server_us, &client_us};
      double ignored = 0;
      if (i == 0) sums[0] = sums[1] = &ignored;  // the first of a run has nothing to resume
      pair.handshake(*sums[0], *sums[1]);
      if (i > 0) ASSERT(pair.client->resumed() == resumed);
      pair.server->send("x");  // carries the tickets
      pair.receive(*pair.client, *pair.server);
    }
    server[static_cast<size_t>(run)] = server_us / (kCount - 1);
    client[static_cast<size_t>(run)] = client_us / (kCount - 1);
  }
  std::printf("handshake %s %-7s server %7.1f us   client %7.1f us\n", name, resumed ? "resumed" : "full",
              median(server), median(client));
}

void measure_records(size_t size, int count) {
  Contexts contexts;
  Pair pair(contexts);
  double ignored = 0;
  pair.handshake(ignored, ignored);
  const std::string text(size, 'x');
  std::array<double, kRunCount> send{};
  std::array<double, kRunCount> receive{};
  for (size_t run = 0; run < kRunCount; ++run) {
    // One send, one receive in turns, as on a connection; the clock is read once for each half of a batch.
    constexpr int kBatch = 8;
    std::array<std::unique_ptr<ByteBuffer>, kBatch> records;
    for (auto& record : records) record = std::make_unique<ByteBuffer>();
    for (int i = 0; i < count; i += kBatch) {
      const double start = cpu_us();
      for (auto& record : records) {
        pair.server->send(text);
        std::swap(*record, pair.server->outbox());
      }
      const double middle = cpu_us();
      for (auto& record : records) {
        pair.plaintext.clear();
        pair.client->receive(record->view(), pair.plaintext);
        ASSERT(pair.plaintext.size() == size);
        record->clear();
      }
      send[run] += middle - start;
      receive[run] += cpu_us() - middle;
    }
    send[run] /= count;
    receive[run] /= count;
  }
  const double kib = static_cast<double>(size) / 1024;
  std::printf("record %7zu bytes: send %8.2f us (%5.2f us/KiB)   receive %8.2f us (%5.2f us/KiB)\n", size, median(send),
              median(send) / kib, median(receive), median(receive) / kib);
}

// Heap in use per idle connection, after an exchange, with the outboxes given back as a pool does. Many at once, freed
// side by side: the allocator's caches of freed blocks are a rounding error then.
void measure_memory(bool resumed) {
  constexpr size_t kCount = 1000;
  Contexts contexts;
  std::vector<std::unique_ptr<ClientContext>> used_contexts;  // the machines point to them
  std::vector<std::unique_ptr<Machine>> servers;
  std::vector<std::unique_ptr<Machine>> clients;
  double ignored = 0;
  for (size_t i = 0; i < kCount; ++i) {
    Pair pair(contexts);
    pair.handshake(ignored, ignored);
    pair.server->send("x");
    pair.receive(*pair.client, *pair.server);
    pair.client->outbox().release();
    pair.server->outbox().release();
    clients.push_back(std::move(pair.client));
    servers.push_back(std::move(pair.server));
    if (resumed) continue;
    used_contexts.push_back(std::move(contexts.client));
    contexts.renew_client();
  }
  const size_t all = mallinfo2().uordblks;
  servers.clear();
  const size_t without_servers = mallinfo2().uordblks;
  clients.clear();
  const size_t without_clients = mallinfo2().uordblks;
  std::printf("memory of an idle connection, %-7s server %6zu bytes   client %6zu bytes\n",
              resumed ? "resumed" : "full", (all - without_servers) / kCount,
              (without_servers - without_clients) / kCount);
}

}  // namespace

int main() {
  for (const bool resumed : {false, true}) {
    measure_handshakes(TLS1_3_VERSION, "TLSv1.3", resumed);
    measure_handshakes(TLS1_2_VERSION, "TLSv1.2", resumed);
  }
  measure_records(100, 20000);
  measure_records(1024, 20000);
  measure_records(4096, 8000);
  measure_records(16384, 4000);
  measure_records(size_t{1024} * 1024, 40);
  measure_memory(false);
  measure_memory(true);
  return 0;
}
