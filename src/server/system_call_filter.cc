#include "server/system_call_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "base/instrumented.h"

namespace weir::server {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "which AUDIT_ARCH_ is this?"
#endif

// In the order in which they are looked for; the kernel remembers those that are allowed whatever their arguments.
constexpr long kAllowed[] = {
    // The rings, and what workers do beside them.
    SYS_io_uring_enter,
    SYS_shutdown,
    SYS_write,
    SYS_read,
    SYS_futex,
    SYS_clock_gettime,
    SYS_io_uring_register,
    SYS_getsockname,
    SYS_getpeername,
    SYS_accept4,  // the admin thread's
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_close,
    SYS_dup,
    // Memory. mmap and mprotect are judged by their arguments.
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_mlock,
    SYS_munlock,
    SYS_msync,
    // Threads and signals. clone is judged.
    SYS_set_robust_list,
    SYS_rseq,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_exit,
    SYS_exit_group,
    SYS_gettid,
    SYS_getpid,
    SYS_tgkill,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_membarrier,
    SYS_getcpu,
    // Time and chance.
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_getrandom,
    // Waiting.
    SYS_ppoll,
    SYS_pselect6,
    SYS_eventfd2,
    // Files: the database, journals, what a reload reads. fcntl for SQLite's locks.
    SYS_openat,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_fcntl,
    SYS_flock,
    SYS_fsync,
    SYS_fdatasync,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fadvise64,
    SYS_getdents64,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_getcwd,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_umask,
#if defined(__x86_64__)  // what newer architectures have only in the form above
    SYS_poll,
    SYS_select,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_rmdir,
    SYS_chmod,
    SYS_time,
#endif
    // Looking up names, telling systemd. socket is judged.
    SYS_connect,
    SYS_bind,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_uname,
    SYS_sysinfo,
    // Who we are.
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
};

// Only somebody who has taken the process over makes these.
constexpr long kDeadly[] = {SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev};

// What a sanitizer does at the end: it looks for leaks from a process beside this one.
constexpr long kAllowedInstrumented[] = {
    SYS_ptrace,   SYS_wait4, SYS_prctl, SYS_clone,   SYS_prlimit64,        SYS_mprotect,
    SYS_mmap,     SYS_kill,  SYS_ioctl, SYS_getppid, SYS_process_vm_readv,
#if defined(__x86_64__)
    SYS_getdents,
#endif
};

class Filter {
 public:
  Filter() {
    add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
    add(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0);
    finish(SECCOMP_RET_KILL_PROCESS);
    add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
#if defined(__x86_64__)
    // The x32 twins of all calls have numbers from here on.
    constexpr uint32_t kX32 = 0x40000000;
    add(BPF_JMP | BPF_JGE | BPF_K, kX32, 0, 1);
    finish(SECCOMP_RET_KILL_PROCESS);
#endif
  }

  void always(std::initializer_list<long> calls, uint32_t action) { always(calls.begin(), calls.size(), action); }
  void always(const long* calls, size_t count, uint32_t action) {
    for (size_t i = 0; i < count; i++) {
      add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(calls[i]), 0, 1);
      finish(action);
    }
  }

  // Allowed if the argument is one of these.
  void if_one_of(long call, unsigned argument, std::initializer_list<uint32_t> values) {
    begin(call, argument, 2 * values.size() + 1);
    for (const uint32_t value : values) {
      add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
      finish(SECCOMP_RET_ALLOW);
    }
    finish(kRefuse);
  }
  // Allowed if of these bits the argument has exactly the wanted ones.
  void if_bits(long call, unsigned argument, uint32_t bits, uint32_t wanted) {
    begin(call, argument, 4);
    add(BPF_ALU | BPF_AND | BPF_K, bits);
    add(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, 1);
    finish(SECCOMP_RET_ALLOW);
    finish(kRefuse);
  }
  // Allowed unless all of the bits are in the argument.
  void unless_all(long call, unsigned argument, uint32_t bits) {
    begin(call, argument, 4);
    add(BPF_ALU | BPF_AND | BPF_K, bits);
    add(BPF_JMP | BPF_JEQ | BPF_K, bits, 1, 0);
    finish(SECCOMP_RET_ALLOW);
    finish(kRefuse);
  }
  // Allowed if the argument, a pointer, is null.
  void if_null(long call, unsigned argument) {
    begin(call, argument, 5);
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
    add(BPF_LD | BPF_W | BPF_ABS, place(argument) + 4);
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
    finish(SECCOMP_RET_ALLOW);
    finish(kRefuse);
  }

  static constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;

  Result<> install() {
    finish(kRefuse);
    sock_fprog program{.len = static_cast<unsigned short>(code_.size()), .filter = code_.data()};
    const long done = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    if (done < 0) return fail("seccomp: {}", std::strerror(errno));
    if (done > 0) return fail("seccomp: thread {} has another filter", done);
    return {};
  }

 private:
  // The low half; these machines are little-endian.
  static uint32_t place(unsigned argument) {
    return static_cast<uint32_t>(offsetof(seccomp_data, args) + size_t{8} * argument);
  }
  void add(unsigned code, size_t k, uint8_t if_true = 0, uint8_t if_false = 0) {
    code_.push_back(
        {.code = static_cast<uint16_t>(code), .jt = if_true, .jf = if_false, .k = static_cast<uint32_t>(k)});
  }
  void finish(uint32_t action) { add(BPF_RET | BPF_K, action); }
  // `size` instructions follow, of which each way ends the program.
  void begin(long call, unsigned argument, size_t size) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, static_cast<uint8_t>(size + 1));
    add(BPF_LD | BPF_W | BPF_ABS, place(argument));
  }

  std::vector<sock_filter> code_;
};

}  // namespace

bool system_calls_can_be_filtered() {
  uint32_t action = SECCOMP_RET_KILL_PROCESS;  // Linux 4.14; what else is used is older
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

Result<> filter_system_calls() {
  Filter filter;
  filter.always(kAllowed, std::size(kAllowed), SECCOMP_RET_ALLOW);
  if (kInstrumented) {
    filter.always(kAllowedInstrumented, std::size(kAllowedInstrumented), SECCOMP_RET_ALLOW);
  }
  // No memory that can be written and run at once, and none that is made runnable later. A library that a look-up loads
  // maps its code read-only.
  filter.unless_all(SYS_mmap, 2, PROT_WRITE | PROT_EXEC);
  filter.if_bits(SYS_mprotect, 2, PROT_EXEC, 0);
  // Threads, but no processes. The arguments of clone3 lie in memory, where nobody can judge them: without it the C
  // library takes clone.
  filter.if_bits(SYS_clone, 0, CLONE_THREAD, CLONE_THREAD);
  filter.always({SYS_clone3}, SECCOMP_RET_ERRNO | ENOSYS);
  filter.if_one_of(SYS_socket, 0, {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK});
  constexpr uint32_t kNameMapping = 0x53564d41;  // PR_SET_VMA: newer C libraries name their heaps
  filter.if_one_of(SYS_prctl, 0, {PR_SET_NAME, kNameMapping});
  filter.if_one_of(SYS_ioctl, 1, {FIONREAD, FIONBIO, TCGETS});
  filter.if_null(SYS_prlimit64, 2);  // to look, not to set
  filter.always(kDeadly, std::size(kDeadly), SECCOMP_RET_KILL_PROCESS);
  return filter.install();
}

}  // namespace weir::server
