// SPDX-License-Identifier: MIT
// Learner<T, Cuda>: the numbers of a model in device memory, with a copy for the host.
#pragma once

#include <poe/optim/learner.hpp>
#include <poe/optim/step_cuda.hpp>

namespace poe {

/// Parameters, Adam's moments and gradients as flat buffers of the device. The host's copy, which
/// checkpoints read and write, is brought up to date when it is asked for; what is written there
/// reaches the device before its next use. All work on these numbers goes through one stream.
template <class T>
class Learner<T, Cuda> {
 public:
  /// The threads of a Learner<T, Cpu> have no meaning here.
  Learner(Description<T> description, std::uint64_t seed, int /*threads*/ = 1)
      : description_(std::move(description)) {
    const auto reason = cuda::why_unavailable();
    expect(reason.empty(), "{}", reason);
    tape_ = std::make_unique<Tape<T, Cuda>>();
    const std::size_t n = description_.parameter_size, statistics = description_.statistic_size;
    host_.parameters = Buffer<T>(n);
    host_.first_moment = Buffer<T>(n);
    host_.second_moment = Buffer<T>(n);
    host_.statistics = Buffer<T>(statistics);
    initialise<T>({host_.parameters.data(), n}, description_.parameters, seed);
    initialise<T>({host_.statistics.data(), statistics}, description_.statistics, seed);
    for (auto* const b :
         {&device_.parameters, &device_.first_moment, &device_.second_moment, &device_.gradients})
      *b = Buffer<T, Cuda>(n);
    device_.statistics = Buffer<T, Cuda>(statistics);
    state_ = Buffer<StepState, Cuda>(1);
  }

  AdamOptions adam;
  cuda::Engines engines;

  /// The numbers on the device.
  struct DeviceState {
    Buffer<T, Cuda> parameters, first_moment, second_moment, gradients, statistics;
    Buffer<T, Cuda> largest_second_moment;  // empty until AMSGrad is asked for
  };

  const Description<T>& description() const { return description_; }
  /// The host's copy. What is changed in it counts if it is changed before the next step or
  /// evaluation: ask again after that.
  TrainingState<T>& state() {
    pull();
    host_newer_ = true;
    return host_;
  }
  const TrainingState<T>& state() const {
    pull();
    return host_;
  }
  long step_count() const { return host_.step; }
  int threads() const { return 1; }

  /// The stream in which everything happens that touches the numbers on the device.
  cuda::Stream stream() const { return tape_->executor().first_stream(); }
  /// The numbers on the device, which the caller may change.
  DeviceState& device() {
    push();
    device_newer_ = true;
    return device_;
  }
  /// Says that the device has taken `steps` steps.
  void count_steps(long steps) { host_.step += steps; }

  /// One training step, every kernel launched by itself: see Learner<T, Cpu>::step().
  template <class F>
  void step(const Random& random, F&& pass) {
    DeviceState& d = device();
    StepState state;
    state.step = static_cast<std::uint32_t>(host_.step + 1);
    cuda::upload(state_.data(), &state, sizeof state, stream());
    run(Mode::train, random, d.gradients.data(), [&](Context<T, Cuda>& ctx) {
      pass(ctx);
      tape_->backward();
      update(state_.data(), ctx.executor());
    });
    cuda::download(&state, state_.data(), sizeof state, stream());
    expect((state.fault & StepState::bad_data) == 0,
           "training step {}: an id or a class is outside its range", host_.step + 1);
    ++host_.step;
    expect(state.fault == 0, "training step {}: a gradient is not finite although the loss was",
           host_.step);
  }

  /// Adam on all parameters, as step state->step; sets the gradients to zero.
  void update(StepState* state, Executor<Cuda>& on) {
    adam_step<T>(
        adam, device_.parameters.size(),
        {device_.parameters.data(), device_.first_moment.data(), device_.second_moment.data(),
         adam.amsgrad ? device_.largest_second_moment.data() : nullptr},
        device_.gradients.data(), state, on);
  }

  /// Runs pass(context) without recording: values only. Returns when the device is done. Fails if
  /// an id or a class was outside its range.
  template <class F>
  void evaluate(const Random& random, F&& pass) {
    push();
    StepState state;
    cuda::upload(state_.data(), &state, sizeof state, stream());
    run(Mode::evaluate, random, nullptr, pass);
    cuda::download(&state, state_.data(), sizeof state, stream());
    expect(state.fault == 0, "evaluation: an id or a class is outside its range");
  }

  /// The surroundings of a pass on another tape: captured steps have one each.
  Context<T, Cuda> context(Tape<T, Cuda>& tape, Mode mode, const Random& random) {
    tape.executor().engines = engines;
    return {.tape = tape,
            .parameters = device_.parameters.data(),
            .statistics = device_.statistics.data(),
            .mode = mode,
            .random = random};
  }

  /// After a pass that threw: waits until nothing of it is running, and forgets its gradients.
  void clean_up(Executor<Cuda>& on) {
    on.leave();  // it may have thrown on another branch
    on.wait_for_all();
    cuda::clear(device_.gradients.data(), device_.gradients.size() * sizeof(T), stream());
  }

 private:
  template <class F>
  void run(Mode mode, const Random& random, T* gradients, F&& pass) {
    tape_->reset();
    tape_->recording = mode == Mode::train;
    tape_->executor().fault = &state_.data()->fault;
    Context<T, Cuda> ctx = context(*tape_, mode, random);
    ctx.gradients = gradients;
    try {
      pass(ctx);
    } catch (...) {
      clean_up(tape_->executor());
      throw;
    }
  }

  /// The state has what the settings of Adam ask for, here and on the device.
  void fit_moments() const {
    if (!adam.amsgrad || host_.largest_second_moment.size() > 0) return;
    host_.largest_second_moment = Buffer<T>(description_.parameter_size);
    device_.largest_second_moment = Buffer<T, Cuda>(description_.parameter_size);
  }
  template <class F>
  void each_buffer(F&& f) const {
    f(host_.parameters, device_.parameters);
    f(host_.first_moment, device_.first_moment);
    f(host_.second_moment, device_.second_moment);
    f(host_.largest_second_moment, device_.largest_second_moment);
    f(host_.statistics, device_.statistics);
  }
  void pull() const {
    fit_moments();
    if (!std::exchange(device_newer_, false)) return;
    each_buffer([&](Buffer<T>& host, const Buffer<T, Cuda>& device) {
      if (host.size() > 0)
        cuda::download(host.data(), device.data(), host.size() * sizeof(T), stream());
    });
  }
  void push() {
    fit_moments();
    if (!std::exchange(host_newer_, false)) return;
    each_buffer([&](const Buffer<T>& host, Buffer<T, Cuda>& device) {
      if (host.size() > 0)
        cuda::upload(device.data(), host.data(), host.size() * sizeof(T), stream());
    });
  }

  Description<T> description_;
  mutable TrainingState<T> host_;
  mutable DeviceState device_;
  mutable bool device_newer_ = false;
  bool host_newer_ = true;
  Buffer<StepState, Cuda> state_;  // of steps and evaluations here; Steps has one of its own
  std::unique_ptr<Tape<T, Cuda>> tape_;
};

}  // namespace poe
