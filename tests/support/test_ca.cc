#include "support/test_ca.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/assert.h"

namespace weir::test {

namespace {

struct CertificateSpec {
  std::string subject;
  std::string alternative_names;
  int64_t valid_from_s;
  int64_t valid_until_s;
  std::string basic_constraints;
  std::string key_usage;
  bool version_1;
};

bssl::UniquePtr<EVP_PKEY> make_key() {
  const bssl::UniquePtr<EC_KEY> point(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  ASSERT(EC_KEY_generate_key(point.get()) == 1 && EVP_PKEY_set1_EC_KEY(key.get(), point.get()) == 1);
  return key;
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const bssl::UniquePtr<X509_EXTENSION> extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  ASSERT(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// Signed by `issuer_key` in the name of `issuer`; null: signs itself.
bssl::UniquePtr<X509> make_certificate(const CertificateSpec& spec, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  bssl::UniquePtr<X509> certificate(X509_new());
  X509* made = certificate.get();
  X509_set_version(made, spec.version_1 ? X509_VERSION_1 : X509_VERSION_3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<uint8_t*>(&serial), sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(made), spec.valid_from_s);
  X509_gmtime_adj(X509_getm_notAfter(made), spec.valid_until_s);
  X509_set_pubkey(made, key);
  X509_NAME* subject = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const uint8_t*>(spec.subject.data()),
                             static_cast<int>(spec.subject.size()), -1, 0);
  X509_set_issuer_name(made, issuer == nullptr ? subject : X509_get_subject_name(issuer));
  const auto extend = [&](int nid, const std::string& value) {
    if (!value.empty() && !spec.version_1) add_extension(made, nid, value);
  };
  extend(NID_basic_constraints, spec.basic_constraints);
  extend(NID_key_usage, spec.key_usage);
  extend(NID_subject_alt_name, spec.alternative_names);
  ASSERT(X509_sign(made, issuer_key, EVP_sha256()) > 0);
  return certificate;
}

std::string text_of(BIO* bio) {
  const uint8_t* content = nullptr;
  size_t size = 0;
  ASSERT(BIO_mem_contents(bio, &content, &size) == 1);
  return std::string(reinterpret_cast<const char*>(content), size);
}

std::string certificate_pem(X509* certificate) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return text_of(bio.get());
}

std::string key_pem(EVP_PKEY* key) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

}  // namespace

TestCa::TestCa(const std::string& name) {
  authority_.key = make_key();
  std::string pattern = (std::filesystem::temp_directory_path() / "weir-test-ca-XXXXXX").string();
  ASSERT(mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  authority_.certificate =
      make_certificate({.subject = name.empty() ? "Test authority " + directory_.substr(directory_.size() - 6) : name,
                        .alternative_names = {},
                        .valid_from_s = -86400,
                        .valid_until_s = 86400,
                        .basic_constraints = "critical,CA:TRUE",
                        .key_usage = {},
                        .version_1 = false},
                       authority_.key.get(), nullptr, authority_.key.get());
  write("ca.pem", certificate_pem(authority_.certificate.get()));
}

TestCa::~TestCa() {
  std::error_code ignored;  // a leftover directory harms nobody
  std::filesystem::remove_all(directory_, ignored);
}

CertificateFiles TestCa::issue(const LeafSpec& spec) const {
  bssl::UniquePtr<EVP_PKEY> key = make_key();
  const CertificateSpec about{.subject = spec.name,
                              .alternative_names = spec.alternative_names,
                              .valid_from_s = spec.valid_from_s,
                              .valid_until_s = spec.valid_until_s,
                              .basic_constraints = spec.basic_constraints,
                              .key_usage = spec.key_usage,
                              .version_1 = spec.version_1};
  const Issued& issuer = spec.issuer.empty() ? authority_ : issued_.at(spec.issuer);
  bssl::UniquePtr<X509> certificate =
      make_certificate(about, key.get(), spec.self_signed ? nullptr : issuer.certificate.get(),
                       spec.self_signed ? key.get() : issuer.key.get());
  std::string pem = certificate_pem(certificate.get());
  if (!spec.issuer.empty()) pem += read_file(directory_ + "/" + spec.issuer + ".pem");
  const CertificateFiles files{.certificate = write(spec.name + ".pem", pem),
                               .key = write(spec.name + ".key", key_pem(key.get()))};
  issued_[spec.name] = {.key = std::move(key), .certificate = std::move(certificate)};
  return files;
}

std::string TestCa::write(const std::string& name, const std::string& content) const {
  const std::string path = directory_ + "/" + name;
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  return path;
}

std::string encrypted_key_pem(const std::string& password) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  std::string copy = password;
  PEM_write_bio_PKCS8PrivateKey(bio.get(), make_key().get(), EVP_aes_128_cbc(), copy.data(),
                                static_cast<int>(copy.size()), nullptr, nullptr);
  return text_of(bio.get());
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace weir::test
