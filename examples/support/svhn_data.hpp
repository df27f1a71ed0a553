// SPDX-License-Identifier: MIT
// The digits of MNIST-SVHN: both data sets from files, or the embedded generators, and their pairs.
#pragma once

#include <poe/data/digits.hpp>
#include <poe/data/mnist.hpp>
#include <poe/data/pairing.hpp>
#include <poe/data/samples.hpp>
#include <poe/data/street_digits.hpp>
#include <poe/data/svhn.hpp>
#include <poe/eval/oracle.hpp>

#include "command_line.hpp"
#include "data_title.hpp"

namespace examples {

/// Digits of both kinds, and pairs of equal label: indices, in random order.
struct DigitPairs {
  poe::Digits written, house;
  poe::Buffer<float> written_pixels, house_pixels;  // in [0, 1]
  poe::LabelPairs pairs;
  std::vector<std::uint8_t> labels;  // of the pairs
  std::size_t before_limit = 0;      // pairs that there were

  template <class M>
  poe::Samples<float, M> samples() const {
    poe::Samples<float, M> s;
    s.rows = static_cast<int>(labels.size());
    s.stored = {{written_pixels.data(), written.rows}, {house_pixels.data(), house.rows}};
    s.at = {pairs.a, pairs.b};
    return s;
  }
};

/// Training and held-out pairs. Without --data they are drawn by the program, which is said loudly.
struct DigitPairSource {
  DigitPairs train, test;
  std::string name, title;  // for programs: "mnist-svhn" or "procedural"; for people

  std::string fingerprint() const {
    return fmt::format("{}:{:08x}:{:08x}:{}", name, poe::detail::checksum(train.written),
                       poe::detail::checksum(train.house), train.labels.size());
  }
};

namespace detail {

inline poe::Buffer<float> unit_pixels(const poe::Digits& digits) {
  poe::Buffer<float> values(digits.pixels.size());
  std::transform(digits.pixels.begin(), digits.pixels.end(), values.data(),
                 [](std::uint8_t byte) { return static_cast<float>(byte) / 255.0F; });
  return values;
}

/// Pairs in random order, so that any number of the first are a fair sample; `limit` of them, or
/// all where that is 0.
inline DigitPairs make_pairs(poe::Digits written, poe::Digits house, int repeats, int limit,
                             std::uint32_t stream) {
  DigitPairs p;
  const poe::Random source{1, stream, 0};
  const auto all = poe::pair_by_label(written.labels, house.labels, {.repeats = repeats},
                                      poe::detail::member_random(source, 0));
  const auto count = static_cast<std::uint32_t>(all.a.size());
  poe::expect(count > 0, "no label of the digits from {} is one of those from {}", written.source,
              house.source);
  p.before_limit = count;
  auto order = poe::permutation(count, poe::detail::member_random(source, 1));
  if (limit > 0 && order.size() > static_cast<std::size_t>(limit))
    order.resize(static_cast<std::size_t>(limit));
  for (const std::uint32_t n : order) {
    p.pairs.a.push_back(all.a[n]);
    p.pairs.b.push_back(all.b[n]);
    p.labels.push_back(written.labels[all.a[n]]);
  }
  p.written_pixels = unit_pixels(written);
  p.house_pixels = unit_pixels(house);
  p.written = std::move(written);
  p.house = std::move(house);
  return p;
}

}  // namespace detail

/// "MNIST-SVHN", and what of it is not there: of the published files, and of the pairs that they
/// give, of which --limit leaves some.
inline std::string digit_pairs_title(const DigitPairSource& s) {
  const auto digits = [](const char* name, int train, int whole, int test, int whole_test) {
    const bool tests_differ = train == whole && test != whole_test;
    return tests_differ
               ? DataCount{fmt::format("test digits of {}", name), static_cast<std::size_t>(test),
                           static_cast<std::size_t>(whole_test)}
               : DataCount{fmt::format("digits of {}", name), static_cast<std::size_t>(train),
                           static_cast<std::size_t>(whole)};
  };
  const DataCount counts[] = {
      digits("MNIST", s.train.written.rows, 60000, s.test.written.rows, 10000),
      digits("SVHN", s.train.house.rows, 73257, s.test.house.rows, 26032),
      {"pairs", s.train.labels.size(), s.train.before_limit}};
  return data_title("MNIST-SVHN", counts);
}

inline DigitPairSource load_digit_pairs(const Options& o, int repeats) {
  DigitPairSource s;
  const auto pair = [&](poe::Digits written, poe::Digits house, std::uint32_t stream) {
    return detail::make_pairs(std::move(written), std::move(house), repeats, o.limit, stream);
  };
  if (o.data.empty()) {
    constexpr int train = 4000, held_out = 1000;
    fmt::print(
        "*** No --data: training on PROCEDURAL digits drawn by this program, not on MNIST and "
        "SVHN.\n*** Figures below say nothing about the paper.\n");
    s.train =
        pair(poe::make_digits(train, {1, 1, 0}), poe::make_street_digits(train, {1, 3, 0}), 5);
    s.test = pair(poe::make_digits(held_out, {1, 2, 0}),
                  poe::make_street_digits(held_out, {1, 4, 0}), 6);
    s.name = "procedural";
    s.title = "procedural digits (not MNIST-SVHN)";
  } else {
    poe::MnistFiles mnist = poe::load_mnist(o.data);
    poe::SvhnFiles svhn = poe::load_svhn(o.data);
    fmt::print("data: {}, {} + {} digits; {}, {} + {} digits\n", mnist.train.source,
               mnist.train.rows, mnist.test.rows, svhn.train.source, svhn.train.rows,
               svhn.test.rows);
    s.train = pair(std::move(mnist.train), std::move(svhn.train), 5);
    s.test = pair(std::move(mnist.test), std::move(svhn.test), 6);
    s.name = "mnist-svhn";
    s.title = digit_pairs_title(s);
  }
  fmt::print("pairs: {} for training, {} for tests\n", s.train.labels.size(), s.test.labels.size());
  return s;
}

}  // namespace examples
