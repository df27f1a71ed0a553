// SPDX-License-Identifier: MIT
// Learner<T, Cuda>: the numbers of a model in device memory, with a copy for the host.
#pragma once

#include <poe/optim/learner.hpp>
#include <poe/optim/step_cuda.hpp>

namespace poe {

/// Parameters, Adam's moments and gradients as flat buffers of the device. The host's copy, which
/// checkpoints read and write, is brought up to date when it is asked for; what is written there
/// reaches the device before its next use.
template <class T>
class Learner<T, Cuda> {
 public:
  /// The threads of a Learner<T, Cpu> have no meaning here.
  Learner(Description<T> description, std::uint64_t seed, int /*threads*/ = 1)
      : description_(std::move(description)) {
    const auto reason = cuda::why_unavailable();
    expect(reason.empty(), "{}", reason);
    const std::size_t n = description_.parameter_size, statistics = description_.statistic_size;
    host_.parameters = Buffer<T>(n);
    host_.first_moment = Buffer<T>(n);
    host_.second_moment = Buffer<T>(n);
    host_.statistics = Buffer<T>(statistics);
    initialise<T>({host_.parameters.data(), n}, description_.parameters, seed);
    initialise<T>({host_.statistics.data(), statistics}, description_.statistics, seed);
    for (auto* const b : {&device_.parameters, &device_.first_moment, &device_.second_moment,
                          &device_.gradients})
      *b = Buffer<T, Cuda>(n);
    device_.statistics = Buffer<T, Cuda>(statistics);
    device_.state = Buffer<StepState, Cuda>(1);
  }

  AdamOptions adam;
  cuda::Engines engines;

  /// The numbers on the device.
  struct DeviceState {
    Buffer<T, Cuda> parameters, first_moment, second_moment, gradients, statistics;
    Buffer<StepState, Cuda> state;
  };

  const Description<T>& description() const { return description_; }
  /// The host's copy; what is changed in it counts.
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
    state.step = random.step;
    StepState* const on_device = d.state.data();
    cuda::upload(on_device, &state, sizeof state, nullptr);
    tape_->reset();
    tape_->recording = true;
    Executor<Cuda>& on = tape_->executor();
    on.fault = &on_device->fault;
    Context<T, Cuda> ctx = context(*tape_, Mode::train, random);
    ctx.gradients = d.gradients.data();
    try {
      pass(ctx);
      tape_->backward();
      state.step = static_cast<std::uint32_t>(host_.step + 1);  // Adam's, not that of the noise
      cuda::upload(&on_device->step, &state.step, sizeof state.step, on.stream());
      update(on);
    } catch (...) {
      cuda::clear(d.gradients.data(), d.gradients.size() * sizeof(T), on.stream());
      throw;
    }
    cuda::download(&state, on_device, sizeof state, on.stream());
    expect((state.fault & StepState::bad_data) == 0,
           "training step {}: an id or a class is outside its range", host_.step + 1);
    ++host_.step;
    expect(state.fault == 0, "training step {}: a gradient is not finite although the loss was",
           host_.step);
  }

  /// Adam on all parameters, as step state->step of the device; sets the gradients to zero.
  void update(Executor<Cuda>& on) {
    adam_step<T>(adam, device_.parameters.size(), device_.parameters.data(),
                 device_.first_moment.data(), device_.second_moment.data(),
                 device_.gradients.data(), device_.state.data(), on);
  }

  /// Runs pass(context) without recording: values only. Returns when the device is done.
  template <class F>
  void evaluate(const Random& random, F&& pass) {
    push();
    tape_->reset();
    tape_->recording = false;
    tape_->executor().fault = nullptr;
    Context<T, Cuda> ctx = context(*tape_, Mode::evaluate, random);
    pass(ctx);
    cuda::synchronise(tape_->executor().stream());
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

 private:
  template <class F>
  void each_buffer(F&& f) const {
    f(host_.parameters, device_.parameters);
    f(host_.first_moment, device_.first_moment);
    f(host_.second_moment, device_.second_moment);
    f(host_.statistics, device_.statistics);
  }
  void pull() const {
    if (!std::exchange(device_newer_, false)) return;
    each_buffer([](Buffer<T>& host, const Buffer<T, Cuda>& device) {
      if (host.size() > 0)
        cuda::download(host.data(), device.data(), host.size() * sizeof(T), nullptr);
    });
  }
  void push() {
    if (!std::exchange(host_newer_, false)) return;
    each_buffer([](const Buffer<T>& host, Buffer<T, Cuda>& device) {
      if (host.size() > 0)
        cuda::upload(device.data(), host.data(), host.size() * sizeof(T), nullptr);
    });
    cuda::synchronise(nullptr);
  }

  Description<T> description_;
  mutable TrainingState<T> host_;
  mutable DeviceState device_;
  mutable bool device_newer_ = false;
  bool host_newer_ = true;
  std::unique_ptr<Tape<T, Cuda>> tape_ = std::make_unique<Tape<T, Cuda>>();
};

}  // namespace poe
