// SPDX-License-Identifier: MIT
// Atomic files and JSON logs: whole or not at all, and every bit of a number.
#include "files.hpp"

#include "poe/core/random.hpp"
#include "poe/io/atomic_file.hpp"
#include "poe/io/jsonl.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using poe::Json;
using poe::test::contains, poe::test::Directory, poe::test::error_of;

/// Lets no file grow beyond `bytes`: writing further fails as it does on a full disk.
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old);
    const rlimit limit{bytes, old.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler = ::signal(SIGXFSZ, SIG_IGN);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old);
    ::signal(SIGXFSZ, handler);
  }
  rlimit old{};
  void (*handler)(int) = nullptr;
};

}  // namespace

TEST_CASE("a file appears whole or not at all") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "one");
  CHECK(poe::read_file(dir / "a") == "one");
  poe::write_file_atomically(dir / "a", std::string(100'000, 'x'));
  CHECK(poe::read_file(dir / "a") == std::string(100'000, 'x'));
  poe::write_file_atomically(dir / "a", "");
  CHECK(poe::read_file(dir / "a").empty());
  poe::write_file_atomically(dir / "a", [](poe::FileWriter& writer) {
    writer.write("two ");
    CHECK(writer.written() == 4);
    writer.write("pieces");
  });
  CHECK(poe::read_file(dir / "a") == "two pieces");
  CHECK(dir.count() == 1);
}

TEST_CASE("while a file is written, its readers see the old one") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "old");
  poe::write_file_atomically(dir / "a", [&](poe::FileWriter& writer) {
    writer.write("new");
    CHECK(poe::read_file(dir / "a") == "old");
    CHECK(dir.count() == 2);
  });
  CHECK(poe::read_file(dir / "a") == "new");
}

TEST_CASE("a failed write leaves the old file and nothing else") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "old");
  SECTION("the callback throws") {
    const auto fill = [](poe::FileWriter& writer) {
      writer.write("half");
      throw std::logic_error("mine");
    };
    CHECK_THROWS_AS(poe::write_file_atomically(dir / "a", fill), std::logic_error);
  }
  SECTION("the disk is full") {
    const FileSizeLimit limit(100);
    const std::string message =
        error_of([&] { poe::write_file_atomically(dir / "a", std::string(101, 'x')); });
    CHECK(contains(message, (dir / "a").string()));
    CHECK(contains(message, "File too large"));
  }
  CHECK(poe::read_file(dir / "a") == "old");
  CHECK(dir.count() == 1);
}

TEST_CASE("a place that cannot be written is named") {
  const Directory dir;
  poe::write_file_atomically(dir / "a", "old");
  const auto failure = [](const fs::path& path) {
    const std::string message = error_of([&] { poe::write_file_atomically(path, "new"); });
    CHECK(contains(message, path.string()));
    return message;
  };
  CHECK(contains(failure(dir / "absent/b"), "No such file or directory"));
  CHECK(contains(failure(dir / "a/b"), "Not a directory"));
  CHECK(contains(failure(dir.path), "expected a regular file"));
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK(contains(failure(dir / "pipe"), "expected a regular file"));
  CHECK(fs::is_fifo(dir / "pipe"));
  CHECK(contains(failure(""), "No such file or directory"));
  if (::geteuid() != 0) {  // root may write everywhere
    fs::permissions(dir.path, fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(contains(failure(dir / "a"), "Permission denied"));
    fs::permissions(dir.path, fs::perms::owner_all);
  }
  CHECK(poe::read_file(dir / "a") == "old");
  CHECK(dir.count() == 2);
}

TEST_CASE("a replaced file keeps its permissions, and a link stays a link") {
  const Directory dir;
  const mode_t mask = ::umask(027);
  poe::write_file_atomically(dir / "new", "1");
  ::umask(mask);
  CHECK(fs::status(dir / "new").permissions() == fs::perms(0640));
  fs::permissions(dir / "new", fs::perms(0604));
  fs::create_symlink("new", dir / "link");
  poe::write_file_atomically(dir / "link", "2");
  CHECK(fs::is_symlink(dir / "link"));
  CHECK(poe::read_file(dir / "new") == "2");
  CHECK(fs::status(dir / "new").permissions() == fs::perms(0604));
  CHECK(dir.count() == 2);
}

TEST_CASE("a path without a directory is in the current one") {
  const Directory dir;
  const fs::path before = fs::current_path();
  fs::current_path(dir.path);
  poe::write_file_atomically("plain", "1");
  fs::current_path(before);
  CHECK(poe::read_file(dir / "plain") == "1");
}

TEST_CASE("JSON is written for people, and read back") {
  const Directory dir;
  poe::write_json(dir / "a", {{"z", 1}, {"a", {1.5, true}}});
  CHECK(poe::read_file(dir / "a") == "{\n  \"z\": 1,\n  \"a\": [\n    1.5,\n    true\n  ]\n}\n");
  CHECK(poe::read_json(dir / "a")["a"][0] == 1.5);
  for (const char* bad : {"{\"a\": }", "", "[1e999]", "{} {}"}) {
    poe::write_file_atomically(dir / "a", bad);
    CHECK(contains(error_of([&] { poe::read_json(dir / "a"); }), (dir / "a").string()));
  }
}

TEST_CASE("numbers keep every bit, and what JSON lacks becomes null") {
  CHECK(poe::to_text(0.1) == "0.1");
  CHECK(poe::to_text(1.0) == "1.0");
  CHECK(poe::to_text(1e300) == "1e+300");
  CHECK(poe::to_text(5e-324) == "5e-324");
  CHECK(poe::to_text({{"a", NAN}, {"b", -INFINITY}, {"s", "\xff"}}) ==
        "{\"a\":null,\"b\":null,\"s\":\"\xef\xbf\xbd\"}");
  const poe::Random random{.seed = 7};
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const auto x =
        std::bit_cast<double>(std::uint64_t{random.bits(2 * i)} << 32 | random.bits(2 * i + 1));
    if (!std::isfinite(x)) continue;
    const std::string text = poe::to_text(x);
    REQUIRE(std::bit_cast<std::uint64_t>(std::strtod(text.c_str(), nullptr)) ==
            std::bit_cast<std::uint64_t>(x));
    REQUIRE(text.size() <= 24);
  }
}

