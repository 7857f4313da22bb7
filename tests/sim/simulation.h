// One simulated life of a worker: a world drawn from a seed, run to its end, and checked.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "proxy/worker.h"
#include "record/journal_file.h"
#include "sim/actors.h"
#include "sim/kernel.h"
#include "sim/script.h"

namespace weir::sim {

// What goes wrong in this seed's world, beside the weather.
struct Shape {
  gateway::AuthorizerKind authorizer = gateway::AuthorizerKind::store;
  bool authorizer_faulty = false;
  bool authorizer_doubles = false;
  bool provider_faults = false;
  bool odd_requests = false;
  bool clients_leave = false;
  bool small_pools = false;
  bool journal_full = false;
  bool reloads = false;
  bool drains_early = false;
  bool late_addresses = false;
  bool limits = false;
  bool rules = false;
  bool unix_socket = false;
  bool holes = false;  // nothing answers at the first address of any name
};

// Over all seeds, to see that the simulation reaches what it is for.
struct Totals {
  uint64_t seeds = 0, turns = 0, simulated_ns = 0, requests = 0, answered_whole = 0, interceptions = 0, completed = 0,
           retried = 0, refused = 0, questions_shared = 0, authorizer_spoilt = 0;
};

class Simulation : public World {
 public:
  Simulation(uint64_t seed, LogSink& log, const std::string& folder);
  ~Simulation() override;
  void run(Totals& totals);

  // --- World ---
  Kernel& kernel() override { return kernel_; }
  Random& random() override { return random_; }
  Plan* plan_of(std::string_view marker) override;
  const Person* person_of(std::string_view token) override;
  const Person* person_of_key(std::string_view key_id) override;
  std::string operator_key(uint32_t provider, uint32_t version) override;
  uint32_t key_version() override { return key_version_; }
  uint32_t known_key_version() override { return known_key_version_; }
  bool excuses(const Plan& plan, uint16_t status) override;
  bool authorizer_faulty() override { return shape_.authorizer_faulty; }
  bool has_rules() override { return shape_.rules; }
  std::string_view username_of(const Plan& plan) override;
  bool authorizer_doubles() override {
    return shape_.authorizer_doubles && kernel_.weather().clock_jump_per_10000 == 0;
  }
  void client_finished() override;

 private:
  void draw_shape();
  void draw_weather(Weather& weather);
  void make_people();
  void make_clients();
  ClientScript draw_client(uint32_t number);
  void make_worker();
  std::string configuration() const;
  std::shared_ptr<const proxy::Snapshot> snapshot() const;
  std::shared_ptr<const gateway::TokenTable> tokens() const;
  void post(proxy::Message message);
  void post_snapshot();
  void post_addresses(uint32_t origin);
  void serve();
  void reload();
  void drain(uint64_t within_ns);
  void fill_journal();

  void on_turn();
  void read_journal();
  void take(const record::Start& start);
  void take(const record::TokenUsage& usage);
  void take(const record::End& end);
  void check_slots();
  void check_idle(const char* when);
  void check_plans(Totals& totals);

  uint64_t seed_;
  Random random_;
  Random weather_random_;
  Shape shape_;
  Weather weather_;
  Kernel kernel_;
  LogSink& log_;
  std::string journal_path_;
  std::unique_ptr<record::Journal> journal_;
  uint64_t journal_read_ = 0;
  bool journal_held_ = false;                  // the recorder is away
  std::unique_ptr<gateway::Limiter> limiter_;  // outlives the worker
  std::unique_ptr<proxy::Worker> worker_;
  int listener_ = -1;
  int unix_listener_ = -1;
  std::vector<Person> people_;
  std::deque<Plan> plans_;
  std::unordered_map<std::string, Plan*> by_marker_;
  std::unordered_map<std::string, Plan*> by_interception_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::deque<Provider> providers_;
  std::deque<AuthorizerService> services_;
  uint32_t finished_count_ = 0;
  uint32_t key_version_ = 0;
  uint32_t known_key_version_ = 0;
  bool draining_ = false;
  bool running_ = false;
};

}  // namespace weir::sim
