// The parser of heads (head.h), written once and compiled for each classifier.
#include <cstring>

#include "wire/head.h"
#include "wire/head_scan.h"
#include "wire/header_table.h"

namespace weir::wire {
namespace {

// RFC 9112 section 2.2 asks to ignore at least one empty line before a request. Few, because each one costs a pass over
// what came before it.
constexpr int kEmptyLinesMax = 4;
constexpr uint64_t kContentLengthMax = (uint64_t{1} << 63) - 1;
constexpr size_t kVersionSize = std::string_view("HTTP/1.1").size();

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// RFC 9110 section 8.6. A list, a sign and white space inside are not digits.
bool parse_content_length(std::string_view value, uint64_t& out) {
  uint64_t length = 0;
  if (value.empty()) return false;
  for (const char c : value) {
    // So that the next line gives at most 2^63+1: no wrap.
    if (!is_digit(c) || length > kContentLengthMax / 10) return false;
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  out = length;
  return length <= kContentLengthMax;
}

constexpr std::array<bool, 256> make_host_characters() {
  std::array<bool, 256> is_allowed{};
  for (const char c : std::string_view("-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    is_allowed[static_cast<uint8_t>(c)] = true;
  }
  return is_allowed;
}
constexpr std::array<bool, 256> kHostCharacters = make_host_characters();

bool is_port(std::string_view text) {
  uint32_t port = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    port = port * 10 + static_cast<uint32_t>(c - '0');
    if (port > 65535) return false;
  }
  return true;
}

// uri-host [":" port], RFC 9110 section 7.2, with a name of unreserved characters: the further ones that the grammar
// allows ("a,b", "a;b", "%61") serve attacks alone. An http URI has no empty host (section 4.2.1).
bool is_host(std::string_view value) {
  size_t end = 0;
  if (!value.empty() && value.front() == '[') {
    for (end = 1; end < value.size() && (is_hex_digit(value[end]) || value[end] == ':' || value[end] == '.');) ++end;
    if (end < 3 || end == value.size() || value[end] != ']') return false;  // "[::]" is the shortest
    ++end;
  } else {
    while (end < value.size() && kHostCharacters[static_cast<uint8_t>(value[end])]) ++end;
    if (end == 0) return false;
  }
  return end == value.size() || (value[end] == ':' && is_port(value.substr(end + 1)));
}

Method method_of(std::string_view text) {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      if (text == "PUT") return Method::put;
      break;
    case 4:
      if (text == "POST") return Method::post;
      if (text == "HEAD") return Method::head;
      break;
    case 5:
      if (text == "PATCH") return Method::patch;
      break;
    case 6:
      if (text == "DELETE") return Method::del;
      break;
    case 7:
      if (text == "OPTIONS") return Method::options;
      break;
    default:
      break;
  }
  return Method::other;
}

constexpr bool acts_on(HeaderName id) {
  return id == HeaderName::content_length || id == HeaderName::transfer_encoding || id == HeaderName::connection ||
         id == HeaderName::host || id == HeaderName::expect;
}

// True if every byte is 0x21..0x7F. Eight at a time: the subtraction borrows into a byte's top bit if it, or one below
// it, is under 0x21; bytes over 0x7F have that bit themselves. DEL was found as a control byte before.
bool is_graphic(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  while (text.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, text.data(), 8);
    if ((((word - kOnes * 0x21) | word) & kOnes * 0x80) != 0) return false;
    text.remove_prefix(8);
  }
  for (const char c : text) {
    if (c <= ' ') return false;  // char is signed here: bytes over 0x7F are below too
  }
  return true;
}
static_assert(static_cast<char>(0x80) < 0, "is_graphic() takes bytes over 0x7F for negative");

// One pass over one head. Each step returns `complete` when it may go on. A line is judged once its end (any control
// byte) is here, and from the bytes up to there alone: so the verdict on a prefix never depends on what comes after,
// and new bytes without a control byte cannot change it. That is what makes `seen` enough as memory between calls.
template <class Classifier>
class Parser {
 public:
  explicit Parser(std::string_view bytes) : bytes_(bytes), scanner_(bytes) {}

