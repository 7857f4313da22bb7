// How mistakes in a configuration are told: where, what, and what was perhaps meant.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/config.h"

namespace weir::gateway {

// "weir.toml:35"; without a line (a flag, a default) what stands for the file alone.
inline std::string where(const Place& place) {
  return place.line == 0 ? place.file : fmt::format("{}:{}", place.file, place.line);
}

// Where a key of the table was written; where the table stands if it was not.
inline std::string where(const Place& place, std::string_view key) {
  const auto found = place.keys.find(key);
  return found == place.keys.end() ? where(place) : found->second;
}

// The line of a mistake that begins with where(): "weir.toml:35: …". 0: it has none.
inline uint32_t line_of_mistake(std::string_view mistake) {
  for (size_t colon = mistake.find(':'); colon != std::string_view::npos; colon = mistake.find(':', colon + 1)) {
    uint32_t line = 0;
    const char* const digits = mistake.data() + colon + 1;
    const auto [end, error] = std::from_chars(digits, mistake.data() + mistake.size(), line);
    if (error == std::errc() && mistake.substr(static_cast<size_t>(end - mistake.data())).starts_with(": "))
      return line;
    if (mistake.substr(colon).starts_with(": ")) break;  // the place ends here
  }
  return 0;
}

// Every mistake on a line of its own, in the order of the file; success if there is none.
inline Result<> all_mistakes(std::vector<std::string> mistakes) {
  if (mistakes.empty()) return {};
  std::ranges::stable_sort(mistakes, {}, line_of_mistake);
  std::string text;
  for (const std::string& mistake : mistakes) {
    if (!text.empty()) text += '\n';
    text += mistake;
  }
  return fail("{}", text);
}

// How many letters must be inserted, removed or replaced to make one text of the other.
inline size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// The candidate that may have been meant; empty if none is near.
inline std::string_view nearest_of(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view nearest;
  size_t nearest_distance = std::max<size_t>(2, word.size() / 3) + 1;
  if (word.size() > 100) return {};
  for (const std::string_view candidate : candidates) {
    const bool begins_alike =
        std::min(word.size(), candidate.size()) >= 3 && (word.starts_with(candidate) || candidate.starts_with(word));
    const size_t distance = begins_alike ? 1 : edit_distance(word, candidate);
    if (distance >= nearest_distance) continue;
    nearest_distance = distance;
    nearest = candidate;
  }
  return nearest;
}

// "; did you mean \"max_head\"?", or nothing if no candidate is near.
inline std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view nearest = nearest_of(word, candidates);
  return nearest.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", nearest);
}

// A URL for a message: quoted, unless it holds user information, which is mostly a password.
inline std::string shown_url(std::string_view url) {
  return url.find('@') == std::string_view::npos ? fmt::format("\"{}\"", url) : "(not shown)";
}

// "a, b or c"
inline std::string one_of(std::span<const std::string_view> words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace weir::gateway
