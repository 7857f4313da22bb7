// A small certificate authority for tests, on BoringSSL: P-256 keys and certificates made when the test runs, so that
// none is committed and none expires. Files go to a directory of the authority's own, removed with it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace weir::test {

// Paths of PEM files.
struct CertificateFiles {
  std::string certificate;
  std::string key;
};

struct LeafSpec {
  std::string name = "leaf";                           // of the files and the subject; one leaf for each name
  std::string alternative_names = "DNS:gateway.test";  // "DNS:a.test,DNS:*.b.test,IP:127.0.0.1"
  int64_t valid_from_s = -3600;                        // from now
  int64_t valid_until_s = 3600;
  bool self_signed = false;
  std::string issuer =
      {};  // the name of one that was issued before, which then follows in the file; empty: the authority
  std::string basic_constraints = "critical,CA:FALSE";  // empty: none
  std::string key_usage = {};
  bool version_1 = false;  // without extensions
};

class TestCa {
 public:
  // Authorities of one process have different names unless they are given the same.
  explicit TestCa(const std::string& name = "");
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;

  std::string ca_file() const { return directory_ + "/ca.pem"; }
  const std::string& directory() const { return directory_; }
  CertificateFiles issue(const LeafSpec& spec) const;
  // Any content under the directory; the path.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  struct Issued {
    bssl::UniquePtr<EVP_PKEY> key;
    bssl::UniquePtr<X509> certificate;
  };
  std::string directory_;
  Issued authority_;
  mutable std::map<std::string, Issued> issued_;
};

// A PEM private key that needs `password`.
std::string encrypted_key_pem(const std::string& password);
std::string read_file(const std::string& path);

}  // namespace weir::test
