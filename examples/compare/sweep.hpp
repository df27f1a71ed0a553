// SPDX-License-Identifier: MIT
// Makes the runs that are not finished, some at a time.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <poe/io/atomic_file.hpp>

#include "children.hpp"
#include "plan.hpp"

namespace compare {

/// Exit status of a program that was interrupted: what a shell reports after SIGINT.
inline constexpr int interrupted_status = 130;

namespace detail {

/// The last line of a log that says something.
inline std::string last_line(const std::filesystem::path& log) {
  std::string text = poe::read_file(log);
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "it printed nothing";
  text.resize(end + 1);
  const std::size_t begin = text.find_last_of("\r\n");
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

/// What became of a run.
inline void conclude(Run& run, const Ended& ended, bool interrupted) {
  std::error_code ignored;
  if (ended.status == interrupted_status || (interrupted && ended.status != 0)) {
    run.state = State::interrupted;
  } else if (ended.status != 0) {
    run.state = State::failed;
    run.reason = fmt::format("exit status {}: {}", ended.status, last_line(run.log));
  } else if (!std::filesystem::exists(run.directory / "summary.json", ignored)) {
    run.state = State::failed;
    run.reason = "it wrote no summary.json: " + last_line(run.log);
  } else {
    try {
      read_summary(run);
    } catch (const poe::Error& error) {
      run.state = State::failed;
      run.reason = error.what();
    }
  }
}

/// Whether a run ended with what trainers say of a wrong command line, before it began anything.
inline bool refused(const Run& run, const Ended& ended) {
  std::error_code ignored;
  return ended.status == 2 && !std::filesystem::exists(run.directory, ignored);
}

/// Prints a line for each run that ends, with an estimate of the time that is left.
class Progress {
 public:
  Progress(const Plan& plan, std::size_t jobs)
      : total_(plan.runs.size()),
        done_(plan.count(State::finished)),
        left_(total_ - done_),
        jobs_(jobs) {}

  void begin(const Run& run) const {
    if (isatty(STDOUT_FILENO) != 1) return;
    fmt::print("\r\033[K[{}/{}] {} ...", done_ + 1, total_, run.name());
    std::fflush(stdout);
  }
  void clear() const {
    if (isatty(STDOUT_FILENO) == 1) fmt::print("\r\033[K");
    std::fflush(stdout);
  }
  void end(const Run& run, double seconds) {
    ++done_;
    --left_;
    ++made_;
    seconds_ += seconds;
    clear();
    std::string line = fmt::format("[{}/{}] {}: ", done_, total_, run.name());
    if (run.state == State::failed)
      line += "FAILED, " + run.reason;
    else if (run.state == State::interrupted)
      line += "interrupted after " + poe::duration_text(seconds);
    else
      line += poe::duration_text(seconds);
    if (left_ > 0 && run.state != State::interrupted) {
      const auto abreast = static_cast<double>(std::min(jobs_, left_));
      const double estimate = seconds_ / static_cast<double>(made_) * static_cast<double>(left_);
      line += fmt::format("; about {} left", poe::duration_text(estimate / abreast));
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

 private:
  std::size_t total_, done_, left_, jobs_, made_ = 0;
  double seconds_ = 0;
};

}  // namespace detail

/// Two sweeps must not work in one directory. Runs inherit the lock, so it also holds while one of
/// them outlives the sweep that started it.
inline int lock_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  poe::expect(!error, "cannot create the directory '{}': {}", directory.string(), error.message());
  const auto path = directory / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0666);
  poe::expect(fd >= 0, "cannot write '{}': {}", path.string(), poe::detail::errno_text(errno));
  poe::expect(::flock(fd, LOCK_EX | LOCK_NB) == 0,
              "'{}': another comparison, or a run that it left behind, is at work there",
              directory.string());
  return fd;
}

/// Makes the runs that are not finished, at most `jobs` at a time, and calls ended() after each.
/// What several runs need and one of them makes (a trained oracle) is made once: until a run has
/// finished, they go one by one, and one that is refused ends the sweep with its sentence, as the
/// others would fare alike. -> false if it was interrupted.
template <class F>
bool sweep(Plan& plan, std::size_t jobs, F&& ended) {
  Children children;
  detail::Progress progress(plan, jobs);
  std::size_t next = 0;
  for (;;) {
    while (next < plan.runs.size() && plan.runs[next].state == State::finished) ++next;
    const bool more = next < plan.runs.size() && !children.interrupted();
    const std::size_t abreast = plan.count(State::finished) > 0 ? jobs : 1;
    if (more && children.running() < abreast) {
      Run& run = plan.runs[next];
      const auto command = command_of(plan, run);
      std::filesystem::create_directories(run.directory.parent_path());
      poe::write_file_atomically(run.record, record_of(plan, run) + "\n");
      children.start(next++, command, run.log);
      progress.begin(run);
      continue;
    }
    if (children.running() == 0) return !children.interrupted();
    const Ended end = children.wait();
    Run& run = plan.runs[end.id];
    if (plan.count(State::finished) == 0 && detail::refused(run, end)) {
      progress.clear();
      std::string sentence = detail::last_line(run.log);
      if (sentence.starts_with("error: ")) sentence.erase(0, 7);
      poe::fail("{}: {}", run.name(), sentence);
    }
    detail::conclude(run, end, children.interrupted());
    progress.end(run, end.seconds);
    ended();
  }
}

}  // namespace compare
