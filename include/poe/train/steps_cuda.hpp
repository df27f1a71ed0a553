// SPDX-License-Identifier: MIT
// Steps<Model, Cuda>: the whole step as one graph, and a log that is read only when asked for.
#pragma once

#include <poe/data/supervision.hpp>
#include <poe/optim/learner_cuda.hpp>
#include <poe/train/steps.hpp>

#include <array>
#include <map>
#include <memory>
#include <vector>

namespace poe {

/// The data lie on the device; once an epoch the indices of all its batches follow. Batches differ
/// in their sizes (the last of a loader, a small pool), and each combination of sizes is a shape:
/// its first step is run kernel by kernel, which also finds out how much memory it takes; its
/// second is captured as a graph (gather, passes, sums, Adam); from then on a step is the launch of
/// that graph.
template <class Model>
class Steps<Model, Cuda> {
 public:
  using T = typename Model::Real;
  using M = typename Model::ModalitySet;
  using GroupType = typename Model::GroupType;

  /// Without graphs every step is run kernel by kernel.
  bool use_graphs = true;

  Steps(const Model& model, Learner<T, Cuda>& learner, const typename Model::HostGroup& data,
        Streams& streams, std::uint64_t seed)
      : model_(model),
        learner_(learner),
        streams_(streams),
        seed_(seed),
        means_(max_rows),
        state_(1) {
    each_modality([&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
      const auto samples = std::get<I>(data.x).flat();
      data_[I] = Buffer<T, Cuda>(samples.size());
      cuda::upload(data_[I].data(), samples.data(), samples.size_bytes(), learner.stream());
    });
  }

  void step() {
    const long number = learner_.step_count();
    const int per_epoch = streams_.steps_per_epoch();
    begin_epoch(static_cast<int>(number / per_epoch));
    if (number != next_ || settings() != settings_) begin(number);
    learner_.device();  // what the host has changed goes first
    const Sizes& sizes = sizes_[static_cast<std::size_t>(number % per_epoch)];
    auto& shape = shapes_[sizes];
    if (shape == nullptr) shape = std::make_unique<Shape>();
    if (!use_graphs || shape->steps == 0)
      run(*shape, sizes);
    else if (shape->graph == nullptr)
      capture(*shape, sizes);
    if (shape->graph != nullptr) cuda::launch(shape->graph.get(), learner_.stream());
    ++shape->steps;
    count(*shape, 1);
    learner_.count_steps(1);
    next_ = number + 1;
  }

  /// Running means of the terms, and the sum of the losses, since clear(). They wait for the
  /// device, and fail if a step went wrong: the steps taken are then those before it, and so are
  /// the parameters, unless it was a gradient that was not finite.
  const TermTable& terms() {
    read();
    return terms_;
  }
  double loss() {
    read();
    return loss_;
  }
  void clear() {
    read();
    terms_.clear();
    loss_ = 0;
    cuda::clear(means_.data(), means_.size() * sizeof(double), learner_.stream());
    cuda::upload(&state_.data()->loss, &loss_, sizeof loss_, learner_.stream());
  }
  void restore(TermTable terms, double loss) {
    shapes_.clear();  // their rows are those of the table that was
    terms_ = std::move(terms);
    loss_ = loss;
    std::vector<double> sums(max_rows);
    for (std::size_t i = 0; i < terms_.rows().size(); ++i) sums[i] = terms_.rows()[i].sum;
    cuda::upload(means_.data(), sums.data(), sums.size() * sizeof(double), learner_.stream());
    next_ = -1;
  }

 private:
  static constexpr std::size_t loaders = 1 + static_cast<std::size_t>(M::count);
  static constexpr std::size_t max_rows = 1024;
  using Sizes = std::array<int, loaders>;

  /// What a captured step holds fast: all of it is read when a step is recorded.
  struct Settings {
    AdamOptions adam;
    VaeOptions model;
    cuda::Engines engines;
    friend constexpr bool operator==(const Settings&, const Settings&) = default;
  };
  Settings settings() const { return {learner_.adam, model_.options, learner_.engines}; }

  struct DestroyGraph {
    void operator()(cuda::GraphHandle* g) const { cuda::destroy(g); }
  };
  /// What belongs to one combination of batch sizes.
  struct Shape {
    long steps = 0;
    std::vector<int> rows;  // of the table, by term
    std::vector<TermValue> terms;
    Tape<T, Cuda> tape;  // its addresses are in the graph
    std::unique_ptr<cuda::GraphHandle, DestroyGraph> graph;
  };

