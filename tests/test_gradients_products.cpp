// SPDX-License-Identifier: MIT
// The backward passes of convolve and convolve_transposed against finite differences.
// sanitizers: none, what it composes is tested with them alone
#include "gradients.hpp"

#include <poe/autograd/linear.hpp>

#include <cmath>

namespace {

using namespace poe;
using namespace poe::test;

/// Whole numbers, plus `offset`. Sums of products of whole numbers and a bias with offset 0.5 are
/// never closer than 0.5 to the kink of the ReLU.
template <class S>
Tensor<double, S> whole_tensor(int rows, std::uint32_t stream, double offset = 0) {
  auto t = normal_tensor<S>(rows, stream);
  for (double& v : t.flat()) v = std::round(v) + offset;
  return t;
}

template <Window w>
struct Shapes {
  using Large = Shape<w.channels, w.height, w.width>;
  using Small = Shape<w.filters, w.out_height, w.out_width>;
  using Weights = Shape<static_cast<int>(w.weights())>;
};

template <Window w>
void check_products(int rows) {
  using Large = typename Shapes<w>::Large;
  using Small = typename Shapes<w>::Small;
  using Weights = typename Shapes<w>::Weights;
  for (const Activation act : {Activation::none, Activation::relu}) {
    check_gradient(
        [act](auto& ctx, auto x, auto weight, auto bias) {
          return convolve<Small>(ctx, w, x, parameter(weight), parameter(bias), act);
        },
        whole_tensor<Large>(rows, 1), whole_tensor<Weights>(1, 2),
        whole_tensor<Shape<w.filters>>(1, 3, 0.5));
    check_gradient(
        [act](auto& ctx, auto x, auto weight, auto bias) {
          return convolve_transposed<Large>(ctx, w, x, parameter(weight), parameter(bias), act);
        },
        whole_tensor<Small>(rows, 1), whole_tensor<Weights>(1, 2),
        whole_tensor<Shape<w.channels>>(1, 3, 0.5));
  }
  check_gradient(
      [](auto& ctx, auto x, auto weight) {
        return convolve<Small>(ctx, w, x, parameter(weight), Parameter<double>{});
      },
      normal_tensor<Large>(rows, 1), normal_tensor<Weights>(1, 2));
  check_gradient(
      [](auto& ctx, auto x, auto weight) {
        return convolve_transposed<Large>(ctx, w, x, parameter(weight), Parameter<double>{});
      },
      normal_tensor<Small>(rows, 1), normal_tensor<Weights>(1, 2));
}

}  // namespace

TEST_CASE("gradients of convolutions and transposed convolutions") {
  for_each_index<10>([]<int I>() { check_products<random_window(I, 12)>(random_rows(I)); });
}

TEST_CASE("gradients of matrix products") {
  for_each_index<4>([]<int I>() {
    check_products<linear_window(draw(I, 0, 1, 20), draw(I, 1, 1, 20))>(1 + 3 * random_rows(I));
  });
}
