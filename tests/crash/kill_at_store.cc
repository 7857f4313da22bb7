// Kills a running weir at a store into one worker's journal: just after the store that makes a record exist, or inside
// the writing of a record that does not exist yet.
//
//   kill_at_store PID THREAD JOURNAL after|inside COUNT STEPS
//
// A debug register of the worker's thread (ptrace) traps its writes, so the binary needs no help. COUNT: which record
// from now on, 1 the next. STEPS: `inside`, how many instructions after the record's header is written (if the record
// exists sooner, then there). Prints what it saw. Exit status: 0 killed there, 3 no such store within the time (killed
// all the same), 1 an error (not killed).
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "record/format.h"

namespace {

using namespace weir::record;

constexpr time_t kPatienceSeconds = 20;

int usage() {
  std::fprintf(stderr, "usage: kill_at_store PID THREAD JOURNAL after|inside COUNT STEPS\n");
  return 1;
}

int error(const char* what) {
  std::perror(what);
  return 1;
}

// 0: there is none.
pid_t thread_named(pid_t process, std::string_view name) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    std::string found;
    std::getline(std::ifstream(entry.path() / "comm"), found);
    if (found == name) return static_cast<pid_t>(std::stol(entry.path().filename()));
  }
  return 0;
}

// The journal as this process sees it, and where the other has it.
class WatchedJournal {
 public:
  bool open(const char* path, pid_t process) {
    const int descriptor = ::open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    const off_t size = lseek(descriptor, 0, SEEK_END);
    void* const mapping = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, descriptor, 0);
    ::close(descriptor);
    if (mapping == MAP_FAILED) return false;
    bytes_ = static_cast<char*>(mapping);
    FileHeader header;
    std::memcpy(&header, bytes_, sizeof header);
    ring_size_ = header.ring_size;
    // Its first mapping is the file's beginning; the ring's front comes once more behind.
    std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
    for (std::string line; base_ == 0 && std::getline(maps, line);) {
      if (line.ends_with(std::filesystem::canonical(path).string())) base_ = std::stoull(line, nullptr, 16);
    }
    return base_ != 0;
  }
  uint64_t head() const {
    return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(bytes_ + kHeadOffset))
        .load(std::memory_order_acquire);
  }
  uint64_t head_address() const { return base_ + kHeadOffset; }
  // Of a word in the header of the record that comes next.
  uint64_t next_record_address() const {
    return base_ + kHeaderSize + ((head() + offsetof(RecordHeader, position)) & (ring_size_ - 1));
  }

 private:
  char* bytes_ = nullptr;
  uint64_t ring_size_ = 0;
  uint64_t base_ = 0;
};

// A thread that is traced, stopped except inside go_on().
class TracedThread {
 public:
  explicit TracedThread(pid_t thread) : thread_(thread) {}
  bool seize() {
    return ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) == 0 &&
           ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr) == 0 && wait();
  }
  // Traps after each write to the 8 bytes at this address.
  bool watch(uint64_t address) {
    constexpr long enable_first = 1, on_write = 1 << 16, eight_bytes = 2 << 18;
    return poke(7, 0) && poke(0, static_cast<long>(address)) && poke(7, enable_first | on_write | eight_bytes);
  }
  // To the next trap, or over one instruction (or system call). False: the time is up, or the thread is gone.
  bool go_on(bool one_instruction) {
    for (;;) {
      // ptrace takes a number as a pointer. NOLINTNEXTLINE(performance-no-int-to-ptr)
      if (ptrace(one_instruction ? PTRACE_SINGLESTEP : PTRACE_CONT, thread_, nullptr,
                 reinterpret_cast<void*>(static_cast<intptr_t>(signal_to_give_))) != 0)
        return false;
      if (!wait()) return false;
      if (signal_to_give_ == 0) return true;
    }
  }

 private:
  bool poke(size_t which, long value) {
    return ptrace(PTRACE_POKEUSER, thread_, offsetof(struct user, u_debugreg) + which * sizeof(long), value) == 0;
  }
  bool wait() {
    int status = 0;
    if (waitpid(thread_, &status, __WALL) != thread_ || !WIFSTOPPED(status)) return false;
    const int stopped_by = WSTOPSIG(status);
    signal_to_give_ = stopped_by == SIGTRAP || (status >> 16) != 0 ? 0 : stopped_by;
    return true;
  }

  pid_t thread_;
  int signal_to_give_ = 0;
};

void on_alarm(int) {}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return usage();
  const auto process = static_cast<pid_t>(std::atol(argv[1]));
  const bool inside = std::string_view(argv[4]) == "inside";
  if (!inside && std::string_view(argv[4]) != "after") return usage();
  const long count = std::atol(argv[5]);
  const long steps_inside = std::atol(argv[6]);
  WatchedJournal journal;
  if (process <= 0 || count < 1 || !journal.open(argv[3], process)) return error("kill_at_store: the journal");
  const pid_t thread = thread_named(process, argv[2]);
  if (thread == 0) return error("kill_at_store: the thread");
  // Without SA_RESTART: the alarm ends a wait for a thread that sleeps in a system call.
  struct sigaction action = {};
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, nullptr);
  alarm(kPatienceSeconds);
  TracedThread worker(thread);
  if (!worker.seize()) return error("kill_at_store: ptrace");
  if (!worker.watch(journal.head_address())) return error("kill_at_store: the debug register");

  const long whole_count = inside ? count - 1 : count;
  bool found = true;
  for (long i = 0; found && i < whole_count; ++i) found = worker.go_on(false);
  long steps = 0;
  if (inside && found) {
    const uint64_t head = journal.head();
    if (!worker.watch(journal.next_record_address())) return error("kill_at_store: the debug register");
    found = worker.go_on(false);
    while (found && steps < steps_inside && journal.head() == head) {
      ++steps;
      found = worker.go_on(true);
    }
  }
  kill(process, SIGKILL);
  std::printf("%s at position %llu, %ld instructions into the next record\n",
              found ? "killed" : "no such store: killed", static_cast<unsigned long long>(journal.head()), steps);
  return found ? 0 : 3;
}
