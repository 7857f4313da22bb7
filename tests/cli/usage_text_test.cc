#include "cli/usage_text.h"

#include <doctest/doctest.h>

using namespace weir;
using namespace weir::cli;
using record::UsageKey;
using record::UsageSum;

namespace {

const std::vector<UsageSum> kSums = {
    {.keys = {"ann", "m-1"}, .interceptions = 2, .failed = 0, .input = 12345678, .output = 9},
    {.keys = {"b\x1b,\"x\"\n", ""}, .interceptions = 10, .failed = 1, .input = 1, .cache_write = INT64_MAX},
    {.keys = {"c", "m"}, .cache_write = 5},
};
const std::vector<UsageKey> kKeys = {UsageKey::user, UsageKey::model};

}  // namespace

TEST_CASE("usage: a table with numbers at the right and a line of totals that cannot overflow") {
  CHECK(usage_table(kKeys, kSums) ==
        "USER     MODEL  INTERCEPTIONS  FAILED     INPUT  OUTPUT  CACHE READ          CACHE WRITE\n"
        "ann      m-1                2       0  12345678       9           0                    0\n"
        "b?,\"x\"?  -                 10       1         1       0           0  9223372036854775807\n"
        "c        m                  0       0         0       0           0                    5\n"
        "total                      12       1  12345679       9           0  9223372036854775807");
}

TEST_CASE("usage: CSV quotes what RFC 4180 says, and each line ends with CR LF") {
  CHECK(usage_csv(kKeys, kSums) ==
        "user,model,interceptions,failed,input,output,cache_read,cache_write\r\n"
        "ann,m-1,2,0,12345678,9,0,0\r\n"
        "\"b?,\"\"x\"\"\n\",,10,1,1,0,0,9223372036854775807\r\n"
        "c,m,0,0,0,0,0,5\r\n");
  CHECK(csv_field("plain text") == "plain text");
  CHECK(csv_field("") == "");
  CHECK(csv_field("\"") == "\"\"\"\"");
  CHECK(csv_field("a\r\nb") == "\"a\r\nb\"");
  CHECK(csv_field("=1+1") == "=1+1");
}

TEST_CASE("usage: JSON has an object on each line") {
  CHECK(
      usage_json(kKeys, {kSums[0]}) ==
      R"({"user":"ann","model":"m-1","interceptions":2,"failed":0,"input":12345678,"output":9,"cache_read":0,"cache_write":0})");
  const std::string lines = usage_json(kKeys, kSums);
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
  CHECK(usage_json(kKeys, {}).empty());
}
