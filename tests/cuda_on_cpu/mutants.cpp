// SPDX-License-Identifier: MIT
// Does the harness find what it promises to find? Every trial below is run in a process of its own:
// the right ones must end well and in silence, every wrong one must be reported as the table says.
//
// The program is built four times: without a sanitizer, where seven orders and the harness's own
// checks do the work, and with each sanitizer, where its report is what counts.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "config.hpp"
#include "trials.hpp"

// Names of functions would take most of the time; the kind of the report is enough.
extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options();
extern "C" const char* __asan_default_options() { return "symbolize=0:detect_leaks=0"; }
extern "C" const char* __tsan_default_options() {
  return "symbolize=0:halt_on_error=1:atexit_sleep_ms=0";
}

namespace {

using namespace poe;
using namespace poe::harness;

enum class Check { orders, address, undefined, threads };
#if !defined(POE_MUTANTS_CHECK)
#define POE_MUTANTS_CHECK orders
#endif
constexpr Check kCheck = Check::POE_MUTANTS_CHECK;

/// Two branches of a graph: the second adds what the first wrote. Without the event the order of
/// the branches is left open.
bool try_branches(bool edge) {
  const std::vector<float> x(100, 1.0F);
  const OwnStream main, side;
  const OnDevice<float> dx(x, main), dy(x.size());
  const cuda::Event fork = cuda::create_event(), filled = cuda::create_event(),
                    join = cuda::create_event();
  cuda::begin_capture(main);
  cuda::record(fork, main);
  cuda::wait(side, fork);
  cuda::clear(dy.data(), x.size() * sizeof(float), side);
  cuda::record(filled, side);
  if (edge) cuda::wait(main, filled);
  cuda::launch(axpy<Bug::none>, dim3(1), dim3(32), 0, main, dx.data(), dy.data(), 1.0F, x.size());
  cuda::record(join, side);
  cuda::wait(main, join);
  const cuda::Graph graph = cuda::end_capture(main);
  cuda::launch(graph, main);
  const bool right = close(dy.values(main), std::vector<double>(100, 1.0));
  cuda::destroy(graph);
  for (const cuda::Event event : {fork, filled, join}) cuda::destroy(event);
  return right;
}

/// A kernel that runs after its memory was released.
bool use_after_release() {
  const OwnStream stream;
  auto* memory = static_cast<float*>(cuda::allocate(64 * sizeof(float)));
  cuda::release(memory);
  cuda::launch(scale_rows<Bug::none>, dim3(1), dim3(64), 0, stream, memory, memory);
  return true;
}

bool host_pointer_in_kernel() {
  const OwnStream stream;
  std::vector<float> x(64, 1.0F);
  cuda::launch(scale_rows<Bug::none>, dim3(1), dim3(64), 0, stream, x.data(), x.data());
  return true;
}

bool device_pointer_on_host() {
  const OwnStream stream;
  const OnDevice<float> x(std::vector<float>(64, 1.0F), stream);
  return x.data()[3] == 1.0F;
}

bool reads_what_nobody_wrote() {
  const OwnStream stream;
  const OnDevice<float> x(64), y(64);
  cuda::launch(scale_rows<Bug::none>, dim3(1), dim3(64), 0, stream, x.data(), y.data());
  return close(y.values(stream), std::vector<double>(64, 1.0));
}

struct Trial {
  const char* name;
  bool (*run)();
  Check found_by;
  const char* report;  // a part of it
};

constexpr const char* kWrong = "wrong result";
constexpr const char* kRace = "data race";

const Trial kRight[] = {
    {"product", [] { return try_product(); }, {}, {}},
    {"block_sum", [] { return try_block_sum(); }, {}, {}},
    {"softmax", [] { return try_softmax(); }, {}, {}},
    {"scale_rows", [] { return try_scale_rows(); }, {}, {}},
    {"axpy", [] { return try_axpy(); }, {}, {}},
    {"last_block_sum", [] { return try_last_block_sum(); }, {}, {}},
    {"branches", [] { return try_branches(true); }, {}, {}},
};

#define POE_MUTANT(kernel, bug) #kernel ": " #bug, [] { return try_##kernel<Bug::bug>(); }
const Trial kMutants[] = {
    {POE_MUTANT(product, no_barrier_after_load), Check::orders, kWrong},
    {POE_MUTANT(product, no_barrier_after_load), Check::threads, kRace},
    {POE_MUTANT(product, no_barrier_before_reuse), Check::orders, kWrong},
    {POE_MUTANT(product, no_barrier_before_reuse), Check::threads, kRace},
    {POE_MUTANT(product, edge_off_by_one), Check::orders, kWrong},
    {POE_MUTANT(product, edge_off_by_one), Check::address, "AddressSanitizer"},
    {POE_MUTANT(block_sum, no_barrier_before_parts), Check::orders, kWrong},
    {POE_MUTANT(block_sum, no_barrier_before_parts), Check::threads, kRace},
    {POE_MUTANT(block_sum, shuffle_in_branch), Check::orders,
     "threads 96-99 wait in __shfl_down_sync"},
    {POE_MUTANT(block_sum, barrier_in_branch), Check::orders, "wait at different barriers"},
    {POE_MUTANT(softmax, no_barrier_between_sums), Check::orders, kWrong},
    {POE_MUTANT(softmax, no_barrier_between_sums), Check::threads, kRace},
    {POE_MUTANT(softmax, dynamic_shared_too_small), Check::address, "AddressSanitizer"},
    {POE_MUTANT(scale_rows, shared_overflow), Check::address, "AddressSanitizer"},
    {POE_MUTANT(scale_rows, shared_not_written), Check::orders, kWrong},
    {POE_MUTANT(scale_rows, no_syncwarp), Check::orders, kWrong},
    {POE_MUTANT(scale_rows, no_syncwarp), Check::threads, kRace},
    {POE_MUTANT(axpy, misaligned), Check::undefined, "misaligned address"},
    {POE_MUTANT(axpy, past_the_end), Check::address, "AddressSanitizer"},
    {POE_MUTANT(last_block_sum, no_fence), Check::threads, kRace},
    {POE_MUTANT(last_block_sum, count_without_atomic), Check::threads, kRace},
    {POE_MUTANT(last_block_sum, blocks_write_one_word), Check::threads, kRace},
    {"graph without an edge", [] { return try_branches(false); }, Check::orders, kWrong},
    {"use after release", use_after_release, Check::orders, "argument 1 of the kernel"},
    {"host pointer in a kernel", host_pointer_in_kernel, Check::orders, "argument 1 of the kernel"},
    {"device pointer on the host", device_pointer_on_host, Check::address, "use-after-poison"},
    {"memory that nobody wrote", reads_what_nobody_wrote, Check::orders, kWrong},
};

/// What one trial prints in a process of its own: nothing if all went well.
std::string output_of(const Trial& trial) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    int result = 0;
    try {
      const auto run = [&] {
        if (result == 0 && !trial.run()) result = 1, std::puts(kWrong);
      };
      // A race is one in every order, and ThreadSanitizer is slow.
      kCheck == Check::threads ? run() : in_every_order(run);
    } catch (const std::exception& error) {
      std::puts(error.what());
      result = 1;
    }
    std::fflush(stdout);
    _exit(result);
  }
  close(ends[1]);
  std::string output;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    output.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (output.empty() && status != 0) output = "the process failed and said nothing";
  return output;
}

}  // namespace

int main() {
  int mistakes = 0;
  const auto judge = [&](const Trial& trial, bool right, const std::string& output) {
    if (right) return;
    ++mistakes;
    fmt::print("{}: expected {}, got:\n{}\n", trial.name, trial.report ? trial.report : "no report",
               output.empty() ? "no report" : output);
  };
  for (const Trial& trial : kRight) {
    const std::string output = output_of(trial);
    judge(trial, output.empty(), output);
  }
  int mutants = 0;
  for (const Trial& trial : kMutants) {
    if (trial.found_by != kCheck) continue;
    ++mutants;
    const std::string output = output_of(trial);
    judge(trial, output.find(trial.report) != std::string::npos, output);
  }
  fmt::print("{} right kernels, {} mutants, {} mistakes\n", std::size(kRight), mutants, mistakes);
  return mistakes == 0 && mutants > 0 ? 0 : 1;
}
