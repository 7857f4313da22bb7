#include "reader/request.h"

#include <doctest/doctest.h>
#include <simdjson.h>
#include <zstd.h>

#include <random>

#include "reader/content_coding.h"
#include "reader/gzip.h"
#include "reader/json.h"
#include "reader/support.h"

namespace weir::reader {
namespace {

constexpr RequestApi kMessages = RequestApi::messages;
constexpr RequestApi kChat = RequestApi::chat_completions;
constexpr RequestApi kResponses = RequestApi::responses;

// The prompt, or "-" for none.
std::string prompt_of(RequestApi api, const std::string& turns) {
  const std::string key = api == kResponses ? "input" : "messages";
  const RequestFacts facts = read_request(api, "{\"model\":\"m\",\"" + key + "\":" + turns + "}");
  CHECK(facts.status == BodyStatus::ok);
  CHECK(facts.prompt_size == facts.prompt.size());
  return facts.has_prompt ? facts.prompt : "-";
}

std::string call_of(RequestApi api, const std::string& turns) {
  const std::string key = api == kResponses ? "input" : "messages";
  return read_request(api, "{\"" + key + "\":" + turns + "}").correlating_tool_call_id;
}

std::string session_of(const std::string& metadata) {
  return read_request(kMessages, "{\"metadata\":" + metadata + "}").metadata_session_id;
}

// The body with the edit, or "-" if there is none. Whatever was edited must parse to what was meant.
std::string inserted(const std::string& body) {
  const RequestFacts facts = read_request(kChat, body);
  CHECK(facts.status == BodyStatus::ok);
  if (!facts.insert_usage) return "-";
  const std::string text = edited(body, facts);
  JsonValue options, include_usage;
  CHECK(read_members(text, {{"stream_options", &options}}));
  CHECK(read_members(options, {{"include_usage", &include_usage}}));
  CHECK(include_usage.is(JsonKind::boolean_true));
  CHECK(!read_request(kChat, text).insert_usage);
  return text;
}

std::string refusal(std::string_view body) {
  const RequestFacts facts = read_request(kChat, body);
  switch (facts.status) {
    case BodyStatus::ok:
      return "ok";
    case BodyStatus::empty:
      return "empty";
    case BodyStatus::invalid_json:
      return "invalid " + std::to_string(facts.error_offset) + " " + facts.error;
    case BodyStatus::not_an_object:
      return "not an object " + std::to_string(facts.error_offset);
    case BodyStatus::unreadable:
      return "unreadable";
  }
  return {};
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

// {"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]} by the encoder's best quality: only its
// decoder is linked here.
const std::string kBrotliBody(
    "\x1B\x46\x00\xE8\x9C\x07\x76\x0C\x99\x06\x5A\x58\xC0\xE9\x4D\xE8\x56\x8B\xEC\xC9\x6D\xCD\xB6\xB9\xBA"
    "\xD6\x61\xE9\xEA\x9B\x22\x65\x69\xB0\x01\x07\x4E\xEB\x92\x58\x3C\x80\x0E\x0E\x39\xC3\x67\x7D\x4B\x3C"
    "\x82\x17\xA4\x00\xA6\x97\x52\x16\xED\xC1\x75\xC9\x72\xFA\xEE\xBE\x03",
    67);

}  // namespace

TEST_CASE("request: model and streaming") {
  RequestFacts facts = read_request(kMessages, R"({"stream":true,"model":"claude \u0031"})");
  CHECK(facts.model == "claude 1");
  CHECK(facts.streaming);
  facts = read_request(kMessages, R"({"model":7,"stream":"true"})");
  CHECK(facts.model.empty());
  CHECK(!facts.streaming);
  facts = read_request(kChat, R"({"model":"a","stream":true,"model":"b","stream":false})");
  CHECK(facts.model == "b");
  CHECK(!facts.streaming);
}

TEST_CASE("request: what is refused, and at which byte") {
  CHECK(refusal("") == "empty");
  CHECK(refusal("  ") == "invalid 2 unexpected end");
  CHECK(refusal("[\"model\"]") == "not an object 0");
  CHECK(refusal(" 12") == "not an object 1");
  CHECK(refusal("\"model\"") == "not an object 0");
  CHECK(refusal("null\n") == "not an object 0");
  CHECK(refusal("[1,2") == "invalid 4 unexpected end");
  CHECK(refusal("{\"model\": \"m\", \"messages\": [}") == "invalid 28 unexpected character");
  CHECK(refusal("{\"a\":1}{") == "invalid 7 unexpected bytes after the value");
  CHECK(refusal("\xEF\xBB\xBF{}") == "invalid 0 unexpected character");
  CHECK(refusal("{\"messages\":[{\"role\":\"us\xFF\"}]}") == "invalid 24 invalid UTF-8");
  CHECK(refusal("{\"tools\":[{\"x\":01}]}") == "invalid 16 invalid number");
  CHECK(refusal("{\"tools\":[\"\\q\"]}") == "invalid 12 invalid escape in a string");
  CHECK(refusal("{}") == "ok");
}

TEST_CASE("request: the strings are kept when the facts are read again") {
  RequestReader reader;
  RequestFacts facts;
  ByteBuffer body;
  body.append(R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})");
  reader.read(kChat, body, {}, facts);
  CHECK(facts.insert_usage);
  body.clear();
  body.append("{");
  reader.read(kChat, body, {}, facts);
  CHECK(facts.status == BodyStatus::invalid_json);
  CHECK(facts.model.empty());
  CHECK(!facts.has_prompt);
  CHECK(!facts.insert_usage);
}

TEST_CASE("messages request: the prompt is the last user message's") {
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"},{"role":"user","content":"b"}])") == "b");
  CHECK(prompt_of(kMessages,
                  R"([{"content":[{"type":"text","text":"a"},{"text":"b","type":"text"}],"role":"user"}])") == "b");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"}]}])") == "a");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"},{"role":"system","content":"s"}])") == "a");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"},{"role":"developer","content":"s"}])") == "a");
  CHECK(prompt_of(kMessages, R"([{"r\u006fle":"us\u0065r","content":"a\n\u00e9"}])") == "a\n\xC3\xA9");
  CHECK(prompt_of(kMessages, R"([{"role":"assistant","role":"user","content":"a","content":"b"}])") == "b");
}