  template <class F>
  static void each_modality(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f(std::integral_constant<std::size_t, I>{}), ...);
    }
    (std::make_index_sequence<static_cast<std::size_t>(M::count)>{});
  }

  /// Adds `steps` steps to the terms that this shape reports.
  void count(const Shape& shape, long steps) {
    for (const int row : shape.rows) terms_.rows()[static_cast<std::size_t>(row)].steps += steps;
  }

  /// Brings the sums up to date.
  void read() {
    if (next_ < 0) return;
    StepState s;
    cuda::download(&s, state_.data(), sizeof s, learner_.stream());
    std::vector<double> sums(terms_.rows().size());
    if (!sums.empty())
      cuda::download(sums.data(), means_.data(), sums.size() * sizeof(double), learner_.stream());
    for (std::size_t i = 0; i < sums.size(); ++i) terms_.rows()[i].sum = sums[i];
    loss_ = s.loss;
    if (s.fault != 0) fail_step(s);
  }

  const Sizes& sizes_of_step(long number) const {
    return sizes_[static_cast<std::size_t>(number % streams_.steps_per_epoch())];
  }
  /// Step s.step went wrong, and those launched after it did nothing.
  [[noreturn]] void fail_step(const StepState& s) {
    const long step = s.step;
    for (long n = step - 1; n < next_; ++n) count(*shapes_.at(sizes_of_step(n)), -1);
    learner_.count_steps(step - 1 - next_);
    next_ = -1;
    expect((s.fault & StepState::bad_data) == 0,
           "training step {}: an id or a class is outside its range", step);
    expect((s.fault & StepState::bad_gradient) == 0,
           "training step {}: a gradient is not finite although the loss was", step);
    const Shape& shape = *shapes_.at(sizes_of_step(step - 1));
    fail(
        "training step {}: the term {} is not finite: a learning rate that is too large, or bad "
        "data?",
        step, shape.terms[s.fault_term].template name<M>());
  }

  /// Tells the device where the run stands; graphs of other settings are of no use any more.
  void begin(long number) {
    read();
    if (settings() != std::exchange(settings_, settings())) {
      cuda::synchronise(learner_.stream());
      shapes_.clear();
    }
    StepState s;
    s.step = static_cast<std::uint32_t>(number + 1);
    s.first_step = first_step();
    s.loss = loss_;
    cuda::upload(state_.data(), &s, sizeof s, learner_.stream());
  }
  std::uint32_t first_step() const {
    return static_cast<std::uint32_t>(epoch_) *
               static_cast<std::uint32_t>(streams_.steps_per_epoch()) +
           1;
  }

  /// Makes the schedule of an epoch: for every step the batches of all loaders, one after the
  /// other, each in `slot` places.
  void begin_epoch(int epoch) {
    if (epoch == epoch_) return;
    read();  // a step that went wrong is one of the epoch that ends
    epoch_ = epoch;
    const auto steps = static_cast<std::size_t>(streams_.steps_per_epoch());
    std::vector<std::vector<std::uint32_t>> unpaired, batches;
    std::vector<std::uint32_t> paired, flat;
    sizes_.assign(steps, {});
    int slot = 1;
    for (std::size_t s = 0; s < steps; ++s) {
      streams_.batch(epoch, static_cast<int>(s), paired, unpaired);
      for (std::size_t l = 0; l < loaders; ++l) {
        batches.push_back(l == 0 ? paired : unpaired[l - 1]);
        sizes_[s][l] = static_cast<int>(batches.back().size());
        slot = std::max(slot, sizes_[s][l]);
      }
    }
    flat.resize(batches.size() * static_cast<std::size_t>(slot));
    for (std::size_t b = 0; b < batches.size(); ++b)
      std::copy(batches[b].begin(), batches[b].end(),
                flat.begin() + static_cast<std::ptrdiff_t>(b) * slot);
    if (schedule_.size() < flat.size() || slot != slot_) {  // both are in the graphs
      cuda::synchronise(learner_.stream());
      shapes_.clear();
      schedule_ = Buffer<std::uint32_t, Cuda>(flat.size());
      slot_ = slot;
    }
    cuda::upload(schedule_.data(), flat.data(), flat.size() * sizeof(std::uint32_t),
                 learner_.stream());
    const std::uint32_t first = first_step();
    cuda::upload(&state_.data()->first_step, &first, sizeof first, learner_.stream());
  }

  void run(Shape& shape, const Sizes& sizes) {
    cuda::synchronise(learner_.stream());
    try {
      pass(shape, sizes);
    } catch (...) {
      learner_.clean_up(shape.tape.executor());
      next_ = -1;
      throw;
    }
    cuda::synchronise(shape.tape.executor().stream());
  }
  void capture(Shape& shape, const Sizes& sizes) {
    shape.tape.reset();  // the memory of the first step, in one piece
    const cuda::Stream stream = shape.tape.executor().stream();
    cuda::begin_capture(stream);
    try {
      pass(shape, sizes);
    } catch (...) {
      cuda::abandon_capture(stream);
      throw;
    }
    shape.graph.reset(cuda::end_capture(stream));
  }

  /// Everything that a step does.
  void pass(Shape& shape, const Sizes& sizes) {
    Tape<T, Cuda>& tape = shape.tape;
    tape.reset();
    tape.recording = true;
    Executor<Cuda>& on = tape.executor();
    on.step = &state_.data()->step;
    on.fault = &state_.data()->fault;
    Context<T, Cuda> ctx = learner_.context(tape, Mode::train, Random{seed_, 0, 0});
    ctx.gradients = learner_.device().gradients.data();
    const DeviceTerms terms = model_.loss(ctx, gather(ctx, sizes));
    tape.backward();
    close(shape, terms, on);
    learner_.update(state_.data(), on);
    end_step(state_.data(), on);
  }

  void close(Shape& shape, const DeviceTerms& terms, Executor<Cuda>& on) {
    std::vector<TermShare> shares;
    shape.rows.clear();
    shape.terms.assign(terms.terms.begin(), terms.terms.end());
    for (const TermValue& t : terms.terms) {
      const int row = t.total == 0 ? 0 : terms_.row_of(t);
      shares.push_back({static_cast<double>(t.total), t.weight, row});
      if (t.total != 0) shape.rows.push_back(row);
    }
    expect(terms_.rows().size() <= max_rows, "a loss of at most {} terms, got {}", max_rows,
           terms_.rows().size());
    close_terms(shares, terms.sums, means_.data(), state_.data(), on);
  }

  /// The batch of every loader, side by side for each modality.
  std::span<const GroupType> gather(Context<T, Cuda>& ctx, const Sizes& sizes) {
    GroupType* const groups =
        new (ctx.arena().template take<GroupType>(loaders)) GroupType[loaders]{};
    for (std::size_t l = 0; l < loaders; ++l) {
      groups[l].observed = l == 0 ? all_of(M::count) : only(static_cast<int>(l) - 1);
      groups[l].rows = groups[l].total = sizes[l];
      groups[l].loader = static_cast<std::uint32_t>(l);
    }
    each_modality([&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
      constexpr int size = Model::template Sample<I>::size;
      const int rows = sizes[0] + sizes[1 + I];
      T* to = ctx.template take_values<T>(static_cast<std::size_t>(rows) * size);
      for (const std::size_t l : {std::size_t{0}, 1 + I}) {
        std::get<I>(groups[l].x) = {to, sizes[l]};
        if (sizes[l] > 0)
          gather_rows<T>(data_[I].data(), size, schedule_.data(), slot_ * static_cast<int>(loaders),
                         slot_ * static_cast<int>(l), sizes[l], state_.data(), to, ctx.executor());
        to += static_cast<std::ptrdiff_t>(sizes[l]) * size;
      }
    });
    return {groups, loaders};
  }

  const Model& model_;
  Learner<T, Cuda>& learner_;
  Streams& streams_;
  std::uint64_t seed_;
  Settings settings_{};
  std::array<Buffer<T, Cuda>, static_cast<std::size_t>(M::count)> data_;
  Buffer<double, Cuda> means_;  // by row of the table
  Buffer<StepState, Cuda> state_;
  Buffer<std::uint32_t, Cuda> schedule_;
  int epoch_ = -1, slot_ = 0;
  long next_ = -1;            // the step that the device would take; below 0: it must be told
  std::vector<Sizes> sizes_;  // by step of the epoch
  std::map<Sizes, std::unique_ptr<Shape>> shapes_;
  TermTable terms_;
  double loss_ = 0;  // when it was last read
};

}  // namespace poe
