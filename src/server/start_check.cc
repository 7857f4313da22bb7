#include "server/start_check.h"

#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "gateway/messages.h"
#include "gateway/option.h"
#include "io/address.h"
#include "server/landlock.h"
#include "server/privileges.h"
#include "server/sink_process.h"
#include "tls/tls.h"
#include "wire/target.h"

namespace weir::server {

namespace {

namespace fs = std::filesystem;

fs::path folder_of(const std::string& file) {
  const fs::path folder = fs::path(file).parent_path();
  return folder.empty() ? "." : folder;
}

// Why a folder neither is there nor could be made by this user; empty: it is, or it could.
std::string why_no_folder(const fs::path& folder) {
  std::error_code error;
  fs::path existing = folder;
  while (!fs::exists(existing, error) && existing.has_parent_path() && existing != existing.root_path()) {
    existing = existing.parent_path();
  }
  if (!fs::exists(existing, error)) existing = ".";
  if (!fs::is_directory(existing, error)) return fmt::format("{} is not a folder", existing.string());
  if (::access(existing.c_str(), W_OK | X_OK) == 0) return {};
  return existing == folder
             ? fmt::format("{}: {}", folder.string(), std::strerror(errno))
             : fmt::format("{} does not exist, and {} is not writable for this user: make the folder first",
                           folder.string(), existing.string());
}

class StartCheck {
 public:
  explicit StartCheck(const gateway::Config& config) : config_(config) {}

  Result<> run() {
    check_process();
    for (const gateway::ListenerConfig& listener : config_.listeners) check_listener(listener);
    if (!config_.admin.address.empty()) {
      check_address(config_.admin.address, where(config_.place, "admin.address") + ": admin.address");
    }
    check_authorizer();
    for (const gateway::ProviderConfig& provider : config_.providers) check_provider(provider);
    for (const gateway::SinkConfig& sink : config_.sinks) check_sink(sink);
    return gateway::all_mistakes(std::move(mistakes_));
  }

