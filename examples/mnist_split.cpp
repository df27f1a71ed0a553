// SPDX-License-Identifier: MIT
// SVAE, VAEVAE and other models on MNIST-Split: the halves of a digit as two modalities.
#include "networks/mnist_split.hpp"  // the networks, as types
#include "support/split_program.hpp"

int main(int argc, char** argv) {
  return examples::run_split_program<mnist_split::Digit, mnist_split::Head,
                                     mnist_split::LaplaceExpertHead, mnist_split::PublishedMmvae>(
      argc, argv,
      {.name = "mnist_split",
       .title = "Multimodal VAEs on the halves of handwritten digits",
       .part = "half",
       .all = "both",
       .all_parts = "both halves"});
}
