#include "tls/error_text.h"

#include <fmt/format.h>
#include <openssl/cipher.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace weir::tls {

namespace {

std::string describe_certificate(const Failure& failure) {
  constexpr std::string_view kPrefix = "certificate verify failed: ";
  switch (failure.verify_result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
      return fmt::format("{}hostname mismatch (wanted {})", kPrefix, failure.host);
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format("{}IP address mismatch (wanted {})", kPrefix, failure.host);
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("{}the certificate of {} has expired", kPrefix, failure.host);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("{}the certificate of {} is not yet valid (is this machine's clock right?)", kPrefix,
                         failure.host);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return fmt::format("{}{} has a self-signed certificate that is not in {}", kPrefix, failure.host,
                         failure.ca_file);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return fmt::format("{}unknown certificate authority: none of {} signed the certificate of {}", kPrefix,
                         failure.ca_file, failure.host);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fmt::format(
          "{}an authority in {} has the name of the one that signed the certificate of {}, but another key", kPrefix,
          failure.ca_file, failure.host);
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return fmt::format(
          "{}the certificate of {} was signed by one that is no authority ({}); a server's own certificate in {} "
          "stands "
          "for that server alone",
          kPrefix, failure.host,
          failure.verify_result == X509_V_ERR_INVALID_CA ? "basicConstraints: no CA" : "keyUsage: no keyCertSign",
          failure.ca_file);
    default:  // the library's list grows; its own words serve for the rest
      return fmt::format("{}{} ({})", kPrefix, X509_verify_cert_error_string(failure.verify_result), failure.host);
  }
}

// An alert of the peer: what it dislikes about us.
std::string describe_alert(const Failure& failure, int alert) {
  const std::string_view who = failure.is_server ? "client" : "server";
  const char* name = SSL_alert_desc_string_long(alert);
  std::string text = fmt::format("{} failed: the {} sent the alert \"{}\" ({})", failure.doing, who, name, alert);
  if (alert == SSL_AD_PROTOCOL_VERSION) text += ": protocol mismatch, it does not speak TLS 1.2 or 1.3";
  if (failure.is_server && (alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_BAD_CERTIFICATE ||
                            alert == SSL_AD_CERTIFICATE_UNKNOWN || alert == SSL_AD_CERTIFICATE_EXPIRED))
    text += ": it does not trust this listener's certificate";
  if (alert == SSL_AD_NO_APPLICATION_PROTOCOL) text += ": it does not speak http/1.1";
  return text;
}

// OpenSSL's clients send the alert about our certificate in the clear (record type 21, two bytes) where TLS 1.3 wants
// it encrypted. The library can only call that a bad record, but it is the most common failure of all.
constexpr std::string_view kPlainAlert("\x15\x03\x03\x00\x02\x02", 6);

std::string describe_reason(const Failure& failure, int reason) {
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return "plain http request on a TLS port";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_SSL_VERSION:
      return fmt::format("{} failed: protocol mismatch, the {} does not speak TLS 1.2 or 1.3", failure.doing,
                         failure.is_server ? "client" : "server");
    case SSL_R_WRONG_VERSION_NUMBER:
      if (failure.first_bytes.starts_with("HTTP"))
        return "plain http answer: the server does not speak TLS on this port";
      return fmt::format("{} failed: what the {} sends is not TLS", failure.doing,
                         failure.is_server ? "client" : "server");
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUP:
    case SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS:
      return fmt::format("{} failed: no cipher in common with the client", failure.doing);
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return fmt::format("{} failed: the client does not offer http/1.1 in ALPN", failure.doing);
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
      return fmt::format("{} failed: a record was altered on its way", failure.doing);
    case SSL_R_BAD_PACKET_LENGTH:
      if (failure.is_server && failure.doing == "handshake" && failure.last_bytes.starts_with(kPlainAlert))
        return describe_alert(failure, static_cast<uint8_t>(failure.last_bytes.back()));
      return fmt::format("{} failed: a record has a length that cannot be", failure.doing);
    case SSL_R_NO_RENEGOTIATION:
      return fmt::format("{} failed: the peer asked for a renegotiation", failure.doing);
    default: {
      const char* name = ERR_reason_error_string(failure.code);
      return fmt::format("{} failed: {}", failure.doing, name == nullptr ? "unknown reason" : name);
    }
  }
}

}  // namespace

std::string describe(const Failure& failure) {
  if (failure.code == 0) return fmt::format("{} failed", failure.doing);
  // A bad signature in the chain leaves its own errors before this one.
  if (ERR_GET_LIB(failure.last_code) == ERR_LIB_SSL &&
      ERR_GET_REASON(failure.last_code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
    return describe_certificate(failure);
  const int reason = ERR_GET_REASON(failure.code);
  if (ERR_GET_LIB(failure.code) == ERR_LIB_SSL) {
    if (reason > SSL_AD_REASON_OFFSET) return describe_alert(failure, reason - SSL_AD_REASON_OFFSET);
    return describe_reason(failure, reason);
  }
  if (ERR_GET_LIB(failure.code) == ERR_LIB_CIPHER && reason == CIPHER_R_BAD_DECRYPT)
    return fmt::format("{} failed: a record was altered on its way", failure.doing);
  const char* name = ERR_reason_error_string(failure.code);
  return fmt::format("{} failed: {}", failure.doing, name == nullptr ? "unknown reason" : name);
}

}  // namespace weir::tls
