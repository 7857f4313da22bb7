#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/commit.h"
#include "cli/print.h"
#include "io/engine.h"

namespace weir::cli {

int run_version(const Arguments&) {
  const io::KernelFeatures kernel = io::probe_kernel();
  std::string text = fmt::format("weir {} ({})\nkernel {}: ", WEIR_VERSION, WEIR_COMMIT, kernel.kernel);
  if (!kernel.ring) {
    text += "no io_uring: " + kernel.denied;
  } else {
    text += "io_uring";
    const auto feature = [&](bool there, std::string_view name) {
      text += fmt::format("{} {}", there ? "," : ", no", name);
    };
    feature(kernel.single_issuer, "single issuer");
    feature(kernel.defer_taskrun, "deferred task work");
    feature(kernel.multishot_receive, "multishot receive");
    feature(kernel.registered_ring, "registered ring");
    feature(kernel.min_wait, "minimum wait");
    feature(kernel.restrictions, "ring restrictions");
  }
  return print_line(text) ? 0 : kExitFailure;
}

}  // namespace weir::cli
