#include "reader/json.h"

#include <doctest/doctest.h>
#include <simdjson.h>

#include "reader/support.h"

namespace weir::reader {
namespace {

// What JsonReader says of a whole text: "ok", "deep", or "<what is wrong> at <offset>".
std::string verdict(std::string_view text) {
  const ExactCopy copy(text);
  JsonReader reader(copy.view());
  reader.value();
  if (reader.finish()) return reader.too_deep() ? "deep" : "ok";
  return std::string(reader.error()) + " at " + std::to_string(reader.error_offset());
}

std::string unescaped(std::string_view raw) {
  std::string out;
  assign_unescaped(raw, out);
  return out;
}

bool simdjson_takes(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  return parser.parse(text.data(), text.size()).get(element) == simdjson::SUCCESS;
}

}  // namespace

TEST_CASE("json: well-formed texts are taken") {
  for (const std::string_view text : {"{}",
                                      "[]",
                                      " \t\r\n{ } ",
                                      "null",
                                      "true",
                                      "false",
                                      "0",
                                      "-0",
                                      "-1.5e+10",
                                      "1E5",
                                      "0.25",
                                      "\"\"",
                                      R"({"a":[1,{"b":null},[],{}],"c":"d"})",
                                      "[1 , 2\n,\t3 ]",
                                      R"("\"\\\/\b\f\n\r\t\u00Fa")",
                                      R"("\ud800")",
                                      "\"\x7f\"",
                                      "\"Gr\xC3\xBC\xC3\x9F\x65, \xE4\xB8\x96 \xF0\x9F\x98\x80\"",
                                      R"({"a":1,"a":2})",
                                      R"({"":0})"}) {
    CAPTURE(text);
    CHECK(verdict(text) == "ok");
  }
}

TEST_CASE("json: the first wrong byte is named") {
  const std::pair<std::string_view, std::string_view> wrong[] = {
      {"", "unexpected end at 0"},
      {"  ", "unexpected end at 2"},
      {"\xEF\xBB\xBF{}", "unexpected character at 0"},
      {"{", "unexpected end at 1"},
      {"[1,", "unexpected end at 3"},
      {"[1,]", "unexpected character at 3"},
      {"[,1]", "unexpected character at 1"},
      {"[1 2]", "unexpected character at 3"},
      {"[1}", "unexpected character at 2"},
      {"{\"a\"]", "unexpected character at 4"},
      {"{\"a\":1]", "unexpected character at 6"},
      {"{\"a\":1,}", "unexpected character at 7"},
      {"{\"a\" 1}", "unexpected character at 5"},
      {"{\"a\":}", "unexpected character at 5"},
      {"{a:1}", "unexpected character at 1"},
      {"{1:1}", "unexpected character at 1"},
      {"{\"a\":1 \"b\":2}", "unexpected character at 7"},
      {"{\"a\":1,,\"b\":2}", "unexpected character at 7"},
      {"'a'", "unexpected character at 0"},
      {"[1]]", "unexpected bytes after the value at 3"},
      {"{} x", "unexpected bytes after the value at 3"},
      {std::string_view("{}\0", 3), "unexpected bytes after the value at 2"},
      {"\"abc", "unexpected end at 4"},
      {"\"a\\", "unexpected end at 3"},
      {"\"a\\x\"", "invalid escape in a string at 3"},
      {"\"a\\u12g4\"", "invalid escape in a string at 6"},
      {"\"a\\u12", "unexpected end at 6"},
      {"\"a\nb\"", "control character in a string at 2"},
      {std::string_view("\"a\0b\"", 5), "control character in a string at 2"},
      {"\"0123456789abcdef\x01\"", "control character in a string at 17"},
      {"01", "invalid number at 1"},
      {"-", "unexpected end at 1"},
      {"-x", "invalid number at 1"},
      {"1.", "unexpected end at 2"},
      {"1.x", "invalid number at 2"},
      {"1e", "unexpected end at 2"},
      {"1e+", "unexpected end at 3"},
      {"[1e+]", "invalid number at 4"},
      {".5", "unexpected character at 0"},
      {"+1", "unexpected character at 0"},
      {"1x", "unexpected bytes after the value at 1"},
      {"tru", "unexpected end at 3"},
      {"trux", "invalid literal at 3"},
      {"nul1", "invalid literal at 3"},
      {"[falsx]", "invalid literal at 5"},
      {"truee", "unexpected bytes after the value at 4"},
      {"NaN", "unexpected character at 0"},
      {"\"\x80\"", "invalid UTF-8 at 1"},
      {"\"\xC0\xAF\"", "invalid UTF-8 at 1"},
      {"\"a\xE0\x9F\xBF\"", "invalid UTF-8 at 2"},
      {"\"\xED\xA0\x80\"", "invalid UTF-8 at 1"},
      {"\"\xF4\x90\x80\x80\"", "invalid UTF-8 at 1"},
      {"\"\xE4\xB8\"", "invalid UTF-8 at 1"},
      {"\"\xC3\xBC\xFF\"", "invalid UTF-8 at 3"},
      {"[\"\xFF\",x]", "invalid UTF-8 at 2"},  // before the other fault
      {"[x,\"\xFF\"]", "unexpected character at 1"},
      {"\xC3\xBC", "unexpected character at 0"},
  };
  for (const auto& [text, want] : wrong) {
    CAPTURE(text);
    CHECK(verdict(text) == want);
  }
}