 private:
  template <class... Args>
  void mistake(fmt::format_string<Args...> format, Args&&... args) {
    mistakes_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  // Of a key outside the arrays of tables.
  std::string at(std::string_view key) const { return where(config_.place, key); }

  void check_process() {
    if (!config_.user.empty()) {
      if (const auto account = find_account(config_.user); !account)
        mistake("{}: {}", at("user"), account.error().message);
    }
    if (const std::string why = why_no_folder(config_.data_dir); !why.empty()) {
      mistake("{}: data_dir \"{}\" cannot be used: {}; choose another with --data-dir", at("data_dir"),
              config_.data_dir, why);
    }
    cpu_set_t usable;
    CPU_ZERO(&usable);
    const bool known = ::sched_getaffinity(0, sizeof usable, &usable) == 0;
    for (const uint32_t core : config_.cpus) {
      if (known && (core >= CPU_SETSIZE || !CPU_ISSET(core, &usable))) {
        mistake(
            "{}: cpus names core {}, which this process may not use (`nproc` and `taskset -p $$` tell which it may)",
            at("cpus"), core);
      }
    }
    if (config_.sandbox == gateway::SandboxMode::required && landlock_version() == 0) {
      mistake(
          "{}: sandbox = \"required\", but this kernel has no Landlock (Linux 5.13, and landlock in the boot parameter "
          "lsm=); "
          "\"on\" runs weir without it",
          at("sandbox"));
    }
  }

  // Whether this machine has the address, not whether its port is free: a running weir has it.
  void check_address(const std::string& text, const std::string& what) {
    if (gateway::is_unix_address(text)) {
      const fs::path folder = folder_of(text.substr(std::string_view("unix:").size()));
      std::error_code error;
      if (!fs::is_directory(folder, error)) {
        mistake("{} \"{}\": the folder of the socket, {}, does not exist; make it first", what, text, folder.string());
      }
      return;
    }
    const auto address = io::parse_address(text.substr(0, text.rfind(':')) + ":0");
    if (!address) return mistake("{}: {}", what, address.error().message);
    const int probe = ::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return mistake("{} \"{}\": {}", what, text, std::strerror(errno));
    if (::bind(probe, reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0 &&
        errno == EADDRNOTAVAIL) {
      mistake("{} \"{}\": no interface of this machine has that address; `ip address` lists them", what, text);
    }
    ::close(probe);
  }

  void check_listener(const gateway::ListenerConfig& listener) {
    check_address(listener.address,
                  fmt::format("{}: listener \"{}\": address", where(listener.place, "address"), listener.name));
    if (listener.certificate.empty()) return;
    if (auto loaded = tls::ServerContext::load(listener.certificate, listener.key); !loaded) {
      mistake("{}: listener \"{}\": {}", where(listener.place, "tls.certificate"), listener.name,
              loaded.error().message);
    }
  }

  // The authorities and the host's name of an https URL, which check_config() has read already.
  void check_origin(const std::string& text, const std::string& ca_file, const std::string& what) {
    const auto url = wire::parse_base_url(text);
    if (!url || !url->tls) return;
    if (auto made = tls::ClientContext::make(ca_file, url->host); !made) mistake("{}{}", what, made.error().message);
  }

  void check_authorizer() {
    const gateway::AuthorizerConfig& authorizer = config_.authorizer;
    if (authorizer.kind != gateway::AuthorizerKind::http) return;
    const std::string_view key = authorizer.ca_file.empty() ? "authorizer.url" : "authorizer.ca_file";
    check_origin(authorizer.url, authorizer.ca_file, fmt::format("{}: {}: ", at(key), key));
  }

  void check_provider(const gateway::ProviderConfig& provider) {
    const std::string url = provider.base_url.empty()
                                ? std::string(gateway::default_base_url(provider.name, provider.type))
                                : provider.base_url;
    const std::string_view key = provider.ca_file.empty() ? "base_url" : "ca_file";
    check_origin(url, provider.ca_file,
                 fmt::format("{}: provider \"{}\": ", where(provider.place, key), provider.name));
  }

  void check_sink(const gateway::SinkConfig& sink) {
    const auto told = [&](std::string_view key, const std::string& why) {
      mistake("{}: sink \"{}\": {}", where(sink.place, key), sink_name(sink), why);
    };
    if (sink.kind == gateway::SinkKind::postgres) return check_postgres(sink, told);
    if (sink.path.empty() || sink.path == "-") return;
    std::error_code error;
    if (fs::is_directory(sink.path, error))
      return told("path", fmt::format("path \"{}\" is a folder; name a file", sink.path));
    const std::string why = why_no_folder(folder_of(sink.path));
    if (!why.empty()) told("path", fmt::format("path \"{}\" cannot be used: {}", sink.path, why));
  }

  // Whether weir-sink will find itself and its connection string. That is not read here: it holds a password.
  template <class Told>
  static void check_postgres(const gateway::SinkConfig& sink, const Told& told) {
    if (!sink.managed) return;
    if (const std::string program = SinkProcess::program(); ::access(program.c_str(), X_OK) != 0) {
      told("kind",
           fmt::format("{} cannot be run: {}; install weir-sink beside weir, or run it elsewhere with managed = false",
                       program, std::strerror(errno)));
    }
    if (!sink.service.empty()) return;
    if (!sink.dsn_file.empty()) {
      if (::access(sink.dsn_file.c_str(), R_OK) == 0) return;
      return told("dsn_file", fmt::format("cannot read dsn_file {}: {}", sink.dsn_file, std::strerror(errno)));
    }
    // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
    if (std::getenv("WEIR_SINK_DSN") == nullptr)
      told("kind", "needs dsn_file or service, or WEIR_SINK_DSN in the environment");
  }

  const gateway::Config& config_;
  std::vector<std::string> mistakes_;
};

}  // namespace

Result<> check_start(const gateway::Config& config) {
  return StartCheck(config).run();
}

}  // namespace weir::server
