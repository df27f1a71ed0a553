// SPDX-License-Identifier: MIT
// What a person sees of a run: a bar on a terminal, plain lines elsewhere.
#pragma once

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

namespace poe {

/// A clock that counts seconds.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "1 h 02 min", "4 min 10 s", "9 s".
inline std::string duration_text(double seconds) {
  const long s = seconds < 0 ? 0 : static_cast<long>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

/// A bar that is redrawn in place, at most ten times a second; nothing where standard output is no
/// terminal.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title)
      : title_(std::move(title)), shown_(isatty(STDOUT_FILENO) == 1) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// `done` of `total` units of work, since this bar was made; what note() returns stands behind.
  template <class Note>
  void show(long done, long total, Note&& note) {
    if (!shown_ || (clock_.seconds() - last_ < 0.1 && done < total)) return;
    last_ = clock_.seconds();
    constexpr int width = 24;
    const int filled = static_cast<int>(width * done / (total > 0 ? total : 1));
    const std::string bar = std::string(static_cast<std::size_t>(filled), '#') +
                            std::string(static_cast<std::size_t>(width - filled), '.');
    fmt::print("\r\033[K{} [{}] {}/{}  {}", title_, bar, done, total, note());
    std::fflush(stdout);
  }
  void clear() {
    if (shown_ && last_ >= 0) fmt::print("\r\033[K");
    std::fflush(stdout);
    last_ = -1;
  }

 private:
  std::string title_;
  bool shown_;
  Stopwatch clock_;
  double last_ = -1;
};

}  // namespace poe