TEST_CASE("messages request: what is no prompt") {
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}])") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":[{"type":"text","text":5},"text",null]}])") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":{"type":"text","text":"a"}}])") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"},{"role":"system"},17])") == "-");
  CHECK(prompt_of(kMessages, R"([{"content":"a"}])") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":["user"],"content":"a"}])") == "-");
  CHECK(prompt_of(kMessages, R"("[{\"role\":\"user\",\"content\":\"a\"}]")") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"}],"messages":[])") == "-");
  CHECK(prompt_of(kMessages, R"([{"role":"user","content":"a"}],"messages":null)") == "-");
  CHECK(prompt_of(kMessages, "[]") == "-");
}

TEST_CASE("messages request: the last tool result of the last message correlates") {
  CHECK(call_of(kMessages, R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"},)"
                           R"({"tool_use_id":"b","type":"tool_result"},{"type":"text","text":"x"}]},)"
                           R"({"role":"system","content":"s"}])") == "b");
  CHECK(call_of(kMessages, R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]},)"
                           R"({"role":"user","content":"x"}])") == "");
}

TEST_CASE("messages request: the session in metadata.user_id") {
  CHECK(session_of(R"({"user_id":"user_ab_account__session_12-34 "})") == "12-34");
  CHECK(session_of(R"({"user_id":"u_session_a_session_b"})") == "a_session_b");
  CHECK(session_of(R"({"user_id":"{\"device_id\":\"d\",\"session_id\":\" s-1 \"}"})") == "s-1");
  CHECK(session_of(R"({"user_id":"{\"session_id\":7}"})") == "");
  CHECK(session_of(R"({"user_id":"user"})") == "");
  CHECK(session_of(R"({"user_id":5})") == "");
  CHECK(session_of(R"("_session_x")") == "");
  CHECK(session_of("null") == "");
}

TEST_CASE("chat request: the prompt") {
  CHECK(prompt_of(kChat, R"([{"role":"system","content":"s"},{"role":"user","content":"a"}])") == "a");
  CHECK(prompt_of(kChat, R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"},)"
                         R"({"type":"text","text":"b"},{"type":"input_text","text":"c"}]}])") == "b");
  CHECK(prompt_of(kChat, R"([{"role":"user","content":"a"},{"role":"tool","tool_call_id":"c","content":"r"}])") == "-");
  CHECK(prompt_of(kChat, R"([{"role":"user","content":"a"},{"role":"developer","content":"r"}])") == "a");
}

TEST_CASE("chat request: a tool message at the end correlates") {
  const std::string tool = R"({"role":"tool","tool_call_id":"c1","content":"r"})";
  CHECK(call_of(kChat, "[" + tool + "]") == "c1");
  CHECK(call_of(kChat, "[" + tool + R"(,{"role":"system","content":"s"}])") == "c1");
  CHECK(call_of(kChat, "[" + tool + R"(,{"role":"user","content":"s"}])") == "");
  CHECK(call_of(kChat, R"([{"role":"user","tool_call_id":"c1"}])") == "");
}

TEST_CASE("responses request: the prompt") {
  CHECK(prompt_of(kResponses, R"("hi \u00e9")") == "hi \xC3\xA9");
  CHECK(prompt_of(kResponses, R"([{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},)"
                              R"({"type":"input_image"},{"type":"input_text","text":"b"}]}])") == "a\nb");
  CHECK(prompt_of(kResponses, R"([{"role":"user","content":"a"}])") == "a");
  CHECK(prompt_of(kResponses, R"([{"role":"user","content":"a"},{"role":"developer","content":"d"}])") == "a");
  CHECK(prompt_of(kResponses, R"([{"role":"user","content":"a"},{"type":"function_call_output","call_id":"c"}])") ==
        "-");
  CHECK(prompt_of(kResponses, R"([{"role":"user","content":"a"},{"type":"reasoning"}])") == "-");
  CHECK(prompt_of(kResponses, R"([{"role":"user","content":[{"type":"input_image"}]}])") == "-");
  CHECK(prompt_of(kResponses, R"([{"role":"assistant","content":"a"}])") == "-");
  CHECK(prompt_of(kResponses, "null") == "-");
}

TEST_CASE("responses request: what is no turn is passed over") {
  const std::string prompt = R"({"type":"message","role":"user","content":"a"})";
  const auto behind = [&](const std::string& items) { return joined({"[", prompt, ",", items, "]"}); };
  for (const std::string item :
       {R"({"type":"configuration_update","reasoning":{"effort":"low"}})", R"({"type":"item_reference","id":"m"})",
        R"({"type":"mcp_list_tools"})", R"({"id":"m"})", R"({"type":null,"role":null})", "{}",
        R"({"type":"a_very_long_name_of_a_type_that_has_more_than_sixty_four_bytes_in_all_update"})"}) {
    CAPTURE(item);
    CHECK(prompt_of(kResponses, behind(item)) == "a");
    CHECK(prompt_of(kResponses, behind(joined({item, ",", item}))) == "a");
    CHECK(call_of(kResponses, joined({R"([{"type":"function_call_output","call_id":"c"},)", item, "]"})) == "c");
  }
  for (const std::string item :
       {R"({"type":"message"})", R"({"type":"reasoning"})", R"({"type":"shell_call"})",
        R"({"type":"shell_call_output"})", R"({"type":"local_shell_c\u0061ll"})",
        R"({"type":"configuration_update","role":"assistant"})", R"("text")", "7",
        R"({"type":"a_very_long_name_of_a_type_that_has_more_than_sixty_four_bytes_in_all_output"})"}) {
    CAPTURE(item);
    CHECK(prompt_of(kResponses, behind(item)) == "-");
  }
  CHECK(prompt_of(kResponses, R"([{"type":"configuration_update"}])") == "-");
  // Messages of the other APIs have roles.
  CHECK(prompt_of(kChat, R"([{"role":"user","content":"a"},{"type":"x"}])") == "-");
}

TEST_CASE("request: the key of the prompt's cache") {
  CHECK(read_request(kResponses, R"({"prompt_cache_key":" k\u0031 \n"})").prompt_cache_key == "k1");
  CHECK(read_request(kChat, R"({"prompt_cache_key":"a","prompt_cache_key":"b"})").prompt_cache_key == "b");
  for (const std::string body :
       {R"({})", R"({"prompt_cache_key":7})", R"({"prompt_cache_key":"  "})", R"({"a":{"prompt_cache_key":"x"}})"}) {
    CHECK(read_request(kResponses, body).prompt_cache_key == "");
  }
}

TEST_CASE("responses request: the output of a call at the end correlates") {
  CHECK(call_of(kResponses, R"([{"type":"function_call_output","call_id":"a"}])") == "a");
  CHECK(call_of(kResponses, R"([{"type":"function_call_output","call_id":"a"},{"role":"system","content":"s"}])") ==
        "a");
  CHECK(call_of(kResponses, R"([{"call_id":"b","type":"custom_tool_call_output"}])") == "b");
  CHECK(call_of(kResponses, R"([{"type":"function_call","call_id":"a"}])") == "");
  CHECK(call_of(kResponses, R"([{"type":"function_call_output","call_id":"a"},{"role":"user","content":"x"}])") == "");
}

TEST_CASE("request: a prompt over 64 KiB is cut at a whole code point") {
  std::string euros;
  for (int i = 0; i < 30000; ++i) euros += "\xE2\x82\xAC";
  const RequestFacts facts = read_request(kResponses, "{\"input\":\"" + euros + "\"}");
  CHECK(facts.prompt == euros.substr(0, 65535));
  CHECK(facts.prompt_truncated);
  CHECK(facts.prompt_size == 90000);
}

TEST_CASE("chat request: usage is asked for in one edit, and no member is written twice") {
  CHECK(inserted(R"({"stream":true})") == R"({"stream":true,"stream_options":{"include_usage":true}})");
  CHECK(inserted("{\"a\":{},\n \"stream\":true \n}\n") ==
        "{\"a\":{},\n \"stream\":true,\"stream_options\":{\"include_usage\":true} \n}\n");
  CHECK(inserted(R"({"stream_options":null,"stream":true})") ==
        R"({"stream_options":{"include_usage":true},"stream":true})");
  CHECK(inserted("{\"stream_options\" :\tnull\n,\"stream\":true}") ==
        "{\"stream_options\" :\t{\"include_usage\":true}\n,\"stream\":true}");
  CHECK(inserted(R"({"stream_options":{},"stream":true})") ==
        R"({"stream_options":{"include_usage":true},"stream":true})");
  CHECK(inserted(R"({"stream_options": { } ,"stream":true})") ==
        R"({"stream_options": {"include_usage":true } ,"stream":true})");
  CHECK(inserted(R"({"stream":true,"stream_options":{"include_usage":false, "x":{"y":"{"} }})") ==
        R"({"stream":true,"stream_options":{"include_usage":true, "x":{"y":"{"} }})");
  for (const std::string value : {"false", "null", "0", "\"true\"", "[1,{\"include_usage\":true}]", "{ \"a\" : 1 }"}) {
    CAPTURE(value);
    CHECK(inserted(
              joined({R"({"stream":true,"stream_options":{ "a":1,"include_usage" : )", value, R"( ,"b":2},"c":3})"})) ==
          R"({"stream":true,"stream_options":{ "a":1,"include_usage" : true ,"b":2},"c":3})");
  }
  CHECK(inserted(R"({"stream":true,"stream_options":{"include\u005fusage":false}})") ==
        R"({"stream":true,"stream_options":{"include\u005fusage":true}})");
  CHECK(inserted(R"({"stream":true,"stream_options":{"x":{"include_usage":false}}})") ==
        R"({"stream":true,"stream_options":{"x":{"include_usage":false},"include_usage":true}})");
  CHECK(inserted(R"({"stream":true,"stream_options":{"include_usage":true,"include_usage":null}})") ==
        R"({"stream":true,"stream_options":{"include_usage":true}})");
  CHECK(inserted(R"({"stream":true,"stream_options":{"include_usage":1, "a":"2" , "include_usage":"x","b":[],)"
                 R"("include_usage":null }})") ==
        R"({"stream":true,"stream_options":{"include_usage":true, "a":"2","b":[] }})");
  CHECK(inserted(R"({"stream_options":{"include_usage":true},"stream":true,"stream_options":{"a":1}})") ==
        R"({"stream_options":{"include_usage":true},"stream":true,"stream_options":{"a":1,"include_usage":true}})");
  CHECK(inserted(R"({"stream":true,"stream_options":{"a":"}"},"b":"}"})") ==
        R"({"stream":true,"stream_options":{"a":"}","include_usage":true},"b":"}"})");
}