  HeadResult run(RequestHead& out) {
    out.header_count = 0;
    out.expect_continue = false;
    HeadStatus status = skip_empty_lines();
    if (status == HeadStatus::complete) status = request_line(out);
    if (status == HeadStatus::complete) status = fields(out.headers, out.header_count, &out.expect_continue);
    if (status == HeadStatus::complete && host_count_ == 0 && minor_version_ == 1) {
      status = invalid(HeadFault::missing_host, at_);
    }
    if (status == HeadStatus::complete) set_framing(out, BodyFraming::none);
    return result(status);
  }
  HeadResult run(ResponseHead& out) {
    out.header_count = 0;
    HeadStatus status = status_line(out);
    if (status == HeadStatus::complete) status = fields(out.headers, out.header_count, nullptr);
    if (status == HeadStatus::complete) set_framing(out, BodyFraming::until_close);
    return result(status);
  }

 private:
  HeadStatus invalid(HeadFault fault, size_t offset) {
    fault_ = fault;
    fault_offset_ = offset;
    return HeadStatus::invalid;
  }
  HeadResult result(HeadStatus status) const {
    HeadResult result;
    result.status = status;
    if (status == HeadStatus::complete) result.size = at_;
    result.fault = fault_;
    result.fault_offset = fault_offset_;
    return result;
  }

  // RFC 9112 section 2.2: a bare CR or LF is where two parsers disagree about the end of a line.
  bool is_crlf(size_t offset) const {
    return bytes_.size() - offset >= 2 && bytes_[offset] == '\r' && bytes_[offset + 1] == '\n';
  }

  // `end` is the line's first control byte: it must begin a CRLF. Moves past it.
  HeadStatus line_end(size_t end, HeadFault fault_of_control) {
    if (is_crlf(end)) [[likely]] {
      at_ = end + 2;
      return HeadStatus::complete;
    }
    if (end == bytes_.size()) return HeadStatus::need_more;
    const bool is_cr = bytes_[end] == '\r';
    if (is_cr && end + 1 == bytes_.size()) return HeadStatus::need_more;
    return invalid(is_cr || bytes_[end] == '\n' ? HeadFault::bare_cr_or_lf : fault_of_control, end);
  }

  HeadStatus skip_empty_lines() {
    for (int count = 0; at_ < bytes_.size() && bytes_[at_] == '\r'; ++count) {
      if (count == kEmptyLinesMax) return invalid(HeadFault::bad_request_line, at_);
      const HeadStatus status = line_end(at_, HeadFault::bad_request_line);
      if (status != HeadStatus::complete) return status;
    }
    return HeadStatus::complete;
  }

  // RFC 9112 section 3: method SP target SP HTTP-version, with exactly these two spaces.
  HeadStatus request_line(RequestHead& out) {
    const size_t start = at_;
    const size_t method_end = scanner_.find_non_token(start);
    const size_t end = scanner_.find_control(start);
    if (const HeadStatus status = line_end(end, HeadFault::bad_request_line); status != HeadStatus::complete) {
      return status;
    }
    if (method_end == start || bytes_[method_end] != ' ') return invalid(HeadFault::bad_request_line, method_end);
    const size_t target_start = method_end + 1;
    // At least one byte of target, a space and the version.
    if (end - method_end < kVersionSize + 3) return invalid(HeadFault::bad_request_line, end);
    const size_t target_end = end - kVersionSize - 1;
    const std::string_view target(bytes_.data() + target_start, target_end - target_start);
    if (bytes_[target_end] != ' ' || !is_graphic(target)) return invalid(HeadFault::bad_request_line, target_start);
    out.method_text = {bytes_.data() + start, method_end - start};
    out.method = method_of(out.method_text);
    out.target = target;
    const HeadStatus status = version(target_end + 1, HeadFault::bad_request_line);
    out.minor_version = minor_version_;
    return status;
  }

  // RFC 9112 section 4. A missing reason, with or without its space, is common enough to be let through.
  HeadStatus status_line(ResponseHead& out) {
    const size_t start = at_;
    const size_t end = scanner_.find_control(start);
    if (const HeadStatus status = line_end(end, HeadFault::bad_status_line); status != HeadStatus::complete) {
      return status;
    }
    if (end - start < kVersionSize + 4) return invalid(HeadFault::bad_status_line, end);
    if (const HeadStatus status = version(start, HeadFault::bad_status_line); status != HeadStatus::complete) {
      return status;
    }
    out.minor_version = minor_version_;
    const std::string_view rest = bytes_.substr(start + kVersionSize, end - start - kVersionSize);
    const bool is_code =
        rest[0] == ' ' && rest[1] >= '1' && is_digit(rest[1]) && is_digit(rest[2]) && is_digit(rest[3]);
    if (!is_code || (rest.size() > 4 && rest[4] != ' ')) {
      return invalid(HeadFault::bad_status_line, start + kVersionSize);
    }
    out.status = static_cast<uint16_t>((rest[1] - '0') * 100 + (rest[2] - '0') * 10 + (rest[3] - '0'));
    out.reason = rest.size() > 5 ? rest.substr(5) : std::string_view();
    return HeadStatus::complete;
  }

