// SPDX-License-Identifier: MIT
// The program that docs/own-data.md shows, on files as it wants them: the page's code itself is
// included.
// sanitizers: none, it is a program of the documentation over code that other tests run
#include "files.hpp"

#include <poe/poe.hpp>

#include <poe/data/npy.hpp>
#include <poe/eval/decode.hpp>
#include <poe/eval/report_figures.hpp>
#include <poe/io/atomic_file.hpp>
#include <poe/train/trainer.hpp>

#include <limits>

namespace own_data {
#define main program
#include <docs/own-data_1.cpp>
#undef main
}  // namespace own_data

namespace {

void write_npy(const std::filesystem::path& path, const std::string& shape,
               const std::vector<float>& values) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.resize(127 - 10, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size());
  file += '\0';
  file += header;
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  poe::write_file_atomically(path, file);
}

/// Photos of a bar of some height, and readings that are all this height, from -1.5 to 1.5; every
/// fourth reading of those that train was not taken.
void write_things(const std::filesystem::path& dir, int rows) {
  std::vector<float> photos, readings;
  for (int n = 0; n < rows; ++n) {
    const int height = n * 11 % 28;
    for (int i = 0; i < 28 * 28; ++i) photos.push_back(i / 28 < height ? 0.9F : 0.1F);
    const float reading = n >= rows / 10 && n % 4 == 0 ? std::numeric_limits<float>::quiet_NaN()
                                                       : static_cast<float>(height - 14) / 9;
    readings.insert(readings.end(), 12, reading);
  }
  write_npy(dir / "photos.npy", std::to_string(rows) + ", 28, 28", photos);
  write_npy(dir / "readings.npy", std::to_string(rows) + ", 12", readings);
}

int run(std::string data, std::string out, std::string epochs) {
  std::string name = "things";
  char* words[] = {name.data(), data.data(), out.data(), epochs.data(), nullptr};
  return own_data::program(4, words);
}

std::vector<double> errors_of(const std::filesystem::path& metrics) {
  std::vector<double> errors;
  std::istringstream lines(poe::read_file(metrics));
  for (std::string line; std::getline(lines, line);)
    errors.push_back(poe::Json::parse(line).at("rmse_reading"));
  return errors;
}

}  // namespace

TEST_CASE("the program of docs/own-data.md trains, goes on, and draws") {
  const poe::test::Directory dir;
  const std::filesystem::path out = dir / "out";
  write_things(dir.path, 400);
  REQUIRE(run(dir.path, out, "2") == 0);
  REQUIRE(run(dir.path, out, "12") == 0);  // goes on
  const std::vector<double> errors = errors_of(out / "metrics.jsonl");
  REQUIRE(errors.size() == 12);
  CHECK(*std::min_element(errors.begin(), errors.end()) < 0.5 * errors[0]);
  CHECK(poe::read_file(out / "photos.png").substr(1, 3) == "PNG");
  CHECK(std::filesystem::exists(out / "best.safetensors"));
}

TEST_CASE("the program of docs/own-data.md refuses files that it cannot use") {
  const poe::test::Directory dir;
  CHECK(run(dir.path, dir / "out", "1") == 2);  // none there
  write_things(dir.path, 20);
  write_npy(dir / "readings.npy", "20, 3", std::vector<float>(60));
  CHECK(run(dir.path, dir / "out", "1") == 2);
}
