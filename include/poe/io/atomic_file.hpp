// SPDX-License-Identifier: MIT
// Files that are written: either the whole new content appears under the name, or nothing changes.
#pragma once

#include "poe/core/error.hpp"
#include "poe/io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace poe {

/// The sink that write_file_atomically() hands to its callback. Not buffered: write large pieces.
class FileWriter {
 public:
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      check(n >= 0, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      written_ += static_cast<std::uint64_t>(n);
    }
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Bytes written so far.
  std::uint64_t written() const { return written_; }

 private:
  template <std::invocable<FileWriter&> Fill>
  friend void write_file_atomically(const std::filesystem::path& path, Fill&& fill);

  explicit FileWriter(const std::filesystem::path& path)
      : path_(path.string()), target_(path), fd_(-1) {}

  /// Opens a temporary file in the directory of the target, where rename(2) replaces in one step.
  void begin() {
    struct stat old {};
    const bool replaces = ::stat(target_.c_str(), &old) == 0;
    if (replaces && !S_ISREG(old.st_mode))
      fail("cannot write '{}': expected a regular file, got a directory or a device", path_);
    // A symbolic link stays one: the file that it names is replaced.
    std::error_code unresolved;
    if (auto real = std::filesystem::canonical(target_, unresolved); !unresolved) target_ = real;

    static std::atomic<unsigned> counter = 0;
    do {
      temporary_ = target_.parent_path() / fmt::format(".poe-{}-{}.tmp", ::getpid(), counter++);
      fd_ = detail::Descriptor(
          ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    } while (!fd_.valid() && errno == EEXIST);
    if (!fd_.valid()) temporary_.clear();
    check(fd_.valid(), "create a temporary file");
    if (replaces) check(::fchmod(fd_.get(), old.st_mode & 07777) == 0, "set permissions");
  }

  /// Makes the content durable and gives it its name.
  void commit() {
    check(::fsync(fd_.get()) == 0, "fsync");
    check(fd_.close() == 0, "close");
    check(::rename(temporary_.c_str(), target_.c_str()) == 0, "rename");
    temporary_.clear();
    // The name itself becomes durable with its directory. The file is complete either way, and some
    // file systems refuse this call, so its result does not count.
    const auto directory = target_.has_parent_path() ? target_.parent_path() : ".";
    const detail::Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.valid()) (void)::fsync(fd.get());
  }

  void check(bool ok, std::string_view step) const {
    if (!ok) fail("cannot write '{}' ({}): {}", path_, step, detail::errno_text(errno));
  }

  std::string path_;  // as the caller spelled it, for messages
  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty when there is none to remove
  detail::Descriptor fd_;
  std::uint64_t written_ = 0;
};

/// Writes a file through `fill(FileWriter&)`: to a temporary name in the same directory, then fsync
/// and rename. When anything fails (also when `fill` throws) the temporary is removed and the old
/// file, if there was one, is untouched; a failure of the system is an Error with the path and its
/// text. A file that is replaced keeps its permissions.
template <std::invocable<FileWriter&> Fill>
void write_file_atomically(const std::filesystem::path& path, Fill&& fill) {
  FileWriter writer(path);
  writer.begin();
  std::forward<Fill>(fill)(writer);
  writer.commit();
}

/// Writes a file that is in memory.
inline void write_file_atomically(const std::filesystem::path& path,
                                  std::span<const std::byte> bytes) {
  write_file_atomically(path, [&](FileWriter& writer) { writer.write(bytes); });
}
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace poe
