// SPDX-License-Identifier: MIT
// Digits for the trainers: MNIST from files, or the embedded generator.
#pragma once

#include <poe/data/digits.hpp>
#include <poe/data/mnist.hpp>
#include <poe/eval/oracle.hpp>

#include "command_line.hpp"

namespace examples {

/// Training and held-out digits. Without --data they are drawn by the program, which is said
/// loudly.
struct DigitSource {
  poe::Digits train, held_out;
  std::string name;   // "mnist" or "procedural", for files that are read by programs
  std::string title;  // for people

  /// Kind and checksum: two runs with the same fingerprint saw the same images.
  std::string fingerprint() const {
    return fmt::format("{}:{:08x}", name, poe::detail::checksum(train));
  }
};

inline poe::Digits first_digits(poe::Digits digits, int count) {
  if (count == 0 || count >= digits.rows) return digits;
  const std::size_t pixels = digits.pixels.size() / static_cast<std::size_t>(digits.rows);
  digits.rows = count;
  digits.pixels.resize(pixels * static_cast<std::size_t>(count));
  digits.labels.resize(static_cast<std::size_t>(count));
  return digits;
}

inline DigitSource load_digits(const Options& o) {
  DigitSource s;
  if (o.data.empty()) {
    constexpr int train = 20000, held_out = 4000;
    fmt::print(
        "*** No --data: training on PROCEDURAL digits drawn by this program, not on MNIST.\n"
        "*** Figures below say nothing about the paper; `scripts/get-data mnist` fetches the real "
        "digits.\n");
    s.train = poe::make_digits(train, poe::Random{1, 1, 0});
    s.held_out = poe::make_digits(held_out, poe::Random{1, 2, 0});
    s.name = "procedural";
    s.title = "procedural digits (not MNIST)";
  } else {
    poe::MnistFiles files = poe::load_mnist(o.data);
    s.train = std::move(files.train);
    s.held_out = std::move(files.test);
    s.name = "mnist";
    s.title = "MNIST";
    fmt::print("data: {}, {} training and {} held-out digits\n", s.train.source, s.train.rows,
               s.held_out.rows);
  }
  return s;
}

}  // namespace examples