TEST_CASE("chat request: where nothing is edited") {
  CHECK(inserted(R"({"stream":false})") == "-");
  CHECK(inserted(R"({"stream":true,"stream":false})") == "-");
  CHECK(inserted(R"({})") == "-");
  CHECK(inserted(R"({"stream":true,"stream_options":{"include_usage":true}})") == "-");
  CHECK(inserted(R"({"stream":true,"stream_options":{"include_usage":false,"include\u005fusage":true}})") == "-");
  CHECK(inserted(R"({"stream":true,"stream_options":"x"})") == "-");
  CHECK(!read_request(kResponses, R"({"stream":true})").insert_usage);
  CHECK(!read_request(kMessages, R"({"stream":true})").insert_usage);
}

TEST_CASE("request: nesting over 1,000 levels is unreadable, and not edited") {
  std::string deep = R"({"stream":true,"model":"m","x":)";
  deep += std::string(1000, '[') + std::string(1000, ']') + "}";
  const RequestFacts facts = read_request(kChat, deep);
  CHECK(facts.status == BodyStatus::unreadable);
  CHECK(!facts.insert_usage);
  deep = "{\"x\":" + std::string(999, '[') + std::string(999, ']') + "}";
  CHECK(read_request(kChat, deep).status == BodyStatus::ok);
}

