// What nearly every unit includes, precompiled (../meson.build). It only saves time: a unit includes what it uses
// all the same, and builds with -Db_pch=false, as build-tsan is, find what is missing.
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
