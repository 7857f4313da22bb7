#include "server/sandbox.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "base/instrumented.h"
#include "io/engine.h"
#include "server/privileges.h"
#include "server/system_call_filter.h"

namespace weir::server {

namespace {

namespace fs = std::filesystem;

// For names (glibc and its modules), certificates, time zones, SQLite's chance, the journal's boot id.
constexpr const char* kSystemFiles[] = {"/etc/resolv.conf",
                                        "/etc/hosts",
                                        "/etc/nsswitch.conf",
                                        "/etc/gai.conf",
                                        "/etc/host.conf",
                                        "/etc/services",
                                        "/etc/protocols",
                                        "/etc/ld.so.cache",
                                        "/etc/ssl",
                                        "/etc/ca-certificates",
                                        "/etc/pki",
                                        "/etc/localtime",
                                        "/usr/share/ca-certificates",
                                        "/usr/local/share/ca-certificates",
                                        "/usr/share/zoneinfo",
                                        "/lib",
                                        "/lib64",
                                        "/usr/lib",
                                        "/usr/lib64",
                                        "/usr/local/lib",
                                        "/run/systemd/resolve",
                                        "/run/resolvconf",
                                        "/run/NetworkManager",
                                        "/dev/null",
                                        "/dev/urandom",
                                        "/dev/random",
                                        "/proc/sys/kernel/random",
                                        "/proc/sys/vm/overcommit_memory",
                                        "/sys/devices/system/cpu/online"};

// The folder of a file, and that of the file which it links to. The root folder would be everything: then the file
// alone.
void add_folder_of(const std::string& file, std::vector<std::string>& paths) {
  if (file.empty()) return;
  std::error_code error;
  for (const fs::path& path : {fs::absolute(file, error), fs::weakly_canonical(file, error)}) {
    const fs::path folder = path.parent_path();
    paths.push_back(folder == folder.root_path() ? path.string() : folder.string());
  }
}

std::string database_folder(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

Result<> lacking(const gateway::Config& config, Confinement& confinement, std::string what) {
  if (config.sandbox == gateway::SandboxMode::required) {
    return fail("{}; --sandbox on runs weir without it", what);
  }
  confinement.missing.push_back(std::move(what));
  return {};
}

Result<> become_user(const gateway::Config& config) {
  if (config.user.empty()) return {};
  auto account = find_account(config.user);
  if (!account) return std::unexpected(account.error());
  if (::geteuid() == 0) {
    if (auto given = give_folder(config.data_dir, *account); !given) return given;
  }
  return become(*account);
}

}  // namespace

FileRights files_of(const gateway::Config& config) {
  FileRights rights;
  rights.read.assign(std::begin(kSystemFiles), std::end(kSystemFiles));
  add_folder_of(config.file, rights.read);
  add_folder_of(config.authorizer.ca_file, rights.read);
  for (const gateway::ListenerConfig& listener : config.listeners) {
    add_folder_of(listener.certificate, rights.read);
    add_folder_of(listener.key, rights.read);
  }
  for (const gateway::ProviderConfig& provider : config.providers) {
    add_folder_of(provider.ca_file, rights.read);
    add_folder_of(provider.key.file, rights.read);
  }
  for (const char* variable : {"CREDENTIALS_DIRECTORY", "SSL_CERT_DIR"}) {
    const char* folder = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): there is one thread
    if (folder != nullptr && *folder != '\0') rights.read.emplace_back(folder);
  }
  if (kInstrumented) rights.read.emplace_back("/proc");  // a sanitizer reads the process's maps when it reports
  rights.write.push_back(config.data_dir);
  for (const gateway::SinkConfig& sink : config.sinks) {
    if (!sink.path.empty() && sink.path != "-") rights.write.push_back(database_folder(sink.path));
  }
  const char* manager = std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe)
  rights.abstract_sockets = manager != nullptr && *manager == '@';
  return rights;
}

Result<> give_up_rights(const gateway::Config& config) {
  if (auto become = become_user(config); !become) return become;
  allow_core_dumps(config.core_dumps);  // again: becoming another user has reset it
  return config.sandbox == gateway::SandboxMode::off ? Result<>() : give_up_capabilities();
}

Result<Confinement> confine_process(const gateway::Config& config) {
  Confinement confinement;
  // What is below must exist before Landlock can allow it; who makes it owns it.
  if (auto given = give_up_rights(config); !given) return std::unexpected(given.error());
  if (config.sandbox == gateway::SandboxMode::off) return confinement;
  const FileRights rights = files_of(config);
  for (const std::string& folder : rights.write) {
    std::error_code error;
    if (fs::exists(folder, error)) continue;
    if (fs::create_directories(folder, error)) fs::permissions(folder, fs::perms::owner_all, error);
    if (error) {
      return fail("cannot make the data folder {}: {}; choose another with --data-dir", folder, error.message());
    }
  }
  confinement.landlock = landlock_version();
  if (confinement.landlock == 0) {
    auto told = lacking(config, confinement,
                        "no Landlock: weir may read and write what its user may; it needs Linux 5.13 with landlock in "
                        "the boot parameter lsm=");
    if (!told) return std::unexpected(told.error());
  } else if (auto restricted = restrict_files(rights); !restricted) {
    return std::unexpected(restricted.error());
  }
  confinement.rings = io::probe_kernel().restrictions;
  if (!confinement.rings) {
    auto told = lacking(config, confinement, "no restrictions on io_uring's operations; they need Linux 5.10");
    if (!told) return std::unexpected(told.error());
  }
  return confinement;
}

Result<> confine_threads(const gateway::Config& config, Confinement& confinement) {
  if (config.sandbox == gateway::SandboxMode::off) return {};
  if (!system_calls_can_be_filtered()) {
    return lacking(config, confinement,
                   "no seccomp filter: weir may make any system call; it needs CONFIG_SECCOMP_FILTER");
  }
  if (auto filtered = filter_system_calls(); !filtered) return filtered;
  confinement.system_calls = true;
  return {};
}

}  // namespace weir::server
