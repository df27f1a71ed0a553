// SPDX-License-Identifier: MIT
// The parameters of a model as a safetensors file in PyTorch's names, shapes and order of elements.
#pragma once

#include <poe/io/safetensors.hpp>
#include <poe/nn/parameter.hpp>

namespace poe {

/// A flat buffer in a file: its tensors are `prefix` + the names of `infos`.
template <class T>
struct WeightSection {
  std::string prefix;
  const std::vector<ParameterInfo>* infos;
  T* flat;
};

namespace detail {

inline std::vector<std::int64_t> file_shape(const ParameterInfo& info) {
  return {info.shape.begin(), info.shape.end()};
}

}  // namespace detail

/// Writes the sections one after the other, atomically. Equal numbers give equal bytes.
template <class T>
void save_weights(const std::filesystem::path& path, std::span<const WeightSection<T>> sections,
                  const Metadata& metadata = {}) {
  std::vector<TensorEntry> entries;
  std::vector<std::pair<const WeightSection<T>*, const ParameterInfo*>> sources;
  for (const WeightSection<T>& s : sections)
    for (const ParameterInfo& info : *s.infos) {
      entries.push_back(
          {s.prefix + info.name, detail::file_shape(info), dtype_of<std::remove_const_t<T>>});
      sources.emplace_back(&s, &info);
    }
  std::size_t next = 0;
  write_safetensors(path, entries, metadata, [&](const TensorEntry&, FileWriter& writer) {
    const auto [section, info] = sources[next++];
    const auto values = to_file_order(*info, section->flat);
    writer.write(std::as_bytes(std::span(values)));
  });
}

/// Fills the sections from a file. Fails, before anything is changed, if a tensor is missing or has
/// another shape or type, naming it; and if the file holds a tensor that no section names: the
/// weights of another model are never taken for this one's. Only tensors whose names begin with
/// `ignored` may be there besides.
template <class T>
void load_weights(const SafetensorsFile& file, const std::string& path,
                  std::span<const WeightSection<T>> sections, std::string_view ignored = {}) {
  for (const WeightSection<T>& s : sections)
    for (const ParameterInfo& info : *s.infos) {
      const std::string name = s.prefix + info.name;
      const TensorEntry expected{name, detail::file_shape(info), dtype_of<T>};
      expect(file.contains(name),
             "'{}': expected tensor '{}', {}, which is not in the file: weights of another model?",
             path, name, describe(expected));
      expect(file.entry(name) == expected, "{}: expected {}, got {}", file.place(name),
             describe(expected), describe(file.entry(name)));
    }
  for (const TensorEntry& entry : file.entries()) {
    bool known = !ignored.empty() && entry.name.starts_with(ignored);
    for (const WeightSection<T>& s : sections)
      for (const ParameterInfo& info : *s.infos)
        known = known || entry.name == s.prefix + info.name;
    expect(known, "{} belongs to no part of this model: weights of another model?",
           file.place(entry.name));
  }
  for (const WeightSection<T>& s : sections)
    for (const ParameterInfo& info : *s.infos) {
      const std::vector<T> values = file.read<T>(s.prefix + info.name);
      from_file_order<T>(info, values, s.flat);
    }
}

}  // namespace poe
