// SPDX-License-Identifier: MIT
// The training loop: runs that are stopped and taken up again, the log, bad numbers.
// labels: threads
#include <poe/train/trainer.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

#include "digit_model.hpp"
#include "files.hpp"
#include "watched.hpp"

namespace {
using namespace poe;
using namespace poe::test;

using SmallModalities = Small<Top, Bottom>;

using Watch = Watched<Svae<float, SmallModalities, SmallHead>>;

constexpr int samples = 50, epochs = 3, steps = 7;  // batches of 8, the last of 2

Watch::GroupType data() {
  static Tensor<float, Shape<1, 4, 6>> halves[2] = {Tensor<float, Shape<1, 4, 6>>(samples),
                                                    Tensor<float, Shape<1, 4, 6>>(samples)};
  for (std::uint32_t h = 0; h < 2; ++h)
    for (std::size_t i = 0; i < halves[h].flat().size(); ++i)
      halves[h].flat()[i] = Random{5, h, 0}.uniform<float>(i);
  return observe<float, SmallModalities>(0, given<Top>(halves[0]), given<Bottom>(halves[1]));
}

TrainOptions options(const std::filesystem::path& out, bool masked = false) {
  TrainOptions o;
  o.epochs = epochs;
  o.supervision.batch = 8;
  if (masked)
    o.supervision.masks = random_masks(samples, 2, 0.4, Random{4, 0, 0});
  else
    o.supervision.level = 0.3;  // 15 pairs: the joint loader starts over within an epoch
  o.seed = 11;
  o.out = out;
  o.identity = {{"model", "small"}, {"seed", "11"}};
  return o;
}

/// Runs, or takes up a run, and calls `before` ahead of every loss, with its number; true if it
/// came to its end.
bool run(const std::filesystem::path& out, int threads,
         const std::function<void(long)>& before = {}, bool resume = false, bool masked = false,
         bool amsgrad = false) {
  Watch model;
  long calls = 0;
  if (before) model.before = [&](auto, int) { before(++calls); };
  Learner<float> learner(model.description(), 11, threads);
  learner.adam.learning_rate = 1e-3;
  learner.adam.amsgrad = amsgrad;
  Trainer<Watch> trainer(model, learner, data(), options(out, masked));
  if (resume) trainer.resume();
  return trainer.run([](Learner<float>& l) {
    const double score = static_cast<double>(l.state().parameters[3]);
    return Scores{{{"score", score}}, score};
  });
}

/// The log without the figures of the clock.
std::vector<Json> log_of(const std::filesystem::path& out) {
  std::vector<Json> lines = read_json_lines(out / "metrics.jsonl");
  for (Json& line : lines) line.erase("seconds"), line.erase("samples_per_second");
  return lines;
}

void require_same_run(const std::filesystem::path& a, const std::filesystem::path& b) {
  REQUIRE(read_file(a / "checkpoint.safetensors") == read_file(b / "checkpoint.safetensors"));
  REQUIRE(read_file(a / "best.safetensors") == read_file(b / "best.safetensors"));
  REQUIRE(log_of(a) == log_of(b));
}

}  // namespace

TEST_CASE("a run that was interrupted at any step ends with the same bytes") {
  const int threads = GENERATE(1, 2);
  const bool masked = GENERATE(false, true);
  const Directory whole, stopped;
  REQUIRE(run(whole.path, threads, {}, false, masked));
  const auto lines = read_json_lines(whole.path / "metrics.jsonl");
  REQUIRE(lines.size() == epochs);
  REQUIRE(lines.back()["epoch"] == epochs);
  REQUIRE(lines.back()["terms"].size() == 12);

  const long step = 1 + static_cast<long>(Random{77, static_cast<std::uint32_t>(threads), 0}.below(
                            epochs * steps - 1, 0));
  INFO("interrupted at step " << step);
  const auto interrupt = [&](long call) {
    if (call == step) std::raise(SIGINT);
  };
  REQUIRE_FALSE(run(stopped.path, threads, interrupt, false, masked));
  REQUIRE(run(stopped.path, threads, {}, true, masked));
  require_same_run(whole.path, stopped.path);
}

TEST_CASE("a run with AMSGrad goes on with its moments") {
  const Directory adam, whole, stopped;
  REQUIRE(run(adam.path, 2));
  REQUIRE(run(whole.path, 2, {}, false, false, true));
  REQUIRE(read_file(whole.path / "best.safetensors") != read_file(adam.path / "best.safetensors"));
  const auto interrupt = [](long call) {
    if (call == steps + 4) std::raise(SIGINT);
  };
  REQUIRE_FALSE(run(stopped.path, 2, interrupt, false, false, true));
  REQUIRE_THROWS_WITH(run(stopped.path, 2, {}, true),
                      Catch::Contains("a checkpoint of AMSGrad; this run has Adam"));
  REQUIRE(run(stopped.path, 2, {}, true, false, true));
  require_same_run(whole.path, stopped.path);
}