  HeadStatus version(size_t offset, HeadFault fault) {
    const std::string_view text(bytes_.data() + offset, kVersionSize);
    if (std::memcmp(text.data(), "HTTP/1.1", kVersionSize) == 0) [[likely]]
      return HeadStatus::complete;
    if (std::memcmp(text.data(), "HTTP/", 5) != 0 || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7])) {
      return invalid(fault, offset);
    }
    if (text[5] != '1' || text[7] > '1') return invalid(HeadFault::unsupported_version, offset);
    minor_version_ = static_cast<uint8_t>(text[7] - '0');
    keep_alive_ = minor_version_ == 1;
    return HeadStatus::complete;
  }

  // `expect_continue` is null for an answer, whose Host and Expect mean nothing.
  HeadStatus fields(std::array<Header, kHeaderCountMax>& headers, uint32_t& count, bool* expect_continue) {
    const char* const data = bytes_.data();
    const size_t size = bytes_.size();
    Header* header = headers.data();
    size_t start = at_;
    while (start < size && data[start] != '\r') {
      const size_t colon = scanner_.find_non_token(start);
      if (colon == start || colon == size || data[colon] != ':') return bad_name(start, colon);
      // From the start, not from the colon, so that the processor looks for both at once: a token has no control byte.
      const size_t end = scanner_.find_control(start);
      if (!is_crlf(end)) [[unlikely]]
        return line_end(end, HeadFault::bad_header_value);
      if (header == headers.data() + kHeaderCountMax) return invalid(HeadFault::too_many_headers, start);
      const char* value_start = data + colon + 1;
      const char* value_end = data + end;
      while (is_blank(*value_start)) ++value_start;  // the CR stops it
      while (value_end > value_start && is_blank(value_end[-1])) --value_end;
      header->name = {data + start, colon - start};
      header->value = {value_start, static_cast<size_t>(value_end - value_start)};
      header->id = find_header_name(header->name);
      if (acts_on(header->id)) {
        const HeadStatus status = field(*header, expect_continue);
        if (status != HeadStatus::complete) return status;
      }
      ++header;
      start = end + 2;
    }
    count = static_cast<uint32_t>(header - headers.data());
    at_ = start;
    return start == size ? HeadStatus::need_more : line_end(start, HeadFault::bad_header_name);
  }

  // The line from `start` has no token and colon at its front; `stop` is its first byte that is neither.
  HeadStatus bad_name(size_t start, size_t stop) {
    const size_t end = scanner_.find_control(stop);
    if (end == bytes_.size()) return HeadStatus::need_more;
    // RFC 9112 section 5.2; before the first field (section 2.2) it is refused alike.
    if (is_blank(bytes_[start])) return invalid(HeadFault::obsolete_folding, start);
    if (stop == end) {
      const HeadStatus status = line_end(end, HeadFault::bad_header_name);
      if (status != HeadStatus::complete) return status;
    }
    return invalid(HeadFault::bad_header_name, stop);
  }

  // What the parser itself needs of a field: framing, connection, host.
  HeadStatus field(const Header& header, bool* expect_continue) {
    switch (header.id) {
      case HeaderName::content_length:
        return content_length(header.value);
      case HeaderName::transfer_encoding:
        return transfer_encoding(header.value);
      case HeaderName::connection:
        return connection(header.value);
      case HeaderName::host:
        if (expect_continue == nullptr) return HeadStatus::complete;
        if (host_count_++ > 0) return invalid(HeadFault::two_hosts, offset_of(header.name));
        if (!is_host(header.value)) return invalid(HeadFault::bad_host, offset_of(header.value));
        return HeadStatus::complete;
      case HeaderName::expect:
        // RFC 9110 section 10.1.1: in HTTP/1.0 it is to be ignored.
        if (expect_continue != nullptr && minor_version_ == 1 && equals_ignoring_case(header.value, "100-continue")) {
          *expect_continue = true;
        }
        return HeadStatus::complete;
      default:
        return HeadStatus::complete;
    }
  }

  HeadStatus connection(std::string_view value) {
    const auto use = [this](std::string_view token) {
      ++connection_names_;
      asks_close_ = asks_close_ || (token.size() == 5 && equals_ignoring_case(token, "close"));
      asks_keep_alive_ = asks_keep_alive_ || (token.size() == 10 && equals_ignoring_case(token, "keep-alive"));
    };
    // Nearly always it is this one token.
    if (value.size() == 10 && std::memcmp(value.data(), "keep-alive", 10) == 0) {
      asks_keep_alive_ = true;
      ++connection_names_;
    } else {
      for_each_token(value, use);
    }
    if (connection_names_ <= kConnectionNamesMax) return HeadStatus::complete;
    return invalid(HeadFault::too_many_connection_names, offset_of(value));
  }

  // A second length is refused even if it is equal: RFC 9110 section 8.6 lets us, and no client sends it in good faith.
  HeadStatus content_length(std::string_view value) {
    if (has_length_) return invalid(HeadFault::two_lengths, offset_of(value));
    if (is_chunked_) return invalid(HeadFault::length_with_chunked, offset_of(value));
    has_length_ = true;
    if (!parse_content_length(value, length_)) return invalid(HeadFault::bad_content_length, offset_of(value));
    return HeadStatus::complete;
  }

  // RFC 9112 section 6.1: HTTP/1.0 has no transfer coding, and with a Content-Length it is an attempt at smuggling.
  HeadStatus transfer_encoding(std::string_view value) {
    if (minor_version_ == 0 || is_chunked_ || !equals_ignoring_case(value, "chunked")) {
      return invalid(HeadFault::bad_transfer_encoding, offset_of(value));
    }
    if (has_length_) return invalid(HeadFault::length_with_chunked, offset_of(value));
    is_chunked_ = true;
    return HeadStatus::complete;
  }

  template <class Head>
  void set_framing(Head& out, BodyFraming without_length) const {
    out.framing = is_chunked_ ? BodyFraming::chunked : has_length_ ? BodyFraming::length : without_length;
    out.content_length = length_;
    // RFC 9112 section 9.3: close wins.
    out.keep_alive = !asks_close_ && (keep_alive_ || asks_keep_alive_);
  }

  size_t offset_of(std::string_view part) const { return static_cast<size_t>(part.data() - bytes_.data()); }

  std::string_view bytes_;
  Scanner<Classifier> scanner_;
  size_t at_ = 0;
  size_t fault_offset_ = 0;
  uint64_t length_ = 0;
  uint32_t host_count_ = 0;
  size_t connection_names_ = 0;
  HeadFault fault_ = HeadFault::none;
  uint8_t minor_version_ = 1;
  bool keep_alive_ = true;
  bool has_length_ = false;
  bool is_chunked_ = false;
  bool asks_close_ = false;
  bool asks_keep_alive_ = false;
};

