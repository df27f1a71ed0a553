// SPDX-License-Identifier: MIT
// The batches of an epoch on the device, and what tells its steps apart.
#pragma once

#include <poe/cuda/executor.hpp>
#include <poe/data/streams.hpp>

#include <algorithm>
#include <vector>

namespace poe {

/// For every step of an epoch and every modality, the stored rows that are gathered: those of the
/// samples of all groups that observe the modality, group after group. They lie in device memory
/// that stays where it is.
class EpochSchedule {
 public:
  /// The samples of each group, and what the model leaves to chance.
  using Key = std::vector<int>;

  EpochSchedule(Streams& streams, int modalities)
      : streams_(streams),
        modalities_(modalities),
        slot_(streams.most_rows()),
        indices_(static_cast<std::size_t>(slot_) * static_cast<std::size_t>(modalities) *
                 static_cast<std::size_t>(streams.steps_per_epoch())) {}

  /// Takes up an epoch, counted from 0: `choice(step)` is that of a step, counted from 1 over the
  /// whole run, row(m, n) the stored row of modality m that sample n shows.
  template <class F, class Row>
  void begin(int epoch, F&& choice, Row&& row, cuda::Stream stream) {
    epoch_ = epoch;
    recurring_ = std::exchange(keys_, {});
    std::vector<std::uint32_t> indices(indices_.size());
    SampledBatch batch;
    for (int s = 0; s < streams_.steps_per_epoch(); ++s) {
      streams_.batch(epoch, s, batch);
      Key& key = keys_.emplace_back();
      for (const SampledBatch::Part& part : batch.parts) key.push_back(part.rows);
      key.push_back(choice(first_step() + static_cast<std::uint32_t>(s)));
      for (int m = 0; m < modalities_; ++m) {
        auto to = indices.begin() + s * static_cast<std::ptrdiff_t>(stride()) + offset(m);
        for (const SampledBatch::Part& part : batch.parts)
          if (contains(part.observed, m)) {
            const auto samples = batch.samples_of(part);
            to = std::transform(samples.begin(), samples.end(), to,
                                [&](std::uint32_t n) { return row(m, n); });
          }
      }
    }
    parts_ = std::move(batch.parts);
    find_recurring();
    cuda::upload(indices_.data(), indices.data(), indices.size() * sizeof(std::uint32_t), stream);
  }

  /// Below 0 before the first one.
  int epoch() const { return epoch_; }
  /// Counted from 1.
  std::uint32_t first_step() const {
    return static_cast<std::uint32_t>(epoch_) *
               static_cast<std::uint32_t>(streams_.steps_per_epoch()) +
           1;
  }
  /// Groups, in order. How many samples each has is in the keys.
  const std::vector<SampledBatch::Part>& parts() const { return parts_; }
  /// Of step `number` of the run, counted from 0; it must be one of this epoch.
  Key& key(long number) {
    return keys_[static_cast<std::size_t>(number % streams_.steps_per_epoch())];
  }
  /// Whether two steps of this epoch and the last have this key.
  bool recurs(const Key& key) const {
    return std::binary_search(recurring_.begin(), recurring_.end(), key);
  }

  /// The rows of modality m at step s of the epoch begin at indices() + s * stride() +
  /// offset(m).
  const std::uint32_t* indices() const { return indices_.data(); }
  int stride() const { return slot_ * modalities_; }
  int offset(int m) const { return slot_ * m; }

 private:
  /// From the keys of the last epoch, those that occur twice in it and this one.
  void find_recurring() {
    recurring_.insert(recurring_.end(), keys_.begin(), keys_.end());
    std::sort(recurring_.begin(), recurring_.end());
    std::vector<Key> twice;
    for (auto k = recurring_.begin(); k != recurring_.end();) {
      const auto next = std::upper_bound(k, recurring_.end(), *k);
      if (next - k > 1) twice.push_back(*k);
      k = next;
    }
    recurring_ = std::move(twice);
  }

  Streams& streams_;
  int modalities_, slot_;
  int epoch_ = -1;
  Buffer<std::uint32_t, Cuda> indices_;
  std::vector<SampledBatch::Part> parts_;
  std::vector<Key> keys_;       // by step
  std::vector<Key> recurring_;  // sorted
};

}  // namespace poe