TEST_CASE("a run that was killed goes on from its last epoch and ends with the same bytes") {
  const Directory whole, killed;
  REQUIRE(run(whole.path, 1));
  const long step = steps + 1 + static_cast<long>(Random{78}.below(2 * steps - 1, 0));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    run(killed.path, 1, [&](long call) {
      if (call == step) std::raise(SIGKILL);
    });
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  INFO("killed at step " << step);
  REQUIRE(run(killed.path, 1, {}, true));
  require_same_run(whole.path, killed.path);
}

TEST_CASE("a finished run has nothing left to do") {
  const Directory d;
  REQUIRE(run(d.path, 1));
  const std::string before = read_file(d.path / "checkpoint.safetensors");
  REQUIRE(run(
      d.path, 1, [](long) { FAIL("a step was taken"); }, true));
  REQUIRE(read_file(d.path / "checkpoint.safetensors") == before);
}

TEST_CASE("the checkpoint of another run is refused") {
  const Directory d;
  REQUIRE(run(d.path, 1));
  const Watch model;
  Learner<float> learner(model.description(), 12, 1);
  TrainOptions other = options(d.path);
  other.identity["seed"] = "12";
  Trainer<Watch> trainer(model, learner, data(), other);
  REQUIRE_THROWS_WITH(trainer.resume(),
                      Catch::Contains("seed of this run is '12', of the checkpoint '11'"));
}

TEST_CASE("the numbers of a step do not depend on the threads, but for rounding") {
  std::vector<double> losses[2];
  for (const int threads : {1, 3}) {
    const Watch model;
    Learner<float> learner(model.description(), 11, threads);
    Trainer<Watch> trainer(model, learner, data(), options("."));
    for (int i = 0; i < 10; ++i) {
      trainer.step();
      losses[threads / 2].push_back(trainer.epoch_loss());
    }
  }
  require_close(losses[1], losses[0], 1e-5);
}

TEST_CASE("a loss that is not finite names its term and leaves the parameters alone") {
  const Watch model;
  Learner<float> learner(model.description(), 11, 2);
  auto bad = data();
  Tensor<float, Shape<1, 4, 6>> top(samples);
  for (float& x : top.flat()) x = std::numeric_limits<float>::quiet_NaN();
  std::get<0>(bad.x) = top.view();
  Trainer<Watch> trainer(model, learner, bad, options("."));
  const std::vector<float> before(learner.state().parameters.begin(),
                                  learner.state().parameters.end());
  REQUIRE_THROWS_WITH(trainer.step(), Catch::Contains("training step 1") &&
                                          Catch::Contains("log_p(top|top,bottom) is"));
  const std::vector<float> after(learner.state().parameters.begin(),
                                 learner.state().parameters.end());
  REQUIRE(after == before);
}

TEST_CASE("training lowers the loss") {
  const Watch model;
  Learner<float> learner(model.description(), 11, 2);
  learner.adam.learning_rate = 5e-3;
  Trainer<Watch> trainer(model, learner, data(), options("."));
  const auto mean_of = [&](int n) {
    const double before = trainer.epoch_loss();
    for (int i = 0; i < n; ++i) trainer.step();
    return (trainer.epoch_loss() - before) / n;
  };
  const double first = mean_of(10);
  mean_of(300);
  REQUIRE(mean_of(10) < first - 3);
}

TEST_CASE("scores are found by name") {
  const Scores scores{{{"coherence", 0.5}, {"kappa", 0.25}}, 0};
  REQUIRE(scores.at("coherence") == 0.5);
  REQUIRE(scores.at("kappa") == 0.25);
  REQUIRE_THROWS_WITH(scores.at("accuracy"),
                      "figure: expected one of coherence, kappa; got 'accuracy'");
}

TEST_CASE("a request to stop does not cut short what is being read") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const Interrupt interrupt;
  std::thread other([reader = pthread_self(), to = ends[1]] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    pthread_kill(reader, SIGINT);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    (void)!write(to, "x", 1);
  });
  char byte = 0;
  const auto bytes = read(ends[0], &byte, 1);
  other.join();
  CHECK(bytes == 1);
  CHECK(byte == 'x');
  CHECK(Interrupt::requested());
  close(ends[0]);
  close(ends[1]);
}
