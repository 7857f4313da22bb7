#include "cli/print.h"

#include <doctest/doctest.h>

using namespace weir::cli;

TEST_CASE("print: columns are as wide as their widest cell, by code points") {
  Table table({"A", "B"});
  table.add({"héllo", "1"});
  table.add({"x", "22"});
  CHECK(table.text() == "A      B\nhéllo  1\nx      22");
}

TEST_CASE("print: control bytes cannot reach a terminal") {
  CHECK(harmless("a\x1b[31mb\nc\x7f") == "a?[31mb?c?");
  CHECK(harmless("\xC2\x9B"
                 "31m") == "?31m");
  CHECK(harmless("\xff"
                 "é🌍") == "?é🌍");
}
