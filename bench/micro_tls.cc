// What TLS costs without a socket: CPU of each side for a handshake, for records, and memory of an idle pair. Two
// machines in one thread; the clock is the thread's own CPU time, so a busy computer disturbs it little. Medians of
// several runs.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "base/assert.h"
#include "base/byte_buffer.h"
#include "micro.h"
#include "support/test_ca.h"
#include "tls/tls.h"

namespace {

using weir::ByteBuffer;
using weir::tls::ClientContext;
using weir::tls::Machine;
using weir::tls::ServerContext;
using weir::tls::Status;

// A wrong result of one of the machines is a failed ASSERT; what --smoke changes is how often they are asked.
size_t runs(const weir::bench::Micro& micro) {
  return micro.smoke() ? 1 : 9;
}

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
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

void measure_handshakes(weir::bench::Micro& micro, uint16_t version, std::string_view version_name, bool resumed) {
  const std::string name = fmt::format("handshake {} {}", version_name, resumed ? "resumed" : "full");
  if (!micro.wants(name)) return;
  micro.count_one();
  const int count = micro.smoke() ? 3 : 200;
  std::vector<double> server;
  std::vector<double> client;
  server.reserve(runs(micro));
  client.reserve(runs(micro));
  Contexts contexts;
  SSL_CTX_set_max_proto_version(contexts.server->native(), version);
  for (size_t run = 0; run < runs(micro); ++run) {
    double server_us = 0;
    double client_us = 0;
    for (int i = 0; i < count; ++i) {
      if (!resumed) contexts.renew_client();
      Pair pair(contexts);
      double* sums[] = {&server_us, &client_us};
      double ignored = 0;
      if (i == 0) sums[0] = sums[1] = &ignored;  // the first of a run has nothing to resume
      pair.handshake(*sums[0], *sums[1]);
      if (i > 0) micro.check(pair.client->resumed() == resumed, name);
      pair.server->send("x");  // carries the tickets
      pair.receive(*pair.client, *pair.server);
    }
    server.push_back(server_us / (count - 1));
    client.push_back(client_us / (count - 1));
  }
  if (micro.smoke()) return;
  fmt::print("{:<26} server {:7.1f} us   client {:7.1f} us\n", name, median(server), median(client));
}

void measure_records(weir::bench::Micro& micro, size_t size, int usual_count) {
  const std::string name = fmt::format("record {:7} bytes", size);
  if (!micro.wants(name)) return;
  micro.count_one();
  const int count = micro.smoke() ? 8 : usual_count;
  Contexts contexts;
  Pair pair(contexts);
  double ignored = 0;
  pair.handshake(ignored, ignored);
  const std::string text(size, 'x');
  std::vector<double> send(runs(micro)), receive(runs(micro));
  for (size_t run = 0; run < runs(micro); ++run) {
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
        micro.check(pair.plaintext.view() == text, name);
        record->clear();
      }
      send[run] += middle - start;
      receive[run] += cpu_us() - middle;
    }
    send[run] /= count;
    receive[run] /= count;
  }
  if (micro.smoke()) return;
  const double kib = static_cast<double>(size) / 1024;
  fmt::print("{}: send {:8.2f} us ({:5.2f} us/KiB)   receive {:8.2f} us ({:5.2f} us/KiB)\n", name, median(send),
             median(send) / kib, median(receive), median(receive) / kib);
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Of an idle connection's two machines, after an exchange, with the outboxes given back as a pool does. What the
// process grows by: the TLS library's memory does not come from the heap (base/undumped.h). Resumed, since both
// contexts then serve all of them.
void measure_memory(weir::bench::Micro& micro) {
  const std::string name = "memory of an idle connection";
  if (!micro.wants(name) || micro.smoke()) return;  // a figure alone: there is no result that could be wrong
  micro.count_one();
  constexpr size_t kCount = 4000;
  Contexts contexts;
  std::vector<std::unique_ptr<Machine>> machines;
  machines.reserve(2 * (kCount + 100));
  uint64_t before = 0;
  double ignored = 0;
  for (size_t i = 0; i < kCount + 100; ++i) {
    if (i == 100) before = resident_bytes();  // what is made once has been made
    Pair pair(contexts);
    pair.handshake(ignored, ignored);
    pair.server->send("x");
    pair.receive(*pair.client, *pair.server);
    pair.client->outbox().release();
    pair.server->outbox().release();
    machines.push_back(std::move(pair.client));
    machines.push_back(std::move(pair.server));
  }
  fmt::print("{}: {} bytes, client and server together\n", name, (resident_bytes() - before) / kCount);
}

}  // namespace

int main(int argc, char** argv) {
  weir::bench::Micro micro(argc, argv);
  for (const bool resumed : {false, true}) {
    measure_handshakes(micro, TLS1_3_VERSION, "TLSv1.3", resumed);
    measure_handshakes(micro, TLS1_2_VERSION, "TLSv1.2", resumed);
  }
  measure_records(micro, 100, 20000);
  measure_records(micro, 1024, 20000);
  measure_records(micro, 4096, 8000);
  measure_records(micro, 16384, 4000);
  measure_records(micro, size_t{1024} * 1024, 40);
  measure_memory(micro);
  return micro.finish();
}
