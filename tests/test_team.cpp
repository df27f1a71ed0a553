// SPDX-License-Identifier: MIT
// labels: threads
// The team of threads: ranks, meetings, sums in rank order, and failures that leave it usable.
#include "support.hpp"

#include <poe/core/team.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using poe::Team;

std::size_t index(int i) { return static_cast<std::size_t>(i); }

/// The message of the std::runtime_error that run(task) rethrows.
template <class F>
std::string failure_of(Team& team, F&& task) {
  try {
    team.run(task);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no failure";
}

void require_usable(Team& team) {
  std::vector<double> seen(index(team.size()));
  team.run([&](int rank) {
    team.meet();
    double one = 1;
    team.sum(rank, {&one, 1});
    seen[index(rank)] = one;
  });
  REQUIRE(seen == std::vector<double>(seen.size(), team.size()));
}

}  // namespace

TEST_CASE("slices of a batch cover it in order and differ by at most one") {
  for (int rows = 0; rows < 70; ++rows)
    for (int ranks = 1; ranks <= 9; ++ranks) {
      int next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const poe::Slice s = poe::slice_of(rows, rank, ranks);
        REQUIRE(s.first == next);
        REQUIRE(s.count >= rows / ranks);
        REQUIRE(s.count <= (rows + ranks - 1) / ranks);
        next += s.count;
      }
      REQUIRE(next == rows);
    }
  const poe::Slice last = poe::slice_of(2'000'000'000, 1023, 1024);
  CHECK(last.first + last.count == 2'000'000'000);
}

TEST_CASE("a task runs once on every rank, and rank 0 is the caller") {
  for (const int size : {1, 2, 3, 8}) {
    Team team(size);
    CHECK(team.size() == size);
    for (int repeat = 0; repeat < 50; ++repeat) {
      std::vector<int> calls(index(size));
      std::vector<std::thread::id> threads(index(size));
      team.run([&](int rank) {
        ++calls[index(rank)];
        threads[index(rank)] = std::this_thread::get_id();
      });
      REQUIRE(calls == std::vector<int>(index(size), 1));
      REQUIRE(threads[0] == std::this_thread::get_id());
      for (int rank = 1; rank < size; ++rank) REQUIRE(threads[index(rank)] != threads[0]);
    }
  }
}

TEST_CASE("a team of no, a negative or an absurd size is an error that says so") {
  for (const int size : {0, -1, 1025})
    CHECK_THROWS_WITH(Team(size),
                      "number of threads: expected 1 to 1024, got " + std::to_string(size));
}

TEST_CASE("nobody leaves a meeting before everybody has come") {
  for (const int size : {2, 3, 5}) {
    Team team(size);
    std::atomic<int> arrived = 0;
    std::vector<int> early(index(size));
    team.run([&](int rank) {
      for (int round = 1; round <= 200; ++round) {
        ++arrived;
        team.meet();
        if (arrived != round * size) ++early[index(rank)];
        team.meet();
      }
    });
    CHECK(early == std::vector<int>(index(size)));
  }
}

TEST_CASE("what a rank wrote before a meeting, the others read after it") {
  Team team(4);
  std::array<int, 4> value{};
  std::array<int, 4> sums{};
  team.run([&](int rank) {
    for (int round = 1; round <= 100; ++round) {
      value[index(rank)] = round * (rank + 1);
      team.meet();
      for (const int v : value) sums[index(rank)] += v;
      team.meet();
    }
  });
  for (const int sum : sums) CHECK(sum == 10 * 5050);
}

TEST_CASE("sums are added in rank order: equal to the last bit, on every rank and every time") {
  constexpr std::size_t n = 1000;
  for (const int size : {1, 2, 3, 7}) {
    Team team(size);
    std::vector<std::vector<double>> parts;
    std::vector<double> want(n);
    for (int rank = 0; rank < size; ++rank) {
      parts.push_back(poe::test::normals<double>(n, static_cast<std::uint32_t>(rank), 1e3));
      for (std::size_t i = 0; i < n; ++i) want[i] += parts.back()[i];
    }
    for (int repeat = 0; repeat < 20; ++repeat) {
      auto values = parts;
      team.run([&](int rank) { team.sum(rank, values[index(rank)]); });
      for (const auto& v : values) REQUIRE(v == want);
    }
    std::vector<double> order(n);  // another order gives other bits, or the test shows nothing
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      for (std::size_t i = 0; i < n; ++i) order[i] += (*part)[i];
    if (size > 2) CHECK(order != want);
  }
}

TEST_CASE("ranks may sum several times and different lengths in one task") {
  Team team(3);
  std::array<double, 3> results{};
  team.run([&](int rank) {
    for (std::size_t n = 0; n < 50; ++n) {
      std::vector<double> values(n, rank + 1.0);
      team.sum(rank, values);
      for (const double v : values) results[index(rank)] += v;
    }
  });
  for (const double r : results) CHECK(r == 6.0 * (50 * 49) / 2);
}

TEST_CASE("an exception on any rank comes out once, and the team stays usable") {
  for (const int size : {1, 2, 4}) {
    Team team(size);
    for (int repeat = 0; repeat < 20; ++repeat)
      for (int bad = 0; bad < size; ++bad) {
        const std::string want = "rank " + std::to_string(bad);
        const auto fail_here = [&](int rank) {
          if (rank == bad) throw std::runtime_error(want);
        };
        REQUIRE(failure_of(team, fail_here) == want);
        REQUIRE_NOTHROW(team.run([](int) {}));
        // While the others wait at a meeting, after some meetings that succeeded.
        REQUIRE(failure_of(team, [&](int rank) {
                  for (int round = 0; round < repeat % 3; ++round) team.meet();
                  fail_here(rank);
                  team.meet();
                  team.meet();
                }) == want);
        require_usable(team);
        // While the others wait for a sum.
        REQUIRE(failure_of(team, [&](int rank) {
                  double one = 1;
                  team.sum(rank, {&one, 1});
                  fail_here(rank);
                  team.sum(rank, {&one, 1});
                }) == want);
        require_usable(team);
      }
  }
}

TEST_CASE(
    "of several failures the one of the lowest rank is reported, also without runtime_error") {
  Team team(4);
  for (int repeat = 0; repeat < 50; ++repeat) {
    REQUIRE(failure_of(team, [](int rank) {
              if (rank >= 2) throw std::runtime_error(std::to_string(rank));
            }) == "2");
    REQUIRE_THROWS_AS(team.run([](int rank) {
      if (rank == 3) throw rank;
    }),
                      int);
    require_usable(team);
  }
}

TEST_CASE("the other ranks finish their work when one fails") {
  Team team(4);
  std::atomic<int> finished = 0;
  CHECK(failure_of(team, [&](int rank) {
          if (rank == 0) throw std::runtime_error("early");
          std::this_thread::yield();
          ++finished;
        }) == "early");
  CHECK(finished == 3);
}

// A sanitizer needs more address space than can be limited.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a team for which the system has not threads enough is an error that says how many") {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    // Stacks of 64 MiB in 512 MiB: some threads are made, not all.
    pthread_attr_t stack;
    pthread_attr_init(&stack);
    pthread_attr_setstacksize(&stack, std::size_t{64} << 20);
    pthread_setattr_default_np(&stack);
    const rlimit memory{std::size_t{512} << 20, std::size_t{512} << 20};
    setrlimit(RLIMIT_AS, &memory);
    int status = 1;
    try {
      const Team team(64);
    } catch (const poe::Error& error) {
      int asked = 0, made = 0;
      const bool counted =
          std::sscanf(error.what(), "number of threads: %d asked, the system gave %d:", &asked,
                      &made) == 2;
      status = counted && asked == 64 && made > 1 && made < 64 ? 0 : 2;
    } catch (...) {
      status = 3;
    }
    _exit(status);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
#endif