TEST_CASE("json: nesting is read to 1,000 levels and checked beyond") {
  const auto nested = [](size_t levels, std::string_view inside) {
    std::string text;
    for (size_t i = 0; i < levels; ++i) text += i % 3 == 0 ? "{\"a\":" : "[";
    text += inside;
    for (size_t i = levels; i-- > 0;) text += i % 3 == 0 ? "}" : "]";
    return text;
  };
  CHECK(verdict(nested(999, "1")) == "ok");
  CHECK(verdict(nested(1000, "1")) == "ok");
  CHECK(verdict(nested(1001, "1")) == "deep");
  CHECK(verdict(nested(100000, "1")) == "deep");
  CHECK(verdict(nested(100000, "1]")).starts_with("unexpected character at"));
  CHECK(verdict(std::string(1 << 20, '[')) == "unexpected end at 1048576");
}

TEST_CASE("json: every prefix of a text is wrong, and at its end") {
  const std::string text = R"({"a":[1.5e3,"x\u00e9\n",true,null,false,{"b":{}}],"k":"0123456789abcdef0123456789"})";
  for (size_t size = 0; size < text.size(); ++size) {
    CAPTURE(size);
    CHECK(verdict(text.substr(0, size)) == "unexpected end at " + std::to_string(size));
  }
}

TEST_CASE("json: a text that is read in slices is judged as when it is read at once, wherever a window ends") {
  constexpr size_t kWindow = 16 * 1024;
  const std::vector<std::string> texts = {
      R"("\"\\\/\u00Fa\ud83d\ude00\n")",
      R"({"key":1,"k\u0065y" : [ ] , "" :{}})",
      "[-12.50e+10, 0 ,0.1E-5,1234567]",
      "[true,false , null]",
      "\"Gr\xC3\xBC\xE4\xB8\x96\xF0\x9F\x98\x80\"",
      "[ \t\r\n                              ]",
      // wrong
      "[01]",
      "[1.]",
      "[-]",
      "[1e]",
      "[1e+x]",
      "[tru]",
      "[nulx]",
      "\"\\x\"",
      "\"\\u12g4\"",
      "\"a\x01\"",
      "{\"a\"1}",
      "{\"a\":}",
      "{\"a\":1,}",
      "[1,]",
      "[1 2]",
      "\"\xFF\"",
      "\"\xE4\xB8\"",
      "\"\xF0\x9F\x98\", \"",
      "[\"\xC3\xBC\",x]",
      "]",
      "\"abc",
  };
  for (const std::string& text : texts) {
    CAPTURE(text);
    for (size_t pad = kWindow - 70; pad < kWindow + 3; ++pad) {
      for (const std::string_view filler : {"a", "\xC3\xBC", " "}) {
        std::string whole = filler == " " ? "[" : "[\"";
        while (whole.size() < pad) whole += filler;
        whole += filler == " " ? "" : "\",";
        whole += text + "]";
        std::string sliced;
        in_slices([&] { sliced = verdict(whole); });
        if (sliced != verdict(whole)) CHECK_MESSAGE(sliced == verdict(whole), pad, " of ", filler);
      }
    }
  }
}

