// Requests that must be refused, and where one parser among two might see something else: the smuggling shapes of spec
// section 2 in many variants. The parser's tests read the fault, end-to-end tests the status: after each of these the
// connection is closed. The chunked bodies follow a sound head.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wire/chunk.h"
#include "wire/head.h"

namespace weir::test {

struct MalformedRequest {
  std::string_view name;
  std::string bytes;
  wire::HeadFault fault;
};

inline int status_of(wire::HeadFault fault) {
  switch (fault) {
    case wire::HeadFault::head_too_large:
    case wire::HeadFault::too_many_headers:
      return 431;
    case wire::HeadFault::unsupported_version:
      return 505;
    default:
      return 400;
  }
}

// `lines` end with CRLF each; a NUL in them counts.
inline std::string request_with(std::string_view lines) {
  return "POST /v1/messages HTTP/1.1\r\nHost: gateway.example\r\n" + std::string(lines) + "\r\n";
}

inline std::vector<MalformedRequest> malformed_request_lines() {
  using enum wire::HeadFault;
  const auto after = [](std::string_view line) { return std::string(line) + "Host: h\r\n\r\n"; };
  return {
      {"HTTP/0.9", "GET /\r\n", bad_request_line},
      {"no target", after("GET HTTP/1.1\r\n"), bad_request_line},
      {"an empty target", after("GET  HTTP/1.1\r\n"), bad_request_line},
      {"no method", after(" / HTTP/1.1\r\n"), bad_request_line},
      {"white space before the method", after("  GET / HTTP/1.1\r\n"), bad_request_line},
      {"two spaces before the target", after("GET  / HTTP/1.1\r\n"), bad_request_line},
      {"two spaces after the target", after("GET /  HTTP/1.1\r\n"), bad_request_line},
      {"a space at the end of the line", after("GET / HTTP/1.1 \r\n"), bad_request_line},
      {"a space inside the target", after("GET /a b HTTP/1.1\r\n"), bad_request_line},
      {"a tab instead of the first space", after("GET\t/ HTTP/1.1\r\n"), bad_request_line},
      {"a tab instead of the second space", after("GET /\tHTTP/1.1\r\n"), bad_request_line},
      {"a vertical tab as a separator", after("GET\v/ HTTP/1.1\r\n"), bad_request_line},
      {"a form feed in the target", after("GET /a\fb HTTP/1.1\r\n"), bad_request_line},
      {"a NUL in the target", after(std::string_view("GET /a\0b HTTP/1.1\r\n", 19)), bad_request_line},
      {"an escape byte in the target", after("GET /a\x1b[31m HTTP/1.1\r\n"), bad_request_line},
      {"DEL in the target", after("GET /a\x7f HTTP/1.1\r\n"), bad_request_line},
      {"a byte outside ASCII in the target", after("GET /caf\xC3\xA9 HTTP/1.1\r\n"), bad_request_line},
      {"a parenthesis in the method", after("GE(T / HTTP/1.1\r\n"), bad_request_line},
      {"a colon in the method", after("GET: / HTTP/1.1\r\n"), bad_request_line},
      {"a slash in the method", after("GET/x / HTTP/1.1\r\n"), bad_request_line},
      {"a control byte in the method", after("G\x01T / HTTP/1.1\r\n"), bad_request_line},
      {"a byte outside ASCII in the method", after("G\xC9T / HTTP/1.1\r\n"), bad_request_line},
      {"no version", after("GET /\r\n"), bad_request_line},
      {"a space instead of the version", after("GET / \r\n"), bad_request_line},
      {"a lower-case version", after("GET / http/1.1\r\n"), bad_request_line},
      {"a mixed-case version", after("GET / Http/1.1\r\n"), bad_request_line},
      {"another protocol", after("GET / ICAP/1.1\r\n"), bad_request_line},
      {"a version without a minor number", after("GET / HTTP/1\r\n"), bad_request_line},
      {"a version without digits", after("GET / HTTP/x.y\r\n"), bad_request_line},
      {"a version of two digits", after("GET / HTTP/1.10\r\n"), bad_request_line},
      {"a version with a leading zero", after("GET / HTTP/01.1\r\n"), bad_request_line},
      {"a version with a comma", after("GET / HTTP/1,1\r\n"), bad_request_line},
      {"a sign in the version", after("GET / HTTP/+1.1\r\n"), bad_request_line},
      {"HTTP/1.2", after("GET / HTTP/1.2\r\n"), unsupported_version},
      {"HTTP/2.0", after("GET / HTTP/2.0\r\n"), unsupported_version},
      {"HTTP/0.9 by name", after("GET / HTTP/0.9\r\n"), unsupported_version},
      {"HTTP/3.1", after("GET / HTTP/3.1\r\n"), unsupported_version},
      {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", unsupported_version},
      {"a TLS client hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), bad_request_line},
      {"a SOCKS greeting", std::string("\x05\x01\x00", 3), bad_request_line},
      {"an answer", "HTTP/1.1 200 OK\r\nHost: h\r\n\r\n", bad_request_line},
      {"text", "hello\r\n\r\n", bad_request_line},
      {"five empty lines before it", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", bad_request_line},
      {"a bare LF after the request line", "GET / HTTP/1.1\nHost: h\r\n\r\n", bare_cr_or_lf},
      {"a bare CR after the request line", "GET / HTTP/1.1\rHost: h\r\n\r\n", bare_cr_or_lf},
      {"a bare CR in the target", after("GET /\r/ HTTP/1.1\r\n"), bare_cr_or_lf},
      {"a bare LF in the target", after("GET /\n/ HTTP/1.1\r\n"), bare_cr_or_lf},
      {"two CR after the request line", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", bare_cr_or_lf},
      {"a bare LF before the request line", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", bare_cr_or_lf},
      {"a bare CR before the request line", "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", bare_cr_or_lf},
  };
}

inline std::vector<MalformedRequest> malformed_framing() {
  using enum wire::HeadFault;
  const auto length = [](std::string_view value) {
    return request_with("Content-Length:" + std::string(value) + "\r\n");
  };
  const auto coding = [](std::string_view value) {
    return request_with("Transfer-Encoding:" + std::string(value) + "\r\n");
  };
  return {
      {"two equal lengths", request_with("Content-Length: 5\r\nContent-Length: 5\r\n"), two_lengths},
      {"two different lengths", request_with("Content-Length: 5\r\nContent-Length: 6\r\n"), two_lengths},
      {"two lengths far apart", request_with("Content-Length: 5\r\nA: b\r\nC: d\r\ncontent-length: 5\r\n"),
       two_lengths},
      {"a length, then a list", request_with("Content-Length: 5\r\nContent-Length: 5, 5\r\n"), two_lengths},
      {"three lengths", request_with("Content-Length: 0\r\nContent-Length: 0\r\nContent-Length: 0\r\n"), two_lengths},
      {"a list of equal lengths", length(" 5, 5"), bad_content_length},
      {"a list of different lengths", length(" 5,6"), bad_content_length},
      {"a list with an empty member", length(" 5,"), bad_content_length},
      {"a list that begins with a comma", length(" ,5"), bad_content_length},
      {"an empty length", length(""), bad_content_length},
      {"a blank length", length(" \t "), bad_content_length},
      {"a plus sign", length(" +5"), bad_content_length},
      {"a minus sign", length(" -1"), bad_content_length},
      {"minus zero", length(" -0"), bad_content_length},
      {"hexadecimal digits", length(" 0x5"), bad_content_length},
      {"hexadecimal letters", length(" a"), bad_content_length},
      {"a fraction", length(" 5.0"), bad_content_length},
      {"an exponent", length(" 1e3"), bad_content_length},
      {"an underscore", length(" 1_000"), bad_content_length},
      {"white space between digits", length(" 1 0"), bad_content_length},
      {"a tab between digits", length(" 1\t0"), bad_content_length},
      {"a unit", length(" 5B"), bad_content_length},
      {"quotes", length(" \"5\""), bad_content_length},
      {"a semicolon", length(" 5;"), bad_content_length},
      {"2^63", length(" 9223372036854775808"), bad_content_length},
      {"2^64", length(" 18446744073709551616"), bad_content_length},
      {"2^64 + 5", length(" 18446744073709551621"), bad_content_length},
      {"a hundred digits", length(" " + std::string(100, '9')), bad_content_length},
      {"digits of another script", length(" \xD9\xA5"), bad_content_length},
      {"a NUL after the length", length(std::string_view(" 5\0", 3)), bad_header_value},
      {"a vertical tab before the length", length("\v5"), bad_header_value},
      {"length, then chunked", request_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
       length_with_chunked},
      {"chunked, then length", request_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
       length_with_chunked},
      {"chunked with length zero", request_with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
       length_with_chunked},
      {"length and chunked in odd case", request_with("CONTENT-LENGTH: 5\r\ntransfer-ENCODING: Chunked\r\n"),
       length_with_chunked},
      {"chunked twice in a list", coding(" chunked, chunked"), bad_transfer_encoding},
      {"chunked twice in two fields", request_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       bad_transfer_encoding},
      {"gzip, chunked", coding(" gzip, chunked"), bad_transfer_encoding},
      {"chunked, gzip", coding(" chunked, gzip"), bad_transfer_encoding},
      {"gzip and chunked in two fields", request_with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
       bad_transfer_encoding},
      {"identity", coding(" identity"), bad_transfer_encoding},
      {"chunked, identity", coding(" chunked, identity"), bad_transfer_encoding},
      {"identity with a length", request_with("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"),
       bad_transfer_encoding},
      {"an empty coding", coding(""), bad_transfer_encoding},
      {"a comma before chunked", coding(" ,chunked"), bad_transfer_encoding},
      {"a comma after chunked", coding(" chunked,"), bad_transfer_encoding},
      {"xchunked", coding(" xchunked"), bad_transfer_encoding},
      {"chunkedx", coding(" chunkedx"), bad_transfer_encoding},
      {"chunk", coding(" chunk"), bad_transfer_encoding},
      {"chunked in quotes", coding(" \"chunked\""), bad_transfer_encoding},
      {"chunked with a parameter", coding(" chunked;q=1"), bad_transfer_encoding},
      {"chunked with a no-break space", coding(" chunked\xA0"), bad_transfer_encoding},
      {"a vertical tab before chunked",
       coding(" \x0b"
              "chunked"),
       bad_header_value},
      {"a form feed after chunked", coding(" chunked\x0c"), bad_header_value},
      {"a NUL after chunked", coding(std::string_view(" chunked\0", 9)), bad_header_value},
      {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", bad_transfer_encoding},
      {"chunked in HTTP/1.0 with a length",
       "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", bad_transfer_encoding},
      {"a space before the colon of a length", request_with("Content-Length : 5\r\n"), bad_header_name},
      {"a tab before the colon of a coding", request_with("Transfer-Encoding\t: chunked\r\n"), bad_header_name},
      {"a folded coding", request_with("Transfer-Encoding:\r\n chunked\r\n"), bad_transfer_encoding},
      {"a folded list of codings", request_with("A: b\r\n ,\r\nTransfer-Encoding: chunked\r\n"), obsolete_folding},
  };
}

inline std::vector<MalformedRequest> malformed_fields() {
  using enum wire::HeadFault;
  const auto host = [](std::string_view value) { return "GET / HTTP/1.1\r\nHost:" + std::string(value) + "\r\n\r\n"; };
  std::string many_headers;
  for (size_t i = 0; i < wire::kHeaderCountMax; ++i) many_headers += "x: y\r\n";
  std::string many_names;
  for (size_t i = 0; i < wire::kConnectionNamesMax; ++i) many_names += ", x";
  return {
      {"a bare LF after a field", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", bare_cr_or_lf},
      {"a bare LF instead of the empty line", "GET / HTTP/1.1\r\nHost: h\r\n\n", bare_cr_or_lf},
      {"bare LFs alone", "GET / HTTP/1.1\nHost: h\n\n", bare_cr_or_lf},
      {"a bare CR after a field", "GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n", bare_cr_or_lf},
      {"a bare CR instead of the empty line", "GET / HTTP/1.1\r\nHost: h\r\n\rA: b\r\n\r\n", bare_cr_or_lf},
      {"two CR before a LF", request_with("A: b\r\r\n"), bare_cr_or_lf},
      {"a bare CR inside a value", request_with("A: b\rc\r\n"), bare_cr_or_lf},
      {"a bare LF inside a value", request_with("A: b\nc: d\r\n"), bare_cr_or_lf},
      {"a bare LF inside a name", request_with("A\nb: c\r\n"), bare_cr_or_lf},
      {"a bare CR inside a name", request_with("A\rb: c\r\n"), bare_cr_or_lf},
      {"LF CR", request_with("A: b\n\r"), bare_cr_or_lf},
      {"folding with a space", request_with("A: b\r\n c\r\n"), obsolete_folding},
      {"folding with a tab", request_with("A: b\r\n\tc\r\n"), obsolete_folding},
      {"folding with a field in it", request_with("A: b\r\n Content-Length: 5\r\n"), obsolete_folding},
      {"folding that is blank", request_with("A: b\r\n \r\n"), obsolete_folding},
      {"a space before the first field", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", obsolete_folding},
      {"a tab before the first field", "GET / HTTP/1.1\r\n\tHost: h\r\n\r\n", obsolete_folding},
      {"a blank line before the fields", "GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n", obsolete_folding},
      {"a space before the colon", request_with("A : b\r\n"), bad_header_name},
      {"a tab before the colon", request_with("A\t: b\r\n"), bad_header_name},
      {"a space inside a name", request_with("A b: c\r\n"), bad_header_name},
      {"an empty name", request_with(": b\r\n"), bad_header_name},
      {"a line without a colon", request_with("abc\r\n"), bad_header_name},
      {"a parenthesis in a name", request_with("A(b: c\r\n"), bad_header_name},
      {"a slash in a name", request_with("A/b: c\r\n"), bad_header_name},
      {"an at sign in a name", request_with("A@b: c\r\n"), bad_header_name},
      {"brackets in a name", request_with("A[0]: c\r\n"), bad_header_name},
      {"braces in a name", request_with("A{b}: c\r\n"), bad_header_name},
      {"quotes in a name", request_with("\"A\": c\r\n"), bad_header_name},
      {"a comma in a name", request_with("A,b: c\r\n"), bad_header_name},
      {"a semicolon in a name", request_with("A;b: c\r\n"), bad_header_name},
      {"an equals sign in a name", request_with("A=b: c\r\n"), bad_header_name},
      {"a backslash in a name", request_with("A\\b: c\r\n"), bad_header_name},
      {"a byte outside ASCII in a name", request_with("\xC3\x84: c\r\n"), bad_header_name},
      {"a no-break space before the colon", request_with("Content-Length\xA0: 5\r\n"), bad_header_name},
      {"a NUL in a name", request_with(std::string_view("A\0b: c\r\n", 8)), bad_header_name},
      {"DEL in a name", request_with("A\x7f: c\r\n"), bad_header_name},
      {"a control byte in a name", request_with("A\x01: c\r\n"), bad_header_name},
      {"a NUL in a value", request_with(std::string_view("A: b\0c\r\n", 8)), bad_header_value},
      {"a NUL as a value", request_with(std::string_view("A: \0\r\n", 6)), bad_header_value},
      {"DEL in a value", request_with("A: b\x7f\r\n"), bad_header_value},
      {"a bell in a value", request_with("A: b\a\r\n"), bad_header_value},
      {"an escape byte in a value", request_with("A: \x1b[31m\r\n"), bad_header_value},
      {"a unit separator in a value", request_with("A: b\x1f\r\n"), bad_header_value},
      {"a backspace in a value", request_with("A: b\b\r\n"), bad_header_value},
      {"no Host", "GET / HTTP/1.1\r\n\r\n", missing_host},
      {"no Host beside other fields", "GET / HTTP/1.1\r\nA: b\r\nX-Host: h\r\n\r\n", missing_host},
      {"no Host with an absolute target", "GET http://h/ HTTP/1.1\r\nA: b\r\n\r\n", missing_host},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", two_hosts},
      {"two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", two_hosts},
      {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", two_hosts},
      {"an empty Host", host(""), bad_host},
      {"a blank Host", host(" \t"), bad_host},
      {"a space in the Host", host(" a b"), bad_host},
      {"a comma in the Host", host(" a,b"), bad_host},
      {"user information in the Host", host(" user@h"), bad_host},
      {"a slash in the Host", host(" h/x"), bad_host},
      {"a scheme in the Host", host(" http://h"), bad_host},
      {"a question mark in the Host", host(" h?x"), bad_host},
      {"a hash in the Host", host(" h#x"), bad_host},
      {"a backslash in the Host", host(" h\\x"), bad_host},
      {"a percent sign in the Host", host(" h%00"), bad_host},
      {"a byte outside ASCII in the Host", host(" h\xC3\xA4"), bad_host},
      {"a Host of a port alone", host(" :80"), bad_host},
      {"a port with letters", host(" h:80a"), bad_host},
      {"a port with a sign", host(" h:+80"), bad_host},
      {"a port over 65535", host(" h:65536"), bad_host},
      {"two ports", host(" h:80:80"), bad_host},
      {"an open bracket", host(" [::1"), bad_host},
      {"empty brackets", host(" []"), bad_host},
      {"text in brackets", host(" [::g]"), bad_host},
      {"text after the brackets", host(" [::1]x"), bad_host},
      {"an address without brackets", host(" ::1"), bad_host},
      {"129 headers", request_with(many_headers), too_many_headers},
      {"a Connection of 33 names", request_with("Connection: close" + many_names + "\r\n"), too_many_connection_names},
      {"two Connections of 33 names", request_with("Connection: close\r\nconnection:" + many_names + "\r\n"),
       too_many_connection_names},
      {"a head over the limit", request_with("A: " + std::string(size_t{64} * 1024, 'a') + "\r\n"), head_too_large},
      {"a target over the limit", "GET /" + std::string(size_t{64} * 1024, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n",
       head_too_large},
      {"a name over the limit", request_with(std::string(size_t{64} * 1024, 'a') + ": b\r\n"), head_too_large},
  };
}

// Every one of them, for a limit of 64 KiB on the head.
inline std::vector<MalformedRequest> malformed_requests() {
  std::vector<MalformedRequest> all = malformed_request_lines();
  for (auto* const more : {malformed_framing, malformed_fields}) {
    for (MalformedRequest& request : more()) all.push_back(std::move(request));
  }
  return all;
}

struct MalformedChunks {
  std::string_view name;
  std::string bytes;  // after the empty line of a head with `Transfer-Encoding: chunked`
  wire::ChunkFault fault;
};

inline std::vector<MalformedChunks> malformed_chunks() {
  using enum wire::ChunkFault;
  return {
      {"an empty size", "\r\nhello\r\n0\r\n\r\n", bad_size},
      {"no size before an extension", ";a=b\r\nhello\r\n0\r\n\r\n", bad_size},
      {"a letter that is no digit", "g\r\n", bad_size},
      {"a plus sign", "+5\r\nhello\r\n0\r\n\r\n", bad_size},
      {"a minus sign", "-5\r\nhello\r\n0\r\n\r\n", bad_size},
      {"0x", "0x5\r\nhello\r\n0\r\n\r\n", bad_size},
      {"a space before the size", " 5\r\nhello\r\n0\r\n\r\n", bad_size},
      {"a space after the size", "5 \r\nhello\r\n0\r\n\r\n", bad_size},
      {"a tab after the size", "5\t\r\nhello\r\n0\r\n\r\n", bad_size},
      {"a space before the extension", "5 ;a\r\nhello\r\n0\r\n\r\n", bad_size},
      {"a comma", "5,5\r\nhello\r\n0\r\n\r\n", bad_size},
      {"an underscore", "1_0\r\n", bad_size},
      {"a NUL after the size", std::string("5\0\r\nhello\r\n", 11), bad_size},
      {"a NUL in the extension", std::string("5;\0\r\nhello\r\n", 12), bad_size},
      {"DEL in the extension", "5;\x7f\r\nhello\r\n", bad_size},
      {"a byte outside ASCII", "\xB2\r\n", bad_size},
      {"seventeen digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", size_overflow},
      {"2^64", "10000000000000000\r\n", size_overflow},
      {"2^64 - 1", "ffffffffffffffff\r\n", size_overflow},
      {"2^63", "8000000000000000\r\n", size_overflow},
      {"a bare LF after the size", "5\nhello\r\n0\r\n\r\n", bad_line_end},
      {"a bare CR after the size", "5\rhello\r\n0\r\n\r\n", bad_line_end},
      {"two CR after the size", "5\r\r\nhello\r\n0\r\n\r\n", bad_line_end},
      {"a bare LF after an extension", "5;a\nhello\r\n0\r\n\r\n", bad_line_end},
      {"a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", bad_line_end},
      {"a bare LF after the payload", "5\r\nhello\n0\r\n\r\n", bad_line_end},
      {"a bare CR after the payload", "5\r\nhello\r0\r\n\r\n", bad_line_end},
      {"no line end after the payload", "5\r\nhello0\r\n\r\n", bad_line_end},
      {"a payload longer than its size", "5\r\nhello!\r\n0\r\n\r\n", bad_line_end},
      {"a payload shorter than its size", "5\r\nhell\r\n0\r\n\r\n", bad_line_end},
      {"a bare LF after the last chunk", "0\n\r\n", bad_line_end},
      {"a bare LF at the end", "0\r\n\n", bad_line_end},
      {"a bare CR at the end", "0\r\n\rX", bad_line_end},
      {"a bare LF after a trailer", "0\r\nA: b\n\r\n", bad_line_end},
      {"a bare CR in a trailer", "0\r\nA: b\rC: d\r\n\r\n", bad_line_end},
      {"an extension without end", "5;" + std::string(wire::kChunkLineMax, 'a'), line_too_long},
      {"many short extensions",
       [] {
         std::string chunks;
         for (size_t i = 0; i <= wire::kExtensionsMax / 8; ++i) chunks += "1;aaaaaaaa\r\nx\r\n";
         return chunks;
       }(),
       extensions_too_large},
      {"trailers without end", "0\r\nA: " + std::string(wire::kTrailersMax, 'b'), trailers_too_large},
      {"many short trailers",
       "0\r\n" +
           [] {
             std::string lines;
             for (size_t i = 0; i <= wire::kTrailersMax / 4; ++i) lines += "a: b\r\n";
             return lines;
           }(),
       trailers_too_large},
  };
}

}  // namespace weir::test