TEST_CASE("request: compressed bodies are decoded for reading") {
  const std::string body = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]})";
  const std::pair<std::string, std::string> encoded[] = {
      {"gzip", gzip(body)},
      {"x-gzip", gzip(body)},
      {" GZIP ", gzip(body.substr(0, 9)) + gzip(body.substr(9))},
      {"zstd", zstd(body)},
      {"zstd", zstd(body.substr(0, 9)) + zstd(body.substr(9))},
      {"br", kBrotliBody},
      {"identity", body},
      {"", body},
  };
  for (const auto& [encoding, bytes] : encoded) {
    CAPTURE(encoding);
    const RequestFacts facts = read_request(kChat, bytes, encoding);
    CHECK(facts.status == BodyStatus::ok);
    CHECK(facts.model == "m");
    CHECK(facts.prompt == "hi");
    CHECK(facts.streaming);
    CHECK(facts.insert_usage == (bytes == body));
  }
}

TEST_CASE("request: a compressed body that fails is unreadable, never refused") {
  const std::string body = R"({"model":"m"})";
  const std::pair<std::string, std::string> encoded[] = {
      {"gzip", body},
      {"gzip", gzip(body).substr(0, 20)},
      {"gzip", gzip(body) + "x"},
      {"zstd", body},
      {"zstd", zstd(body).substr(0, 10)},
      {"br", kBrotliBody + "x"},
      {"br", kBrotliBody.substr(0, 5)},
      {"gzip", gzip("{")},
      {"gzip", gzip("[]")},
      {"gzip", gzip("")},
      {"deflate", body},
      {"gzip, br", body},
  };
  for (const auto& [encoding, bytes] : encoded) {
    CAPTURE(encoding);
    const RequestFacts facts = read_request(kChat, bytes, encoding);
    CHECK(facts.status == BodyStatus::unreadable);
    CHECK(facts.model.empty());
  }
  CHECK(read_request(kChat, "", "gzip").status == BodyStatus::empty);
}

