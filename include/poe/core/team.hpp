// SPDX-License-Identifier: MIT
// A team of threads that take slices of a batch through a whole step and meet where they must.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <poe/core/error.hpp>

namespace poe {

/// The part [first, first + count) of `rows` that belongs to rank `rank` of `ranks`: sizes differ
/// by at most one, so the split is a function of its arguments alone.
struct Slice {
  int first = 0, count = 0;
};
inline Slice slice_of(int rows, int rank, int ranks) {
  const auto bound = [&](int r) { return static_cast<int>(static_cast<long>(rows) * r / ranks); };
  return {bound(rank), bound(rank + 1) - bound(rank)};
}

/// Threads that run the same function on their ranks. run() returns when all are done; the first
/// exception is rethrown, and ranks that wait for the failed one are released.
class Team {
 public:
  explicit Team(int size) {
    expect(size >= 1 && size <= 1024, "number of threads: expected 1 to 1024, got {}", size);
    partial_.resize(static_cast<std::size_t>(size));
    totals_.resize(static_cast<std::size_t>(size));
    errors_.resize(static_cast<std::size_t>(size));
    threads_.reserve(static_cast<std::size_t>(size - 1));
    try {
      for (int rank = 1; rank < size; ++rank) threads_.emplace_back([this, rank] { work(rank); });
    } catch (const std::exception& error) {
      stop();
      fail("number of threads: {} asked, the system gave {}: {}", size, this->size(), error.what());
    }
  }
  ~Team() { stop(); }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls task(rank) on every rank; rank 0 is the caller.
  template <class F>
  void run(F&& task) {
    if (threads_.empty()) {
      task(0);
      return;
    }
    {
      const std::lock_guard lock(mutex_);
      task_ = [&task](int rank) { task(rank); };
      failed_ = false;
      pending_ = size();
      arrived_ = 0;
      ++generation_;
    }
    wake_.notify_all();
    finish(0);
    {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [&] { return pending_ == 0; });
    }
    // Ranks that were only released report Released; the cause is the other one.
    std::exception_ptr cause;
    for (std::exception_ptr& e : errors_)
      if (e != nullptr && (cause == nullptr || is_release(cause)))
        cause = std::exchange(e, nullptr);
    for (std::exception_ptr& e : errors_) e = nullptr;
    if (cause != nullptr) std::rethrow_exception(cause);
  }

  /// Called by every rank of a running task: waits for all of them.
  void meet() {
    if (threads_.empty()) return;
    std::unique_lock lock(mutex_);
    const long phase = phase_;
    if (++arrived_ == size()) {
      arrived_ = 0;
      ++phase_;
      met_.notify_all();
    } else {
      met_.wait(lock, [&] { return phase_ != phase || failed_; });
      if (phase_ == phase) throw Released();
    }
  }

  /// Called by every rank: replaces `values` by the sum over the ranks, added in rank order.
  void sum(int rank, std::span<double> values) {
    if (threads_.empty()) return;
    partial_[static_cast<std::size_t>(rank)] = values;
    meet();
    std::vector<double>& total = totals_[static_cast<std::size_t>(rank)];  // keeps its memory
    total.assign(values.size(), 0.0);
    for (const std::span<double>& part : partial_)
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += part[i];
    meet();
    for (std::size_t i = 0; i < total.size(); ++i) values[i] = total[i];
  }

 private:
  struct Released : std::exception {
    const char* what() const noexcept override { return "another thread of the team failed"; }
  };
  static bool is_release(const std::exception_ptr& e) {
    try {
      std::rethrow_exception(e);
    } catch (const Released&) {
      return true;
    } catch (...) {
      return false;
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void finish(int rank) {
    try {
      task_(rank);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      errors_[static_cast<std::size_t>(rank)] = std::current_exception();
      failed_ = true;
      met_.notify_all();
    }
    const std::lock_guard lock(mutex_);
    if (--pending_ == 0) done_.notify_all();
  }

  void work(int rank) {
    long seen = 0;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
      }
      finish(rank);
    }
  }

  std::vector<std::thread> threads_;
  std::function<void(int)> task_;
  std::mutex mutex_;
  std::condition_variable wake_, done_, met_;
  std::vector<std::span<double>> partial_;
  std::vector<std::vector<double>> totals_;
  std::vector<std::exception_ptr> errors_;
  long generation_ = 0, phase_ = 0;
  int pending_ = 0, arrived_ = 0;
  bool stop_ = false, failed_ = false;
};

}  // namespace poe
