// SPDX-License-Identifier: MIT
// What a loss reports, on either device.
#pragma once

#include <cstddef>
#include <span>

#include <poe/autograd/context.hpp>
#include <poe/models/term_value.hpp>
#include <poe/ops/terms.hpp>

namespace poe {

/// What a loss reports: the values, and the sums that are still to be taken.
template <class T>
struct LossReport {
  std::span<TermValue> values;
  TermPart<T>* parts = nullptr;
  std::size_t part_count = 0;

  void add(const TermPart<T>& part) { parts[part_count++] = part; }
  /// Weight of one number of a value in the loss.
  T weight(int slot) const {
    const TermValue& v = values[static_cast<std::size_t>(slot)];
    return v.total == 0 ? T(0) : static_cast<T>(v.weight / v.total);
  }

  /// Takes the sums, and sets the gradients of the parts that have one. -> the values; on the GPU,
  /// values and device memory of sums.
  auto sum(Context<T, Cpu>& ctx, const WarmUp& warm_up) const -> std::span<const TermValue> {
    const double* const sums = sum_parts(ctx, warm_up);
    for (std::size_t i = 0; i < values.size(); ++i) values[i].sum = sums[i];
    return values;
  }
  auto sum(Context<T, Cuda>& ctx, const WarmUp& warm_up) const -> DeviceTerms {
    return {values, sum_parts(ctx, warm_up)};
  }

 private:
  template <class D>
  const double* sum_parts(Context<T, D>& ctx, const WarmUp& warm_up) const {
    double* const sums = ctx.template take_values<double>(values.size());
    sum_terms<T>({parts, part_count}, static_cast<int>(values.size()), sums, warm_up,
                 ctx.executor());
    return sums;
  }
};

}  // namespace poe