TEST_CASE("a log grows by whole lines") {
  const Directory dir;
  poe::append_json_line(dir / "log", {{"epoch", 1}, {"loss", 2.5}});
  poe::append_json_line(dir / "log", {{"epoch", 2}, {"text", "a\nb"}});
  CHECK(poe::read_file(dir / "log") ==
        "{\"epoch\":1,\"loss\":2.5}\n{\"epoch\":2,\"text\":\"a\\nb\"}\n");
  const auto lines = poe::read_json_lines(dir / "log");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["text"] == "a\nb");

  const std::string before = poe::read_file(dir / "log");
  {
    const FileSizeLimit limit(before.size() + 5);
    CHECK(contains(error_of([&] {
                     poe::append_json_line(dir / "log", {{"epoch", 3}});
                   }),
                   (dir / "log").string()));
  }
  CHECK(poe::read_file(dir / "log") == before);

  poe::write_file_atomically(dir / "log", before + "{\"epo");
  CHECK(contains(error_of([&] {
                   poe::append_json_line(dir / "log", {{"epoch", 3}});
                 }),
                 "expected a whole last line"));
  CHECK(poe::read_json_lines(dir / "log").size() == 2);
  CHECK(contains(error_of([&] { poe::append_json_line(dir.path, {}); }), "directory"));
  CHECK(contains(error_of([&] { poe::read_json_lines(dir / "absent"); }), "No such file"));
}

TEST_CASE("a log goes back to an epoch") {
  const Directory dir;
  const std::string start = "{\"config\":{\"epoch\":9}}\n", one = "{\"epoch\":1}\n",
                    note = "{\"note\":1}\n", two = "{\"epoch\":2}\n", three = "{\"epoch\":3}\n";
  const auto resume = [&](const std::string& text, int last) {
    poe::write_file_atomically(dir / "log", text);
    const std::size_t lines = poe::resume_json_lines(dir / "log", "epoch", last);
    const std::string rest = poe::read_file(dir / "log");
    CHECK(lines == static_cast<std::size_t>(std::count(rest.begin(), rest.end(), '\n')));
    return rest;
  };
  const std::string log = start + one + note + two + note + three + note;
  CHECK(resume(log, 3) == log);
  CHECK(resume(log, 2) == start + one + note + two + note);
  CHECK(resume(log, 1) == start + one + note);
  CHECK(resume(log, 0) == start);
  CHECK(resume(one + "{\"epoch\":2}", 2) == one);
  CHECK(resume(one + "garbage", 2) == one);
  CHECK(resume(one + two + "{\"ep", 1) == one);
  CHECK(resume("", 1).empty());
  CHECK(poe::resume_json_lines(dir / "absent", "epoch", 1) == 0);
  CHECK_FALSE(fs::exists(dir / "absent"));

  for (const char* bad : {"{\"epoch\":\n", "[1]\n", "\n", "nonsense\n"}) {
    poe::write_file_atomically(dir / "log", one + bad + two);
    CHECK(contains(error_of([&] { poe::resume_json_lines(dir / "log", "epoch", 1); }),
                   "line 2 (byte 12)"));
    CHECK(poe::read_file(dir / "log") == one + bad + two);
  }
}
