// SQLite's file layer with faults: from the nth changing operation on, operations fail for a while, or the process dies
// by SIGKILL in the middle of one. For the whole process, as SQLite's default file layer, while it exists.
#pragma once

#include <sqlite3.h>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include <doctest/doctest.h>

namespace weir::record {

class FaultyVfs {
 public:
  FaultyVfs() {
    real_ = sqlite3_vfs_find(nullptr);
    REQUIRE(real_ != nullptr);
    vfs_ = *real_;
    vfs_.pNext = nullptr;
    vfs_.zName = "faulty";
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.xOpen = open;
    self_ = this;
    REQUIRE(sqlite3_vfs_register(&vfs_, 1) == SQLITE_OK);
  }
  // REQUIRES: nobody has a database open.
  ~FaultyVfs() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    self_ = nullptr;
  }
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  // After `after` more operations, the next `count` fail with `code`.
  void fail(int64_t after, int64_t count, int code) {
    code_ = code;
    fail_count_ = count;
    countdown_ = after;
  }
  // After `after` more operations this process dies in the next.
  void die(int64_t after) {
    die_ = true;
    countdown_ = after;
  }
  // The fault has come and gone.
  bool over() const { return countdown_ < -fail_count_; }

 private:
  struct File {
    sqlite3_file base;
    sqlite3_file* real;
  };

  static sqlite3_file* real_of(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }

  // SQLITE_OK, or what the operation must return instead of being done.
  static int pass() {
    const int64_t left = self_->countdown_.fetch_sub(1) - 1;
    if (left >= 0) return SQLITE_OK;
    if (self_->die_) kill(getpid(), SIGKILL);
    return left >= -self_->fail_count_ ? self_->code_.load() : SQLITE_OK;
  }
  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    static const sqlite3_io_methods methods = make_methods();
    auto* const wrapped = reinterpret_cast<File*>(file);
    wrapped->base.pMethods = nullptr;
    wrapped->real = reinterpret_cast<sqlite3_file*>(wrapped + 1);
    const int result = self_->real_->xOpen(self_->real_, name, wrapped->real, flags, out_flags);
    if (wrapped->real->pMethods != nullptr) wrapped->base.pMethods = &methods;
    return result;
  }
  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    const int result = pass();
    sqlite3_file* const real = real_of(file);
    if (result != SQLITE_OK) {
      real->pMethods->xWrite(real, bytes, size / 2, offset);  // torn, as a full disk leaves it
      return result;
    }
    return real->pMethods->xWrite(real, bytes, size, offset);
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    const int result = pass();
    return result != SQLITE_OK ? result : real_of(file)->pMethods->xTruncate(real_of(file), size);
  }
  static int sync(sqlite3_file* file, int flags) {
    const int result = pass();
    return result != SQLITE_OK ? result : real_of(file)->pMethods->xSync(real_of(file), flags);
  }
  // Never fails, but is a place to die at: between a commit that all can see and the news of it.
  static int shm_lock(sqlite3_file* file, int offset, int count, int flags) {
    if (self_->die_) pass();
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
  }

  static sqlite3_io_methods make_methods() {
    using F = sqlite3_file;
    sqlite3_io_methods methods{};
    methods.iVersion = 3;
    methods.xClose = [](F* f) { return real_of(f)->pMethods->xClose(real_of(f)); };
    methods.xRead = [](F* f, void* to, int size, sqlite3_int64 offset) {
      return real_of(f)->pMethods->xRead(real_of(f), to, size, offset);
    };
    methods.xWrite = write;
    methods.xTruncate = truncate;
    methods.xSync = sync;
    methods.xFileSize = [](F* f, sqlite3_int64* size) { return real_of(f)->pMethods->xFileSize(real_of(f), size); };
    methods.xLock = [](F* f, int lock) { return real_of(f)->pMethods->xLock(real_of(f), lock); };
    methods.xUnlock = [](F* f, int lock) { return real_of(f)->pMethods->xUnlock(real_of(f), lock); };
    methods.xCheckReservedLock = [](F* f, int* held) {
      return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
    };
    methods.xFileControl = [](F* f, int op, void* argument) {
      return real_of(f)->pMethods->xFileControl(real_of(f), op, argument);
    };
    methods.xSectorSize = [](F* f) { return real_of(f)->pMethods->xSectorSize(real_of(f)); };
    methods.xDeviceCharacteristics = [](F* f) { return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f)); };
    methods.xShmMap = [](F* f, int page, int size, int extend, void volatile** to) {
      return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, to);
    };
    methods.xShmLock = shm_lock;
    methods.xShmBarrier = [](F* f) { real_of(f)->pMethods->xShmBarrier(real_of(f)); };
    methods.xShmUnmap = [](F* f, int remove) { return real_of(f)->pMethods->xShmUnmap(real_of(f), remove); };
    methods.xFetch = [](F*, sqlite3_int64, int, void** to) {
      *to = nullptr;
      return SQLITE_OK;
    };
    methods.xUnfetch = [](F*, sqlite3_int64, void*) { return SQLITE_OK; };
    return methods;
  }

  inline static FaultyVfs* self_ = nullptr;
  sqlite3_vfs vfs_{};
  sqlite3_vfs* real_ = nullptr;
  std::atomic<int64_t> countdown_ = INT64_MAX / 2;
  std::atomic<int64_t> fail_count_ = 0;
  std::atomic<int> code_ = SQLITE_OK;
  std::atomic<bool> die_ = false;
};

}  // namespace weir::record
