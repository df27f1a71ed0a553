// SPDX-License-Identifier: MIT
// SafetensorsFile: a file that it takes can be written again, and reads back the same.
#include "fuzz.hpp"

#include <poe/io/safetensors.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

namespace {
using namespace poe;

/// The data of every tensor by its name; nothing if one has a type that poe lists but cannot read.
std::optional<std::map<std::string, std::vector<std::byte>>> data_of(const SafetensorsFile& file) {
  std::map<std::string, std::vector<std::byte>> data;
  const auto read = [&]<class T>(const TensorEntry& entry, T) {
    const std::vector<T> values = file.read<T>(entry.name);
    const auto bytes = std::as_bytes(std::span(values));
    data[entry.name] = {bytes.begin(), bytes.end()};
  };
  for (const TensorEntry& entry : file.entries()) {
    switch (entry.dtype) {
      case DType::U8:
        read(entry, std::uint8_t{});
        break;
      case DType::I32:
        read(entry, std::int32_t{});
        break;
      case DType::I64:
        read(entry, std::int64_t{});
        break;
      case DType::F32:
        read(entry, float{});
        break;
      case DType::F64:
        read(entry, double{});
        break;
      default:
        return std::nullopt;
    }
  }
  return data;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = fuzz::attempt(fuzz::file_of({data, size}), SafetensorsFile::open);
  if (!file) return 0;
  std::uint64_t header = 0;
  std::memcpy(&header, data, sizeof(header));
  std::uint64_t end = sizeof(header) + header;
  for (const TensorEntry& entry : file->entries()) {
    fuzz::require(file->contains(entry.name) && file->entry(entry.name) == entry,
                  "every tensor that is listed is there");
    end += byte_count(entry).value();
  }
  fuzz::require(end == size, "header and tensors are the whole file");

  const auto values = data_of(*file);
  if (!values) return 0;
  const fuzz::Scratch scratch;
  write_safetensors(
      scratch.path, file->entries(), file->metadata(),
      [&](const TensorEntry& entry, FileWriter& writer) { writer.write(values->at(entry.name)); });
  const SafetensorsFile again = SafetensorsFile::open(scratch.path);
  // Empty tensors have no place of their own, so that the order may be another one.
  fuzz::require(std::ranges::is_permutation(again.entries(), file->entries()),
                "names, types and shapes come back");
  fuzz::require(again.metadata() == file->metadata(), "metadata come back");
  fuzz::require(data_of(again) == values, "values come back");
  return 0;
}
