// SPDX-License-Identifier: MIT
// Logs and reports in JSON: what is read of a log, and what taking it back leaves of it.
#include "fuzz.hpp"

#include <poe/io/jsonl.hpp>

#include <vector>

namespace {
using namespace poe;

/// Takes the log back to `last`, then goes on with it.
void resume(const std::string& log, std::int64_t last) {
  const fuzz::Scratch scratch;
  const std::filesystem::path& path = scratch.path;
  std::ofstream(path, std::ios::binary) << log;
  const auto take_back = [&](const auto& file) { return resume_json_lines(file, "step", last); };

  const auto count = fuzz::attempt(path, take_back);
  const std::string kept = fuzz::content(path);
  if (!count) {
    fuzz::require(kept == log, "a log that is refused is left alone");
    return;
  }
  fuzz::require(log.starts_with(kept), "what is kept is the front of the log");
  const std::vector<Json> lines = read_json_lines(path);
  fuzz::require(lines.size() == *count, "as many lines remain as are counted");
  for (const Json& line : lines)
    if (const auto step = line.find("step"); step != line.end() && step->is_number())
      fuzz::require(step->get<double>() <= static_cast<double>(last),  // which is small and exact
                    "no line remains that is later");
  fuzz::require(take_back(path) == *count && fuzz::content(path) == kept,
                "what was taken back once stays as it is");

  append_json_line(path, Json{{"step", last + 1}});
  fuzz::require(read_json_lines(path).size() == *count + 1, "the log goes on");
}

}  // namespace

/// The first byte is the step to which a log is taken back, the rest the log.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto path = fuzz::file_of({data + 1, size - 1});
  if (const auto value = fuzz::attempt(path, read_json)) {
    const std::string text = to_text(*value);
    fuzz::require(to_text(Json::parse(text)) == text, "a value is written as it was read");
  }
  fuzz::attempt(path, read_json_lines);
  resume({reinterpret_cast<const char*>(data + 1), size - 1}, static_cast<std::int8_t>(data[0]));
  return 0;
}