TEST_CASE("json: a long text takes slices, whatever it is made of") {
  const auto repeated = [](std::string_view part, std::string_view begin, std::string_view end) {
    std::string text(begin);
    while (text.size() < size_t{1} << 20) text += part;
    return text += end;
  };
  const std::string texts[] = {repeated("{},", "[", "0]"),      repeated("x", "\"", "\""),
                               repeated("\\u00e9", "\"", "\""), repeated(" ", "[", "]"),
                               repeated("1", "", ""),           repeated("\xC3\xBC", "{\"", "\":1}"),
                               repeated("[", "", ""),           repeated("1,", "[", "1]")};
  for (const std::string& text : texts) {
    CAPTURE(text.substr(0, 8));
    std::string sliced;
    CHECK(in_slices([&] { sliced = verdict(text); }) >= text.size() / SlicedWork::kSlice);
    CHECK(sliced == verdict(text));
  }
}

TEST_CASE("json: random damage is judged as simdjson judges it") {
  const std::string text = R"({"model":"m\u00e9","n":[-1.5e-3,0,true,false,null,""],"o":{"p":"Gr)"
                           "\xC3\xBC\xC3\x9F\x65 \xF0\x9F\x98\x80"
                           R"( and a longer run of plain text","q":"\\\"\n"},"z":[[],{}]})";
  std::mt19937 random(11);
  const std::string_view bytes = "{}[],:\"\\ \n0-1.eEtfnu\x01\x80\xC3\xFFx";
  int taken = 0;
  for (int i = 0; i < 40000; ++i) {
    std::string damaged = text;
    for (unsigned n = 1 + random() % 2; n > 0; --n) {
      const size_t at = random() % damaged.size();
      if (random() % 3 == 0) {
        damaged.erase(at, 1);
      } else if (random() % 2 == 0) {
        damaged.insert(at, 1, bytes[random() % bytes.size()]);
      } else {
        damaged[at] = bytes[random() % bytes.size()];
      }
    }
    const bool right = verdict(damaged) == "ok";
    taken += right ? 1 : 0;
    CAPTURE(damaged);
    // simdjson refuses a lone surrogate escape, which we read; this text cannot come to hold one.
    CHECK(right == simdjson_takes(damaged));
  }
  CHECK(taken > 100);
}