template <class Classifier, class Head>
HeadResult parse(std::string_view bytes, size_t seen, size_t head_size_max, Head& out) {
  const bool is_full = bytes.size() >= head_size_max;
  if (seen > 0 && seen <= bytes.size() && !is_full) {
    // From the last seen byte on: it may be a CR, which the next byte proves bare.
    const std::string_view fresh = bytes.substr(seen - 1);
    if (Scanner<Classifier>(fresh).find_control(0) == fresh.size()) return {};
  }
  Parser<Classifier> parser(bytes.substr(0, head_size_max));
  HeadResult result = parser.run(out);
  if (result.status == HeadStatus::need_more && is_full) {
    result.status = HeadStatus::invalid;
    result.fault = HeadFault::head_too_large;
    result.fault_offset = head_size_max;
  }
  return result;
}

}  // namespace

HeadResult parse_request_head_scalar(std::string_view bytes, size_t seen, size_t head_size_max, RequestHead& out) {
  return parse<ScalarClassifier>(bytes, seen, head_size_max, out);
}
HeadResult parse_response_head_scalar(std::string_view bytes, size_t seen, size_t head_size_max, ResponseHead& out) {
  return parse<ScalarClassifier>(bytes, seen, head_size_max, out);
}

#if defined(__x86_64__)
// Flattened, so that the whole parser is compiled for these instructions; BMI comes with every AVX2.
#define WEIR_FOR_AVX2 __attribute__((target("avx2,bmi,bmi2"), flatten))
WEIR_FOR_AVX2 HeadResult parse_request_head_avx2(std::string_view bytes, size_t seen, size_t head_size_max,
                                                 RequestHead& out) {
  return parse<Avx2Classifier>(bytes, seen, head_size_max, out);
}
WEIR_FOR_AVX2 HeadResult parse_response_head_avx2(std::string_view bytes, size_t seen, size_t head_size_max,
                                                  ResponseHead& out) {
  return parse<Avx2Classifier>(bytes, seen, head_size_max, out);
}
#undef WEIR_FOR_AVX2
#endif

}  // namespace weir::wire
