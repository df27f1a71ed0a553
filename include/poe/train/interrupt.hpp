// SPDX-License-Identifier: MIT
// Ctrl-C as a request: the step in progress is finished and a checkpoint is written.
#pragma once

#include <csignal>

namespace poe {

/// While one of these lives, SIGINT and SIGTERM only set a flag; a second one ends the program as
/// usual.
class Interrupt {
 public:
  Interrupt() {
    flag() = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { flag() = 1; };
    action.sa_flags = SA_RESETHAND | SA_RESTART;  // files are read and written to the end
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &interrupt_);
    sigaction(SIGTERM, &action, &terminate_);
  }
  ~Interrupt() {
    sigaction(SIGINT, &interrupt_, nullptr);
    sigaction(SIGTERM, &terminate_, nullptr);
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  static bool requested() { return flag() != 0; }

 private:
  static volatile std::sig_atomic_t& flag() {
    static volatile std::sig_atomic_t f = 0;
    return f;
  }
  struct sigaction interrupt_ {
  }, terminate_{};
};

}  // namespace poe
