// The far ends of the simulation: clients, providers and the authorizer's service. They follow their scripts, and check
// each byte that reaches them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/kernel.h"
#include "sim/script.h"
#include "wire/chunk.h"
#include "wire/head.h"

namespace weir::sim {

// What the actors know of the world that they are in.
class World {
 public:
  virtual ~World() = default;
  virtual Kernel& kernel() = 0;
  virtual Random& random() = 0;
  virtual Plan* plan_of(std::string_view marker) = 0;
  virtual const Person* person_of(std::string_view token) = 0;
  virtual const Person* person_of_key(std::string_view key_id) = 0;
  virtual std::string operator_key(uint32_t provider, uint32_t version) = 0;
  virtual uint32_t key_version() = 0;        // the newest that was posted
  virtual uint32_t known_key_version() = 0;  // that the worker has taken
  // Whether this answer of weir's own may have been caused by what went wrong around it.
  virtual bool excuses(const Plan& plan, uint16_t status) = 0;
  virtual bool authorizer_faulty() = 0;
  virtual bool has_rules() = 0;
  virtual std::string_view username_of(const Plan& plan) = 0;  // as weir knows it
  // Its service may answer twice; never where a jump of the clock makes the pause between the answers look long.
  virtual bool authorizer_doubles() = 0;
  virtual void client_finished() = 0;
};

struct ClientScript {
  uint32_t number = 0;
  int listener = -1;
  bool over_unix = false;
  uint32_t peer = 0;  // see Kernel::dial()
  std::vector<Plan*> plans;
  bool pipelined = false;
  uint64_t start_ns = 0;
  uint64_t think_max_ns = 0;
  size_t piece_max = 0;  // of a request; 0: whole
  uint64_t piece_pause_ns = 0;
  uint64_t body_pause_ns = 0;  // between pieces of a large body: slow, but faster than limits.body_rate
  size_t window = 1u << 20;
  size_t read_chunk = 0;
  uint64_t read_pause_ns = 0;
  uint64_t hold_ns = 0;  // it does not read for so long from its first answer on
  // sends_late: it stops inside its request until that is refused, and then sends the rest as if it had not heard.
  enum class Leave : uint8_t { stays, resets, closes, half_closes, falls_silent, sends_late };
  Leave leave = Leave::stays;
  size_t leave_plan = 0;        // while this one is under way
  uint64_t leave_after_ns = 0;  // so long after it began to write
  size_t leave_write = 0;       // falls_silent, sends_late: so many bytes of the request are written
  bool waits_for_end = false;   // it stays until weir closes the idle connection
};

// A client with one connection at a time; a new one when the last has ended and requests are left.
class Client : public Actor {
 public:
  Client(World& world, ClientScript script);
  void begin();
  bool finished() const { return finished_; }
  std::string describe() const;

  void on_bytes(std::string_view bytes) override;
  void on_end(bool reset) override;

 private:
  void connect();
  void write_next();
  void write_plan(Plan& plan);
  void send(std::string bytes);
  void write_piece(uint32_t connection);
  void parse();
  bool parse_head();
  bool parse_body();
  void take_body(std::string_view bytes);
  void answered();
  void leave();
  void judge_refusal(Plan& plan, uint16_t status);
  void judge_body(Plan& plan, bool whole);
  void over();
  void watch();

  World& world_;
  ClientScript script_;
  Link* link_ = nullptr;
  uint32_t connection_ = 0;  // counts them; what was planned for an earlier one is void
  size_t next_ = 0;          // to write
  size_t current_ = 0;       // to be answered
  std::string outgoing_;
  size_t piece_max_ = 0;
  std::string in_;
  bool in_body_ = false;
  bool refused_ = false;
  uint16_t status_ = 0;
  wire::BodyFraming framing_ = wire::BodyFraming::none;
  uint64_t remaining_ = 0;
  wire::ChunkDecoder decoder_;
  std::string body_;
  bool answer_closes_ = false;
  std::string rest_of_request_;  // after 100
  std::string late_;             // sends_late: after the refusal
  bool left_ = false;
  bool half_closed_ = false;
  bool silent_ = false;
  bool held_ = false;
  bool finished_ = false;
  uint64_t progress_ = 0;
};

class Provider : public Actor {
 public:
  Provider(World& world, Link& link, uint32_t origin)
      : world_(world), link_(link), origin_(origin), opened_ns_(world.kernel().now_ns()) {}
  void on_bytes(std::string_view bytes) override;
  void on_end(bool reset) override;

 private:
  void process();
  void on_head(const wire::RequestHead& head, std::string_view bytes);
  void check_head(Plan& plan, const wire::RequestHead& head, std::string_view bytes);
  void request_complete();
  void begin_answer();
  void write_on(size_t from);
  void fault(Fault kind);
  void answer_over();

  World& world_;
  Link& link_;
  uint32_t origin_;
  uint64_t opened_ns_;
  std::string in_;
  Plan* plan_ = nullptr;
  uint64_t remaining_ = 0;
  std::string body_;
  uint32_t requests_ = 0;
  bool in_body_ = false;
  bool answering_ = false;
  bool answered_ = false;
  bool spoilt_ = false;  // a body may come where none is allowed
  bool over_ = false;
};

class AuthorizerService : public Actor {
 public:
  AuthorizerService(World& world, Link& link) : world_(world), link_(link) {}
  void on_bytes(std::string_view bytes) override;
  void on_end(bool reset) override;

 private:
  void answer(const Person& person, uint32_t version);

  World& world_;
  Link& link_;
  std::string in_;
  bool over_ = false;
};

}  // namespace weir::sim
