#include "tls/trust.h"

#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/context_defaults.h"

namespace weir::tls {

namespace {

// Two files of equal identity hold the same bytes, as far as a file system tells.
struct FileIdentity {
  dev_t device;
  ino_t inode;
  off_t size;
  int64_t modified_s;
  int64_t modified_ns;
  bool operator==(const FileIdentity&) const = default;
};

struct ParsedFile {
  FileIdentity identity;
  bssl::UniquePtr<X509_STORE> store;
};

// Process-wide, against the rule of no globals: the system's bundle takes milliseconds and half a megabyte to parse,
// and every worker has a context for each provider.
struct Parsed {
  std::mutex mutex;
  std::map<std::string, ParsedFile> by_path;
};

Parsed& parsed() {
  static Parsed all;
  return all;
}

Result<bssl::UniquePtr<X509_STORE>> parse(const std::string& path, bool is_system) {
  const auto content = read_pem_file(path, "CA file");
  if (!content) return std::unexpected(content.error());
  const bssl::UniquePtr<BIO> bytes(BIO_new_mem_buf(content->data(), static_cast<int>(content->size())));
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  int count = 0;
  for (int index = 1;; ++index) {
    const bssl::UniquePtr<X509> certificate(PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr));
    if (certificate) {
      if (X509_STORE_add_cert(store.get(), certificate.get()) == 1) ++count;  // a duplicate is no error
      continue;
    }
    const uint32_t code = ERR_peek_last_error();
    ERR_clear_error();
    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) break;
    // One certificate that this library cannot read must not cost the trust in all the others of the system.
    if (is_system && BIO_pending(bytes.get()) > 0) continue;
    return fail("{}: certificate {} of the CA file is not valid PEM", path, index);
  }
  if (count == 0) return fail("{}: the CA file holds no certificate (\"-----BEGIN CERTIFICATE-----\")", path);
  return store;
}

}  // namespace

Result<bssl::UniquePtr<X509_STORE>> trusted_authorities(const std::string& ca_file) {
  const bool is_system = ca_file.empty();
  const std::string path = is_system ? kSystemCaFile : ca_file;
  struct stat about{};
  if (stat(path.c_str(), &about) != 0) {
    const std::string reason = std::generic_category().message(errno);
    if (is_system)
      return fail("{}: cannot read the system's certificate authorities: {}; install ca-certificates or set ca_file",
                  path, reason);
    return fail("{}: cannot read the CA file: {}", path, reason);
  }
  const FileIdentity identity{.device = about.st_dev,
                              .inode = about.st_ino,
                              .size = about.st_size,
                              .modified_s = about.st_mtim.tv_sec,
                              .modified_ns = about.st_mtim.tv_nsec};
  Parsed& all = parsed();
  const std::scoped_lock lock(all.mutex);
  auto found = all.by_path.find(path);
  if (found == all.by_path.end() || found->second.identity != identity) {
    auto store = parse(path, is_system);
    if (!store) return std::unexpected(store.error());
    found = all.by_path.insert_or_assign(path, ParsedFile{.identity = identity, .store = std::move(*store)}).first;
  }
  return bssl::UpRef(found->second.store);
}

}  // namespace weir::tls
