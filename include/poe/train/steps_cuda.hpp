// SPDX-License-Identifier: MIT
// Steps<Model, Cuda>: the whole step as one graph, and a log that is read only when asked for.
#pragma once

#include <poe/optim/learner_cuda.hpp>
#include <poe/train/schedule_cuda.hpp>
#include <poe/train/steps.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <vector>

namespace poe {

/// The data lie on the device; once an epoch the indices of all its batches follow. Steps differ in
/// the sizes of their groups (the last batch of a loader, a small pool, masks) and in what the
/// model leaves to chance, and each combination is a shape. The first step of a shape is run kernel
/// by kernel, which also finds out how much memory it takes; its second is captured as a graph
/// (gather, passes, sums, Adam); from then on a step is the launch of that graph.
///
/// A graph has memory of its own, as much as a step takes. So only shapes that come up again, in
/// this epoch or as one of the last, get a graph, and at most `most_graphs` of them; all other
/// steps, which is most of those of data with masks, are run kernel by kernel in the same memory.
template <class Model>
class Steps<Model, Cuda> {
 public:
  using T = typename Model::Real;
  using M = typename Model::ModalitySet;
  using GroupType = typename Model::GroupType;

  /// Without graphs every step is run kernel by kernel.
  bool use_graphs = true;
  std::size_t most_graphs = 32;

  Steps(const Model& model, Learner<T, Cuda>& learner, const Samples<T, M>& data, Streams& streams,
        std::uint64_t seed)
      : model_(model),
        learner_(learner),
        streams_(streams),
        seed_(seed),
        samples_(data),
        means_(max_rows),
        state_(1),
        schedule_(streams, M::count) {
    detail::expect_stored(data, streams.observations());
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      const auto samples = std::get<I>(data.stored).flat();
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
    Key& key = schedule_.key(number);
    key.back() = detail::choice_of(model_, seed_, static_cast<std::uint32_t>(number + 1));
    Shape& shape = shape_of(key);
    if (!use_graphs || shape.tape == nullptr || shape.steps == 0) {
      run(shape, key);
    } else {
      if (shape.graph == nullptr) capture(shape, key);
      cuda::launch(shape.graph.get(), learner_.stream());
    }
    ++shape.steps;
    count(shape, 1);
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
    expect_room(terms);
    shapes_.clear();  // their rows are those of the table that was
    terms_ = std::move(terms);
    loss_ = loss;
    std::vector<double> sums(max_rows);
    for (std::size_t i = 0; i < terms_.rows().size(); ++i) sums[i] = terms_.rows()[i].sum;
    cuda::upload(means_.data(), sums.data(), sums.size() * sizeof(double), learner_.stream());
    next_ = -1;
  }

 private:
  static constexpr auto modalities = static_cast<std::size_t>(M::count);
  static constexpr std::size_t max_rows = 1024;
  using Key = EpochSchedule::Key;  // tells one shape from another

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
  struct DestroyEvent {
    void operator()(cuda::EventHandle* e) const { cuda::destroy(e); }
  };
  struct Shape {
    long steps = 0;
    std::vector<int> rows;  // of the table, by term
    std::vector<TermValue> terms;
    std::unique_ptr<Tape<T, Cuda>> tape;  // its addresses are in the graph; null: no graph
    std::unique_ptr<cuda::GraphHandle, DestroyGraph> graph;
  };

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

  Shape& shape_of(const Key& key) {
    const auto [at, is_new] = shapes_.try_emplace(key);
    if (is_new && use_graphs && schedule_.recurs(key)) {
      const auto graphs = std::count_if(shapes_.begin(), shapes_.end(),
                                        [](const auto& s) { return s.second.tape != nullptr; });
      if (static_cast<std::size_t>(graphs) < most_graphs)
        at->second.tape = std::make_unique<Tape<T, Cuda>>();
    }
    return at->second;
  }
  /// Step s.step went wrong, and those launched after it did nothing.
  [[noreturn]] void fail_step(const StepState& s) {
    const long step = s.step;
    for (long n = step - 1; n < next_; ++n) count(shapes_.at(schedule_.key(n)), -1);
    learner_.count_steps(step - 1 - next_);
    next_ = -1;
    expect((s.fault & StepState::bad_data) == 0,
           "training step {}: an id or a class is outside its range", step);
    expect((s.fault & StepState::bad_gradient) == 0,
           "training step {}: a gradient is not finite although the loss was", step);
    const Shape& shape = shapes_.at(schedule_.key(step - 1));
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
    s.first_step = schedule_.first_step();
    s.loss = loss_;
    cuda::upload(state_.data(), &s, sizeof s, learner_.stream());
  }
  void begin_epoch(int epoch) {
    if (epoch == schedule_.epoch()) return;
    read();  // a step that went wrong is one of the epoch that ends
    std::erase_if(shapes_, [](const auto& s) { return s.second.tape == nullptr; });
    const auto choice = [&](std::uint32_t step) { return detail::choice_of(model_, seed_, step); };
    const auto row = [&](int m, std::uint32_t n) { return samples_.row(m, n); };
    schedule_.begin(epoch, choice, row, learner_.stream());
    const std::uint32_t first = schedule_.first_step();
    cuda::upload(&state_.data()->first_step, &first, sizeof first, learner_.stream());
  }

