// SPDX-License-Identifier: MIT
// tiny_data DIR: a few procedural samples as files in the formats in which MNIST, SVHN and
// CUB-Captions are published, and classifiers that have learnt nothing: for tests of the programs
// that read those.
#include <poe/core/random.hpp>
#include <poe/data/digits.hpp>
#include <poe/data/shapes.hpp>
#include <poe/data/street_digits.hpp>
#include <poe/io/atomic_file.hpp>
#include <poe/io/safetensors.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

std::string text_of(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

std::string word(std::uint32_t n, bool big_endian) {
  std::string bytes;
  for (int i = 0; i < 4; ++i)
    bytes += static_cast<char>(n >> (big_endian ? 24 - 8 * i : 8 * i) & 0xff);
  return bytes;
}

// --- MNIST: IDX ----------------------------------------------------------------------------------

std::string idx(const std::vector<std::uint32_t>& extents, const Bytes& values) {
  std::string bytes{0, 0, 8, static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents) bytes += word(extent, true);
  return bytes + text_of(values);
}

void write_mnist(const fs::path& dir, const std::string& part, const poe::Digits& digits) {
  const auto rows = static_cast<std::uint32_t>(digits.rows);
  poe::write_file_atomically(dir / (part + "-images-idx3-ubyte"),
                             idx({rows, 28, 28}, digits.pixels));
  poe::write_file_atomically(dir / (part + "-labels-idx1-ubyte"), idx({rows}, digits.labels));
}

// --- SVHN: MATLAB 5, not compressed
// ----------------------------------------------------------------

/// A part of a matrix, filled up to eight bytes.
std::string mat_part(std::uint32_t type, std::string data) {
  const std::string tag = word(type, false) + word(static_cast<std::uint32_t>(data.size()), false);
  data.resize((data.size() + 7) / 8 * 8);
  return tag + data;
}

std::string mat_matrix(const std::string& name, const std::vector<std::uint32_t>& extents,
                       const Bytes& values) {
  constexpr std::uint32_t int8 = 1, uint8 = 2, int32 = 5, uint32 = 6, matrix = 14, u8_class = 9;
  std::string sizes;
  for (const std::uint32_t extent : extents) sizes += word(extent, false);
  return mat_part(matrix, mat_part(uint32, word(u8_class, false) + word(0, false)) +
                              mat_part(int32, sizes) + mat_part(int8, name) +
                              mat_part(uint8, text_of(values)));
}

/// Channels last become MATLAB's order, the row fastest; the digit 0 has the label 10.
void write_svhn(const fs::path& path, const poe::Digits& digits) {
  constexpr std::size_t side = 32, channels = 3, image = side * side * channels;
  Bytes x(digits.pixels.size()), y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t n = i / image, c = i % channels, w = i / channels % side,
                      h = i % image / (channels * side);
    x[((n * channels + c) * side + w) * side + h] = digits.pixels[i];
  }
  for (const std::uint8_t label : digits.labels) y.push_back(label == 0 ? std::uint8_t{10} : label);
  const auto rows = static_cast<std::uint32_t>(digits.rows);
  std::string header = "MATLAB 5.0 MAT-file";
  header.resize(124, ' ');
  header += std::string{0, 1, 'I', 'M'};
  poe::write_file_atomically(
      path, header + mat_matrix("X", {32, 32, 3, rows}, x) + mat_matrix("y", {rows, 1}, y));
}

// --- CUB-Captions: a table of captions, features and pictures as .npy
// ---------------------------------

std::string npy(const std::string& type, const std::string& shape,
                std::span<const std::byte> values) {
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, shape);
  header.resize(117, ' ');
  return std::string("\x93NUMPY\x01\0\x76\0", 10) + header + "\n" +
         std::string(reinterpret_cast<const char*>(values.data()), values.size());
}

/// Two classes for training and one for tests. The first image has no features, the last of the
/// first class no captions.
void write_cub(const fs::path& dir) {
  constexpr std::size_t images = 60, per_class = 20;
  const poe::ShapeSet set = poe::make_shapes(images, {5, 0, 0});
  std::string keys, captions;
  for (std::size_t i = 0; i < images; ++i) {
    const std::string key = fmt::format("00{}.Shape/{:04}", i / per_class + 1, i);
    if (i > 0) keys += key + "\n";
    if (i + 1 == per_class) continue;
    for (int n = 0; n < set.captions_per_image; ++n)
      fmt::format_to(std::back_inserter(captions), "{}\t{}\t{}\t{}\t{}\t{}\n", i + 1, key,
                     i < 2 * per_class ? "trainval" : "test", i > 0 ? 1 : 0, n,
                     set.captions[i * static_cast<std::size_t>(set.captions_per_image) +
                                  static_cast<std::size_t>(n)]);
  }
  const auto features = std::as_bytes(std::span(set.features).subspan(poe::shape_features));
  const auto pixels = std::as_bytes(std::span(set.pixels).subspan(set.pixels.size() / images));
  poe::write_file_atomically(dir / "captions.tsv", captions);
  poe::write_file_atomically(dir / "image_keys.txt", keys);
  poe::write_file_atomically(
      dir / "image_features.npy",
      npy("<f4", fmt::format("{}, {}", images - 1, poe::shape_features), features));
  poe::write_file_atomically(dir / "images64.npy",
                             npy("|u1", fmt::format("{}, 64, 64, 3", images - 1), pixels));
}

// --- classifiers: PyTorch's names and shapes, random weights
// ------------------------------------------

void write_classifier(const fs::path& path, int channels, int flat, std::uint32_t stream) {
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> tensors{
      {"conv1.weight", {10, channels, 5, 5}},
      {"conv1.bias", {10}},
      {"conv2.weight", {20, 10, 5, 5}},
      {"conv2.bias", {20}},
      {"fc1.weight", {50, flat}},
      {"fc1.bias", {50}},
      {"fc2.weight", {10, 50}},
      {"fc2.bias", {10}}};
  std::vector<float> noise(static_cast<std::size_t>(50 * flat));
  poe::fill_normal<float>({5, stream, 0}, 0, noise);
  std::vector<poe::TensorView> views;
  for (const auto& [name, shape] : tensors) {
    std::size_t size = 1;
    for (const std::int64_t extent : shape) size *= static_cast<std::size_t>(extent);
    views.push_back(poe::tensor_view(name, shape, std::span(noise).first(size)));
  }
  poe::write_safetensors(path, views);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    poe::expect(argc == 2, "usage: tiny_data DIR");
    const fs::path dir = argv[1];
    for (const char* name : {"mnist", "svhn", "cub", "classifiers"})
      fs::create_directories(dir / name);
    write_mnist(dir / "mnist", "train", poe::make_digits(60, {5, 1, 0}));
    write_mnist(dir / "mnist", "t10k", poe::make_digits(40, {5, 2, 0}));
    // Few: the classifier of SVHN is trained in so many steps, however few there are.
    write_svhn(dir / "svhn" / "train_32x32.mat", poe::make_street_digits(20, {5, 3, 0}));
    write_svhn(dir / "svhn" / "test_32x32.mat", poe::make_street_digits(20, {5, 4, 0}));
    write_cub(dir / "cub");
    write_classifier(dir / "classifiers" / "mnist_classifier.safetensors", 1, 320, 6);
    write_classifier(dir / "classifiers" / "svhn_classifier.safetensors", 3, 500, 7);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