TEST_CASE("request: a decompression bomb is unreadable") {
  const std::string body = "{\"model\":\"" + std::string(size_t{100} << 20, 'x') + "\"}";
  for (const auto& [encoding, bytes] :
       {std::pair<std::string, std::string>{"zstd", zstd(body)}, {"gzip", gzip(body)}}) {
    CAPTURE(encoding);
    CHECK(read_request(kChat, bytes, encoding).status == BodyStatus::unreadable);
  }
  // Beyond 1 MiB what came may stand for a hundred times as much.
  const auto padded = [](size_t size) { return R"({"model":"m"})" + std::string(size, ' '); };
  CHECK(read_request(kChat, zstd(padded(1000 << 10)), "zstd").status == BodyStatus::ok);
  CHECK(read_request(kChat, zstd(padded(1100 << 10)), "zstd").status == BodyStatus::unreadable);
  std::mt19937 random(7);
  std::string large = R"({"model":"m","x":")";
  while (large.size() < size_t{3} << 20) large += static_cast<char>('a' + random() % 4);
  large += R"("})";
  CHECK(read_request(kChat, zstd(large), "zstd").status == BodyStatus::ok);
  RequestReader reader;
  RequestFacts facts;
  ByteBuffer encoded;
  encoded.append(zstd(large));
  reader.read(kChat, encoded, "zstd", facts, large.size());
  CHECK(facts.status == BodyStatus::ok);
  reader.read(kChat, encoded, "zstd", facts, large.size() - 1);
  CHECK(facts.status == BodyStatus::unreadable);
}

