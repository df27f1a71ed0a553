// SPDX-License-Identifier: MIT
// What the fuzz targets share: a file made of the fuzzer's bytes, and what a reader may do with it.
#pragma once

#include <poe/core/error.hpp>

#include <fmt/format.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

/// libFuzzer calls it with every input. An exception that escapes is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace poe::fuzz {

/// Ends the program, whereupon the fuzzer keeps its input, unless `ok`.
inline void require(bool ok, std::string_view promise) {
  if (ok) return;
  fmt::print(stderr, "broken promise: {}\n", promise);
  std::abort();
}

/// A file in memory that holds `bytes` until the next call.
inline std::filesystem::path file_of(std::span<const std::uint8_t> bytes) {
  static const int fd = ::memfd_create("input", MFD_CLOEXEC);
  const auto size = static_cast<ssize_t>(bytes.size());
  require(::ftruncate(fd, 0) == 0 && ::pwrite(fd, bytes.data(), bytes.size(), 0) == size,
          "a file in memory holds the input");
  return fmt::format("/proc/self/fd/{}", fd);
}

/// A name for what a target writes, removed at the end; where there is /dev/shm, in memory.
struct Scratch {
  std::filesystem::path path;
  Scratch() {
    std::error_code ignored;
    const std::filesystem::path memory = "/dev/shm";
    path = is_directory(memory, ignored) ? memory : std::filesystem::temp_directory_path();
    path /= fmt::format("poe-fuzz-{}", ::getpid());  // no other fuzzer has it
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

/// A folder with the files that the input lists: "== ", the name, a line feed, the content; a line
/// feed before the next "== " belongs to neither. What no file can be called, or would lie outside
/// the folder, is passed over.
struct Folder : Scratch {
  explicit Folder(std::span<const std::uint8_t> bytes) {
    constexpr std::string_view mark = "== ";
    const auto next = fmt::format("\n{}", mark);
    std::filesystem::create_directory(path);
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    while (rest.starts_with(mark)) {
      const std::string_view file = rest.substr(0, rest.find(next));
      rest.remove_prefix(std::min(rest.size(), file.size() + 1));
      const std::string_view name = file.substr(0, file.find('\n'));
      add(name.substr(mark.size()), file.substr(std::min(file.size(), name.size() + 1)));
    }
  }

 private:
  void add(std::string_view name, std::string_view content) const {
    const auto inside = std::filesystem::path(name).lexically_normal();
    if (inside.empty() || inside.is_absolute() || *inside.begin() == ".." ||
        name.find('\0') != name.npos)
      return;
    std::error_code ignored;
    create_directories((path / inside).parent_path(), ignored);
    std::ofstream(path / inside, std::ios::binary) << content;
  }
};

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What read(path) returns; nothing when it throws an Error, which must say of which file it
/// speaks.
template <class Read>
auto attempt(const std::filesystem::path& path, Read&& read)
    -> std::optional<std::invoke_result_t<Read, const std::filesystem::path&>> {
  try {
    return read(path);
  } catch (const Error& error) {
    require(std::string_view(error.what()).find(path.string()) != std::string_view::npos,
            "an Error names the file");
    return std::nullopt;
  }
}

}  // namespace poe::fuzz
