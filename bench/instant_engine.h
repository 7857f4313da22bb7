// A kernel that has always just done what it was asked for: io/engine.h and the socket calls of io/address.h without a
// system call, for what a worker itself costs. Clients ask again as soon as they are answered; the provider answers as
// soon as it has been asked. What is left of the kernel's own work is a copy of the received bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weir::bench {

// What passes, and who is told. There is one at a time, before the worker that uses it.
struct Traffic {
  std::string request;              // each client's, again and again
  std::vector<std::string> answer;  // the provider's, in the pieces in which it comes: one in a turn
  uint32_t clients = 64;
  uint32_t completions = 32;            // at most, in a turn
  std::function<bool()> on_turn = {};   // before each; false: no client asks again, and on_quiet follows
  std::function<void()> on_quiet = {};  // nobody waits for anything any more
  uint64_t exchanges = 0;               // answered to the end so far
  uint64_t bytes = 0;                   // of the last answer, as its client got it
};

void use_traffic(Traffic& traffic);
// The worker has mail: its next turn finds it.
void mail_posted();

}  // namespace weir::bench