TEST_CASE("request: in slices the same is read as at once, and no slice does much") {
  const auto repeated = [](std::string_view part, size_t size) {
    std::string text;
    while (text.size() < size) text += part;
    return text;
  };
  constexpr size_t kSize = size_t{2} << 20;
  const std::string bodies[] = {
      R"({"model":"m","messages":[{"role":"user","content":")" + repeated("\\n\\u00e9 text", kSize) + R"("}]})",
      R"({"model":"m","messages":[{"role":"user","content":[)" + repeated(R"({"type":"text","text":"a"},)", kSize) +
          R"({"type":"text","text":"last"}]}]})",
      R"({"model":"m","messages":[)" + repeated("{},", kSize) + R"({"role":"user","content":"last"}]})",
      R"({"model":"m","messages":[)" + repeated("{},", kSize) + "x]}",
      R"({"model":"m"})" + repeated(" ", kSize),
  };
  for (const std::string& text : bodies) {
    CAPTURE(text.substr(0, 80));
    const RequestFacts at_once = read_request(kChat, text);
    for (const std::string& encoding : {std::string(), std::string("gzip"), std::string("zstd")}) {
      CAPTURE(encoding);
      ByteBuffer body;
      body.append(encoding.empty() ? text : encoding == "gzip" ? gzip(text) : zstd(text));
      const bool bomb = !encoding.empty() && body.size() * kDecodedRatioMax < text.size();
      RequestReader reader;
      RequestFacts facts;
      const size_t slices = in_slices([&] { reader.read(kChat, body, encoding, facts); });
      if (!bomb) CHECK(slices >= kSize / SlicedWork::kSlice);
      CHECK(facts.status == (bomb || (!encoding.empty() && at_once.status != BodyStatus::ok) ? BodyStatus::unreadable
                                                                                             : at_once.status));
      if (facts.status == BodyStatus::unreadable) continue;
      CHECK(facts.error == at_once.error);
      CHECK(facts.error_offset == at_once.error_offset);
      CHECK(facts.model == at_once.model);
      CHECK(facts.prompt == at_once.prompt);
      CHECK(facts.prompt_size == at_once.prompt_size);
    }
  }
}

TEST_CASE("request: millions of frames that hold nothing take many slices, and one that is given up ends") {
  const std::string frame = zstd("");
  std::string frames;
  while (frames.size() < size_t{1} << 20) frames += frame;
  ByteBuffer body;
  body.append(frames);
  RequestReader reader;
  RequestFacts facts;
  auto read = [&] { reader.read(kChat, body, "zstd", facts); };
  CHECK(in_slices(read) > frames.size() / frame.size() * 64 / SlicedWork::kSlice);
  CHECK(facts.status == BodyStatus::unreadable);
  SlicedWork sliced;
  const auto run = [](void* work) { (*static_cast<decltype(read)*>(work))(); };
  CHECK_FALSE(sliced.begin(run, &read));
  CHECK_FALSE(sliced.go_on());
  sliced.give_up();
  CHECK_FALSE(sliced.running());
}

TEST_CASE("request: hostile bytes change nothing but the facts") {
  const std::string body =
      R"({"model":"m","stream":true,"stream_options":{"a":1},"metadata":{"user_id":"{\"session_id\":\"s\"}"},)"
      R"("messages":[{"role":"user","content":[{"type":"text","text":"x\ud83d"},{"type":"tool_result",)"
      R"("tool_use_id":"t"}]}],"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"y"}]}]})";
  std::mt19937 random(5);
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = body;
    for (int n = 0; n < 3; ++n) damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    damaged.resize(random() % 4 == 0 ? random() % (damaged.size() + 1) : damaged.size());
    const RequestFacts facts = read_request(static_cast<RequestApi>(i % 3), damaged);
    if (facts.status == BodyStatus::invalid_json) CHECK(facts.error_offset <= damaged.size());
    if (facts.insert_usage) CHECK(facts.insert_offset + facts.replaced_size < damaged.size());
    if (facts.has_prompt) CHECK(simdjson::validate_utf8(facts.prompt));
  }
}

}  // namespace weir::reader
