// SPDX-License-Identifier: MIT
// Programs that are run side by side, and a Ctrl-C that each of them hears exactly once.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <poe/io/file.hpp>
#include <poe/train/progress.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace compare {

/// A program that has ended.
struct Ended {
  std::size_t id;  // as start() was told
  int status;      // as from a shell: 128 + n after signal n
  double seconds;
};

/// Owns the running programs. While it lives, SIGINT, SIGTERM and SIGHUP are not delivered but
/// taken by wait(): the first is handed on to the programs as SIGINT, a second one kills them.
class Children {
 public:
  Children() {
    sigemptyset(&taken_);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) sigaddset(&taken_, signal);
    struct sigaction hangup {};
    sigaction(SIGHUP, nullptr, &hangup);
    if (hangup.sa_handler != SIG_IGN) sigaddset(&taken_, SIGHUP);  // else nohup has a say
    std::signal(SIGCHLD, SIG_DFL);  // whoever ignores it is never told the exit status
    sigprocmask(SIG_BLOCK, &taken_, &before_);
  }
  ~Children() {
    for (const Child& child : running_) {
      ::kill(-child.pid, SIGINT);
      ::waitpid(child.pid, nullptr, 0);
    }
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  std::size_t running() const { return running_.size(); }

  /// Whether the programs were asked to stop.
  bool interrupted() {
    constexpr timespec now{0, 0};
    for (int signal; (signal = sigtimedwait(&taken_, nullptr, &now)) > 0;) take(signal);
    return interrupts_ > 0;
  }

  /// Starts a program whose output is appended to a log; throws poe::Error when it cannot be run.
  void start(std::size_t id, const std::vector<std::string>& command,
             const std::filesystem::path& log) {
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    // A group of its own: the terminal would send it a second SIGINT, which ends a trainer at once.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t none, reset;
    sigemptyset(&none);
    sigemptyset(&reset);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&reset, signal);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &reset);

    Child child{.id = id};
    const int error =
        ::posix_spawn(&child.pid, words[0], &files, &attributes, words.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) poe::fail("cannot run '{}': {}", command[0], poe::detail::errno_text(error));
    running_.push_back(child);
  }

  /// Waits until one of the running programs has ended.
  Ended wait() {
    for (;;) {
      for (auto child = running_.begin(); child != running_.end(); ++child) {
        int status = 0;
        if (::waitpid(child->pid, &status, WNOHANG) != child->pid) continue;
        const Ended ended{child->id,
                          WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                          child->clock.seconds()};
        running_.erase(child);
        return ended;
      }
      if (const int signal = sigwaitinfo(&taken_, nullptr); signal > 0) take(signal);
    }
  }

 private:
  struct Child {
    std::size_t id;
    pid_t pid = 0;
    poe::Stopwatch clock = {};
  };

  void take(int signal) {
    if (signal == SIGCHLD) return;
    ++interrupts_;
    for (const Child& child : running_) ::kill(-child.pid, interrupts_ > 1 ? SIGKILL : SIGINT);
    if (interrupts_ == 1 && !running_.empty())
      fmt::print(stderr, "\ninterrupted: waiting for checkpoints (again: end at once)\n");
  }

  sigset_t taken_{}, before_{};
  int interrupts_ = 0;
  std::vector<Child> running_;
};

}  // namespace compare