  /// Kernel by kernel, after all that the learner's stream has to do, and before what it gets next.
  void run(Shape& shape, const Key& key) {
    // What a graph works in is left to it.
    const bool own = shape.tape != nullptr && shape.graph == nullptr;
    Tape<T, Cuda>& tape = own ? *shape.tape : passing_;
    tape.reset();
    const cuda::Stream stream = tape.executor().stream();
    cuda::record(reached_.get(), learner_.stream());
    cuda::wait(stream, reached_.get());
    try {
      pass(shape, tape, key);
    } catch (...) {
      learner_.clean_up(tape.executor());
      next_ = -1;
      throw;
    }
    cuda::record(reached_.get(), stream);
    cuda::wait(learner_.stream(), reached_.get());
  }
  void capture(Shape& shape, const Key& key) {
    Tape<T, Cuda>& tape = *shape.tape;
    cuda::synchronise(learner_.stream());
    tape.reset();  // the memory of the first step, in one piece
    const cuda::Stream stream = tape.executor().stream();
    cuda::begin_capture(stream);
    try {
      pass(shape, tape, key);
    } catch (...) {
      cuda::abandon_capture(stream);
      learner_.clean_up(tape.executor());
      next_ = -1;
      throw;
    }
    shape.graph.reset(cuda::end_capture(stream));
  }

  /// Everything that a step does.
  void pass(Shape& shape, Tape<T, Cuda>& tape, const Key& key) {
    tape.reset();
    tape.recording = true;
    Executor<Cuda>& on = tape.executor();
    on.step = &state_.data()->step;
    on.fault = &state_.data()->fault;
    Context<T, Cuda> ctx = learner_.context(tape, Mode::train, Random{seed_, 0, 0});
    ctx.gradients = learner_.device().gradients.data();
    const DeviceTerms terms = detail::loss_of(model_, ctx, gather(ctx, key), key.back());
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
      shares.push_back({static_cast<double>(t.total), t.weight, row, t.warming});
      if (t.total != 0) shape.rows.push_back(row);
    }
    expect_room(terms_);
    close_terms(shares, terms.sums, means_.data(), state_.data(), on,
                detail::warm_up_of(model_, 1).steps);
  }

  static void expect_room(const TermTable& terms) {
    expect(terms.rows().size() <= max_rows, "a loss of at most {} terms, got {}", max_rows,
           terms.rows().size());
  }

  /// The groups that have samples; the rows of a modality side by side.
  std::span<const GroupType> gather(Context<T, Cuda>& ctx, const Key& key) {
    const std::vector<SampledBatch::Part>& parts = schedule_.parts();
    GroupType* const groups = take_new<GroupType>(ctx.arena(), parts.size());
    std::size_t count = 0;
    std::uint32_t loader = 0;
    int position = 0;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].loader != std::exchange(loader, parts[p].loader)) position = 0;
      if (key[p] == 0) continue;
      GroupType& group = groups[count++];
      group.observed = parts[p].observed;
      group.rows = group.total = key[p];
      group.first_row = std::exchange(position, position + key[p]);
      group.loader = loader;
    }
    each_index<M::count>([&]<int I>(std::integral_constant<int, I>) {
      constexpr int size = Model::template Sample<I>::size;
      const auto sees = [](const GroupType& g) { return contains(g.observed, I); };
      int rows = 0;
      for (std::size_t g = 0; g < count; ++g) rows += sees(groups[g]) ? groups[g].rows : 0;
      T* to = ctx.template take_values<T>(static_cast<std::size_t>(rows) * size);
      gather_rows<T>(data_[I].data(), size, schedule_.indices(), schedule_.stride(),
                     schedule_.offset(I), rows, state_.data(), to, ctx.executor());
      for (std::size_t g = 0; g < count; ++g)
        if (sees(groups[g])) {
          std::get<I>(groups[g].x) = {to, groups[g].rows};
          to += static_cast<std::ptrdiff_t>(groups[g].rows) * size;
        }
    });
    return {groups, count};
  }

  const Model& model_;
  Learner<T, Cuda>& learner_;
  Streams& streams_;
  std::uint64_t seed_;
  Samples<T, M> samples_;  // their lists of rows; the rows themselves lie on the device
  Settings settings_{};
  std::array<Buffer<T, Cuda>, modalities> data_;
  Buffer<double, Cuda> means_;  // by row of the table
  Buffer<StepState, Cuda> state_;
  EpochSchedule schedule_;
  long next_ = -1;  // the step that the device would take; below 0: it must be told
  std::map<Key, Shape> shapes_;
  Tape<T, Cuda> passing_;  // of steps without a graph
  std::unique_ptr<cuda::EventHandle, DestroyEvent> reached_{
      cuda::create_event(cuda::EventUse::order)};
  TermTable terms_;
  double loss_ = 0;  // when it was last read
};

}  // namespace poe
