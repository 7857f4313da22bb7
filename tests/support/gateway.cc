#include "support/gateway.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "base/clock.h"
#include "gateway/config.h"

namespace weir::testing {

namespace {

void write_file(const std::string& path, std::string_view text) {
  std::ofstream(path) << text;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

std::string read_file(const std::string& path, uintmax_t from = 0) {
  std::ifstream file(path);
  std::string text(std::filesystem::file_size(path) - from, '\0');
  file.seekg(static_cast<std::streamoff>(from));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  return text;
}

uint16_t port_of(const std::string& address) {
  return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

std::string first_configuration(const Gateway::Options& options, const std::string& folder) {
  write_file(folder + "/anthropic.key", "sk-ant-operator-0123456789abcdef");
  write_file(folder + "/openai.key", "sk-operator-0123456789abcdef");
  std::string text =
      fmt::format("data_dir = \"{}/data\"\nworkers = {}\nbuffers = {}\n", folder, options.workers, options.buffers);
  text += options.toml.starts_with('[') ? "" : options.toml;
  text +=
      options.listeners.empty() ? "\n[[listener]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\n" : options.listeners;
  text += fmt::format(
      R"(
[[provider]]
name = "anthropic"
type = "anthropic"
base_url = "{0}"
key = {{ file = "{1}/anthropic.key" }}
{2}
[[provider]]
name = "openai"
type = "openai"
base_url = "{0}/v1"
key = {{ file = "{1}/openai.key" }}
{2}
[[provider]]
name = "copilot"
type = "copilot"
base_url = "{0}"
)",
      fmt::format("{}:{}", options.ca_file.empty() ? "http://127.0.0.1" : "https://localhost", options.upstream_port),
      folder, options.ca_file.empty() ? "" : fmt::format("ca_file = \"{}\"", options.ca_file));
  if (options.toml.starts_with('[')) text += options.toml;
  return text;
}

}  // namespace

Gateway::Gateway(const Options& options) {
  folder_ = (std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string();
  if (::mkdtemp(folder_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  std::filesystem::create_directories(folder_ + "/data");
  auto store = record::Store::open(folder_ + "/data/weir.db");
  if (!store) throw std::runtime_error(store.error().message);
  record::GatewayKey key;
  key.id = "0b5d6f1c-2a34-4e7f-8a9b-0c1d2e3f4a5b";
  key.username = "ann";
  key.initiator_id = kInitiator;
  key.hint = "weir...6789";
  key.token_sha256 = sha256(kToken);
  key.created_at = unix_us();
  if (auto added = (*store)->add_key(key); !added) throw std::runtime_error(added.error().message);

  const std::string path = folder_ + "/weir.toml";
  write_file(path, first_configuration(options, folder_));
  auto config = gateway::load_config(path);
  if (!config) throw std::runtime_error(config.error().message);
  log_descriptor_ = ::open((folder_ + "/log").c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
  sink_ = std::make_unique<LogSink>(log_descriptor_, LogFormat::text, LogLevel::debug);
  server::ServerOptions server_options;
  server_options.config = std::move(*config);
  server_options.reload = [path] { return gateway::load_config(path); };
  auto server = server::Server::start(std::move(server_options), *sink_);
  if (!server) throw std::runtime_error(server.error().message);
  server_ = std::move(*server);
  thread_ = std::thread([this] { exit_code_ = server_->run(); });
}

Gateway::~Gateway() {
  stop();
  server_.reset();
  sink_.reset();
  if (log_descriptor_ >= 0) ::close(log_descriptor_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

int Gateway::stop() {
  if (thread_.joinable()) {
    server_->stop();
    thread_.join();
  }
  return exit_code_;
}

uint16_t Gateway::port(size_t listener) const {
  return port_of(server_->listening()[listener].address);
}

uint16_t Gateway::admin_port() const {
  return port_of(server_->admin_address());
}

std::vector<record::InterceptionRow> Gateway::rows(size_t count) const {
  auto store = record::Store::open(folder_ + "/data/weir.db");
  std::vector<record::InterceptionRow> rows;
  eventually([&] {
    auto found = (*store)->log({.limit = 10000});
    if (!found) return false;
    std::erase_if(*found, [](const auto& row) { return !row.ended_at; });
    rows = std::move(*found);
    return rows.size() >= count;
  });
  std::ranges::reverse(rows);
  return rows;
}

size_t Gateway::row_count() const {
  auto store = record::Store::open(folder_ + "/data/weir.db");
  auto found = (*store)->log({.limit = 100000});
  return found ? found->size() : 0;
}

std::string Gateway::log() const {
  sink_->flush();
  return read_file(folder_ + "/log");
}

std::string Gateway::configuration() const {
  return read_file(folder_ + "/weir.toml");
}

void Gateway::reload(const std::string& configuration) {
  const std::string log = folder_ + "/log";
  sink_->flush();
  const uintmax_t before = std::filesystem::file_size(log);
  write_file(folder_ + "/weir.toml", configuration);
  ::kill(::getpid(), SIGHUP);
  const auto done = [&] { return read_file(log, before).find("configuration reloaded") != std::string::npos; };
  if (!eventually(done)) throw std::runtime_error("the reload took too long");
}

void block_reload_signal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

std::string request(std::string_view path, std::string_view body, std::string_view more_headers) {
  if (body.empty()) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {}\r\n{}\r\n", path, kToken, more_headers);
  }
  return fmt::format("POST {} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n{}\r\n{}", path,
                     kToken, body.size(), more_headers, body);
}

std::string json_answer(std::string_view body, std::string_view more_headers) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n{}", body.size(),
                     more_headers, body);
}

}  // namespace weir::testing
