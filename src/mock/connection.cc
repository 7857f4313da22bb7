#include "mock/connection.h"

#include "mock/json_text.h"

namespace weir::mock {

void Seen::write(std::string& out) const {
  const size_t space = line.find(' ');
  put(out, {R"({"number":)", std::to_string(number), R"(,"method":)"});
  append_json(out, line.substr(0, space));
  put(out, {R"(,"target":)"});
  append_json(out, line.substr(space + 1));
  put(out, {R"(,"headers":[)"});
  for (const auto& [name, value] : headers) {
    if (&name != &headers.front().first) out += ',';
    out += '[';
    append_json(out, name);
    out += ',';
    append_json(out, value);
    out += ']';
  }
  put(out, {R"(],"body_size":)", std::to_string(body_size), R"(,"body_sha256":")", body_sha256, R"(","body_start":)"});
  append_json(out, body_start);
  out += "}\n";
}

}  // namespace weir::mock