TEST_CASE("json: escapes become the characters they stand for") {
  CHECK(unescaped(R"(a\"b\\c\/d\b\f\n\r\t)") == "a\"b\\c/d\b\f\n\r\t");
  CHECK(unescaped(R"(\u0041\u00e9\u20AC\ud83d\ude00)") == "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CHECK(unescaped(R"(a\u0000b)") == std::string("a\0b", 3));
}

TEST_CASE("json: a lone surrogate becomes U+FFFD") {
  CHECK(unescaped(R"(\ud83d)") == "\xEF\xBF\xBD");
  CHECK(unescaped(R"(\ude00x)") == "\xEF\xBF\xBDx");
  CHECK(unescaped(R"(\ud83d\ud83d\ude00)") == "\xEF\xBF\xBD\xF0\x9F\x98\x80");
  CHECK(unescaped(R"(\ud83d\n)") == "\xEF\xBF\xBD\n");
  CHECK(unescaped(R"(\ud83d\u0041)") == "\xEF\xBF\xBD\x41");
}

TEST_CASE("json: a text is cut at a whole code point, and its size is that before the cut") {
  CappedText text;
  append_unescaped(std::string(kTextMax - 1, 'a'), text);
  CHECK(!text.truncated);
  append_unescaped(R"(\u00e9)", text);
  CHECK(text.text.size() == kTextMax - 1);
  CHECK(text.truncated);
  append_unescaped("b", text);  // would fit, but what is cut stays a prefix
  CHECK(text.text.size() == kTextMax - 1);
  CHECK(text.size == kTextMax + 2);

  text.clear();
  std::string euros;
  for (int i = 0; i < 30000; ++i) euros += "\xE2\x82\xAC";
  append_unescaped(euros, text);
  CHECK(text.text == euros.substr(0, 65535));
  CHECK(text.size == 90000);

  text.clear();
  append_unescaped(std::string(kTextMax, 'a'), text);
  CHECK(!text.truncated);
}

TEST_CASE("json: whatever a text is made of, it is unescaped as simdjson does it, and cut in any place") {
  std::mt19937 random(31);
  const std::string_view pieces[] = {"a",
                                     "\\n",
                                     "\\\\",
                                     "\\\"",
                                     "\\u00e9",
                                     "\\u20ac",
                                     "\\ud83d\\ude00",
                                     "\xC3\xA9",
                                     "\xE2\x82\xAC",
                                     "\xF0\x9F\x98\x80",
                                     "\\u0000",
                                     "plain text of some size"};
  simdjson::dom::parser parser;
  for (int i = 0; i < 3000; ++i) {
    // As a text that is already held, of a size from which the cut falls in the piece or not; and the piece.
    const bool near_cut = i % 2 == 0;
    const std::string held(near_cut ? kTextMax - random() % 80 : random() % 20, 'h');
    std::string raw;
    for (size_t count = random() % 40; count > 0; --count) raw += pieces[random() % std::size(pieces)];
    const std::string want{std::string_view(parser.parse("\"" + raw + "\""))};
    CappedText text;
    append_unescaped(held, text);
    append_unescaped(ExactCopy(raw).view(), text);
    CAPTURE(raw);
    const std::string all = held + want;
    REQUIRE(text.size == all.size());
    REQUIRE(text.truncated == (all.size() > kTextMax));
    size_t cut = std::min(all.size(), kTextMax);
    while (cut < all.size() && (static_cast<unsigned char>(all[cut]) & 0xC0) == 0x80) --cut;
    REQUIRE(text.text == all.substr(0, cut));
  }
}

TEST_CASE("json: numbers as counts") {
  const auto count = [](std::string_view raw) { return count_of({JsonKind::number, raw}); };
  CHECK(count("0") == 0);
  CHECK(count("12345") == 12345);
  CHECK(count("-5") == 0);
  CHECK(count("12.9") == 12);
  CHECK(count("1e3") == 1000);
  CHECK(count("-0.0") == 0);
  CHECK(count("9223372036854775808") == INT64_MAX);
  CHECK(count("99999999999999999999999") == INT64_MAX);
  CHECK(count("1e400") == 0);
  CHECK(count_of({JsonKind::string, "5"}) == 0);
}

TEST_CASE("json: of duplicate members the last counts, and keys may be escaped") {
  JsonValue a, b;
  REQUIRE(read_members(R"({"a":1,"b":"x","a":{"b":3},"\u0062":"y"})", {{"a", &a}, {"b", &b}}));
  CHECK(a.is_object());
  CHECK(a.raw == R"({"b":3})");
  CHECK(b.is_text("y"));
}

TEST_CASE("json: an escaped key too long to be known is no known key") {
  JsonValue model;
  const std::string key = R"(mode\u006c)" + std::string(100, 'x');
  REQUIRE(read_members("{\"" + key + "\":1}", {{"model", &model}}));
  CHECK(model.is(JsonKind::none));
}

TEST_CASE("json: a string that holds JSON is no object") {
  JsonValue inner;
  CHECK(!read_members(JsonValue{JsonKind::string, R"({"a":1})"}, {{"a", &inner}}));
  CHECK(inner.is(JsonKind::none));
}

struct Tree {
  JsonValue id, part, list, inner, name, deep;
  bool several = false;
};
constexpr Field<Tree> kDeep[] = {{"deep", &Tree::deep}};
constexpr Field<Tree> kInside[] = {{"inner", &Tree::inner, kDeep}, {"name", &Tree::name}};
constexpr Field<Tree> kTree[] = {
    {"id", &Tree::id}, {"part", &Tree::part, kInside}, {"list", &Tree::list, kInside, &Tree::several}};

// What one walk finds, as text: `-` where nothing was.
std::string tree_of(std::string_view text) {
  const ExactCopy copy(text);
  Tree tree;
  if (!read_fields(copy.view(), kTree, tree)) return "wrong";
  std::string out;
  for (const JsonValue* value : {&tree.id, &tree.part, &tree.list, &tree.inner, &tree.name, &tree.deep}) {
    out += std::string(value->is(JsonKind::none) ? "-" : value->raw) + " ";
  }
  return out + (tree.several ? "several" : "one");
}

TEST_CASE("json: a tree of members is read in one walk") {
  CHECK(tree_of(R"({"id":1,"part":{"inner":{"deep":2,"x":[3]},"name":"n"},"other":{"inner":4}})") ==
        R"(1 {"inner":{"deep":2,"x":[3]},"name":"n"} - {"deep":2,"x":[3]} n 2 one)");
  CHECK(tree_of(R"( { "part" : 7 , "id" : null } )") == "null 7 - - - - one");
  CHECK(tree_of("{}") == "- - - - - - one");
}

TEST_CASE("json: of an array the first element's members are read, and told whether there are more") {
  CHECK(tree_of(R"({"list":[ {"name":"a"} ]})") == R"(- - [ {"name":"a"} ] - a - one)");
  CHECK(tree_of(R"({"list":[{"name":"a"},{"name":"b","inner":1}]})") ==
        R"(- - [{"name":"a"},{"name":"b","inner":1}] - a - several)");
  CHECK(tree_of(R"({"list":[1,{"name":"b"}]})") == R"(- - [1,{"name":"b"}] - - - several)");
  CHECK(tree_of(R"({"list":[]})") == "- - [] - - - one");
  CHECK(tree_of(R"({"part":[{"name":"a"}]})") == R"(- [{"name":"a"}] - - - - one)");
}

TEST_CASE("json: a duplicate member forgets all that the earlier one had inside") {
  CHECK(tree_of(R"({"part":{"inner":{"deep":1},"name":"a"},"part":{"name":"b"}})") == R"(- {"name":"b"} - - b - one)");
  CHECK(tree_of(R"({"part":{"name":"a"},"part":null})") == "- null - - - - one");
  CHECK(tree_of(R"({"list":[{"name":"a"},2],"list":[{"inner":{"deep":5}}]})") ==
        R"(- - [{"inner":{"deep":5}}] {"deep":5} - 5 one)");
  CHECK(tree_of(R"({"list":{"name":"a"},"list":3})") == "- - 3 - - - one");
}

TEST_CASE("json: a tree is read of exactly one right object, whatever is wrong with it elsewhere") {
  const std::string text = R"({"id":1,"part":{"inner":{"deep":2},"name":"n"},"list":[{"name":"m"},{}]})";
  REQUIRE(tree_of(text) != "wrong");
  for (size_t size = 0; size < text.size(); ++size) {
    INFO(size);
    CHECK(tree_of(text.substr(0, size)) == "wrong");
  }
  for (const char* wrong : {"[]", "1", "", R"({"part":{"name":01}})", R"({"list":[{"name":"a"},]})", R"({"id":1} 2)",
                            "{\"id\":\"\xff\"}"}) {
    CHECK(tree_of(wrong) == "wrong");
  }
  const std::string deep = R"({"part":{"inner":)" + std::string(998, '[') + std::string(998, ']') + "}}";
  const std::string deeper = R"({"part":{"inner":)" + std::string(999, '[') + std::string(999, ']') + "}}";
  CHECK(tree_of(deep) != "wrong");
  CHECK(tree_of(deeper) == "wrong");
}

TEST_CASE("json: a text equals however it is escaped") {
  const JsonValue plain{JsonKind::string, "user"}, escaped{JsonKind::string, R"(us\u0065r)"};
  CHECK(plain.is_text("user"));
  CHECK(escaped.is_text("user"));
  CHECK(!plain.is_text("use"));
  CHECK(!plain.is_text("users"));
  CHECK(!JsonValue{JsonKind::number, "user"}.is_text("user"));
}

}  // namespace weir::reader
