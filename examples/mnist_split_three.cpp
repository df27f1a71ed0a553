// SPDX-License-Identifier: MIT
// SVAE, VAEVAE and other models on MNIST-Split-3: the thirds of a digit as three modalities.
#include "networks/mnist_split_three.hpp"  // the networks, as types
#include "support/split_program.hpp"

int main(int argc, char** argv) {
  return examples::run_split_program<mnist_split_three::Digit, mnist_split_three::Head,
                                     mnist_split_three::LaplaceExpertHead>(
      argc, argv,
      {.name = "mnist_split_three",
       .title = "Multimodal VAEs on the thirds of handwritten digits",
       .part = "third",
       .all = "full",
       .all_parts = "all thirds"});
}
