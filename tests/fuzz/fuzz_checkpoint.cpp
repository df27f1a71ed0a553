// SPDX-License-Identifier: MIT
// load_weights() and metadata_number(): a file that is refused changes nothing.
#include "fuzz.hpp"

#include <poe/train/checkpoint.hpp>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace poe;
  // A convolution and a bias, of which the first changes its order in memory.
  static const std::vector<ParameterInfo> infos{
      {.name = "weight", .shape = {2, 1, 1, 2}, .weights = true},
      {.name = "bias", .shape = {2}, .offset = 4}};
  const std::array<float, 6> before{-1, -2, -3, -4, -5, -6};
  auto values = before;
  const std::vector<WeightSection<float>> sections{{"layer.", &infos, values.data()}};

  const auto path = fuzz::file_of({data, size});
  const auto found = fuzz::attempt(path, [&](const std::filesystem::path&) {
    const auto file = SafetensorsFile::open(path);
    metadata_number<long>(file.metadata(), path.string(), "step");
    metadata_number<double>(file.metadata(), path.string(), "beta");
    load_weights<float>(file, path.string(), sections, "optimizer.");
    return std::pair(file.entry("layer.weight"), file.read<float>("layer.weight"));
  });
  const auto bits = [](const auto& numbers) { return std::as_bytes(std::span(numbers)); };
  if (!found) {
    fuzz::require(std::ranges::equal(bits(values), bits(before)), "an Error changes nothing");
    return 0;
  }
  const auto& [entry, file] = *found;
  fuzz::require(entry.shape == std::vector<std::int64_t>{2, 1, 1, 2}, "no other shape is taken");
  // (out, in, 1, taps) in the file is (taps, in, out) in memory.
  const std::array<float, 4> expected{file[0], file[2], file[1], file[3]};
  fuzz::require(std::ranges::equal(bits(expected), bits(values).first(sizeof(expected))),
                "the weights are those of the file");
  return 0;
}
