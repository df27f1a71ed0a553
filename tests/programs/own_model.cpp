// SPDX-License-Identifier: MIT
// The model that docs/variant.md writes, beside the paper's on the paper's data.
#include <docs/variant_1.cpp>
#include <networks/mnist_split.hpp>
#include <support/split_program.hpp>

int main(int argc, char** argv) {
  return examples::run_split_program<mnist_split::Digit, mnist_split::Head,
                                     mnist_split::LaplaceExpertHead>(
      argc, argv,
      {.name = "own_model",
       .title = "A model of my own on the halves of handwritten digits",
       .part = "half",
       .all = "both",
       .all_parts = "both halves"},
      poe::NamedModel<CorrectedVae>{"corrected"});
}
