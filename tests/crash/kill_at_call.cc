// Loaded before a weir (LD_PRELOAD): kills it at one call of a library, which KILL_AT names:
//
//   KILL_AT=sqlite3_exec:COMMIT:after:3      at the third COMMIT, when it has happened
//   KILL_AT=rename::before:1                 at the first rename, before it happens
//
// Four parts: function, text that its first text argument contains (may be empty), before or after, which of them.
#include <dlfcn.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

struct Place {
  std::string_view function, text;
  bool after = false;
  long count = 0;

  Place() {
    const char* const given = std::getenv("KILL_AT");
    if (given == nullptr) return;
    std::string_view rest = given;
    const auto part = [&rest] {
      const size_t end = rest.find(':');
      const std::string_view found = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      return found;
    };
    function = part();
    text = part();
    after = part() == "after";
    count = std::atol(std::string(rest).c_str());
    if (count < 1) {
      std::fprintf(stderr, "KILL_AT: not FUNCTION:TEXT:before|after:COUNT\n");
      std::abort();
    }
  }
};

// One call, from its first instruction to its last.
class Call {
 public:
  Call(std::string_view function, const char* text) {
    static const Place place;
    static std::atomic<long> calls{0};
    if (place.function != function ||
        std::string_view(text == nullptr ? "" : text).find(place.text) == std::string_view::npos) {
      return;
    }
    if (++calls != place.count) return;
    if (!place.after) kill(getpid(), SIGKILL);
    kill_at_end_ = true;
  }
  ~Call() {
    if (kill_at_end_) kill(getpid(), SIGKILL);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  bool kill_at_end_ = false;
};

template <class Function>
Function real(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) {
    std::fprintf(stderr, "KILL_AT: there is no %s\n", name);
    std::abort();
  }
  return reinterpret_cast<Function>(found);
}

}  // namespace

extern "C" {

int sqlite3_exec(sqlite3* database, const char* sql, int (*callback)(void*, int, char**, char**), void* argument,
                 char** message) {
  static const auto next = real<decltype(&sqlite3_exec)>("sqlite3_exec");
  const Call call("sqlite3_exec", sql);
  return next(database, sql, callback, argument, message);
}

int sqlite3_step(sqlite3_stmt* statement) {
  static const auto next = real<decltype(&sqlite3_step)>("sqlite3_step");
  const Call call("sqlite3_step", sqlite3_sql(statement));
  return next(statement);
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = real<int (*)(const char*, const char*)>("rename");
  const Call call("rename", from);
  return next(from, to);
}

int unlink(const char* path) noexcept {
  static const auto next = real<int (*)(const char*)>("unlink");
  const Call call("unlink", path);
  return next(path);
}

int remove(const char* path) noexcept {
  static const auto next = real<int (*)(const char*)>("remove");
  const Call call("remove", path);
  return next(path);
}

ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off64_t offset) {
  static const auto next = real<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  const Call call("pwrite64", nullptr);
  return next(descriptor, bytes, size, offset);
}

}  // extern "C"
