// SPDX-License-Identifier: MIT
// Word vectors that fastText learns from the training captions, and the file that keeps them.
#pragma once

#include <poe/core/error.hpp>
#include <poe/eval/oracle.hpp>
#include <poe/io/safetensors.hpp>

#include <fasttext/fasttext.h>
#include <fmt/core.h>
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace examples {

/// The first four are the paper's. Its program used gensim, whose defaults are the rest: a
/// continuous bag of words, learning rate 0.025, words more frequent than 0.001 thinned out. Only
/// the table of character n-grams is smaller: gensim's two million rows take 2.4 GB; captions have
/// words of some ten thousand n-grams, and 50,000 rows take 60 MB.
struct WordVectorOptions {
  int dimension = 300;
  int window = 3;
  int min_count = 3;
  int epochs = 10;
  int ngram_rows = 50'000;
  int seed = 1;  ///< fastText takes 0 for 1
};

namespace detail {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// An open file that has no name, so that nothing is left behind however the program ends.
using NamelessFile = std::unique_ptr<std::FILE, CloseFile>;

/// A line per caption, tokens separated by blanks.
inline std::string lines_of(std::span<const std::vector<std::string>> captions) {
  std::string lines;
  for (const auto& tokens : captions) {
    for (const std::string& token : tokens) lines.append(token).push_back(' ');
    lines.push_back('\n');
  }
  return lines;
}

inline NamelessFile file_of(const std::string& text) {
  NamelessFile file(std::tmpfile());
  poe::expect(file != nullptr, "word vectors: cannot create a temporary file");
  const bool written = std::fwrite(text.data(), 1, text.size(), file.get()) == text.size() &&
                       std::fflush(file.get()) == 0;
  poe::expect(written, "word vectors: cannot write the captions into a temporary file");
  std::rewind(file.get());
  return file;
}

template <class Values>
std::uint32_t checksum_of(const Values& values) {
  return poe::detail::checksum(std::as_bytes(std::span(values)));
}

}  // namespace detail

/// Learns from tokenised captions. -> (words, dimension): the vectors of `words`, which may include
/// some that no caption holds: theirs are those of their character n-grams. One thread, so that the
/// same captions, options and seed give the same numbers.
inline std::vector<float> learn_word_vectors(std::span<const std::vector<std::string>> captions,
                                             std::span<const std::string> words,
                                             const WordVectorOptions& options = {}) {
  const detail::NamelessFile file = detail::file_of(detail::lines_of(captions));
  fasttext::Args args;
  args.input = fmt::format("/dev/fd/{}", ::fileno(file.get()));
  args.model = fasttext::model_name::cbow;
  args.lr = 0.025;
  args.t = 1e-3;
  args.dim = options.dimension;
  args.ws = options.window;
  args.minCount = options.min_count;
  args.epoch = options.epochs;
  args.bucket = options.ngram_rows;
  args.seed = options.seed;
  args.thread = 1;
  args.verbose = 0;
  std::vector<float> vectors;
  try {
    fasttext::FastText model;
    model.train(args);
    fasttext::Vector vector(options.dimension);
    for (const std::string& word : words) {
      model.getWordVector(vector, word);
      vectors.insert(vectors.end(), vector.data(), vector.data() + vector.size());
    }
  } catch (const std::exception& error) {
    poe::fail("word vectors: fastText cannot learn from {} captions: {}", captions.size(),
              error.what());
  }
  return vectors;
}

/// Vectors, and where they were kept.
struct KeptWordVectors {
  std::vector<float> values;   // (words, dimension)
  std::filesystem::path file;  // empty: they were learnt now
};

namespace detail {

/// The vectors of a file that was written for these settings, whole and unchanged; else an Error.
inline std::vector<float> read_word_vectors(const std::filesystem::path& path,
                                            const std::string& settings,
                                            const std::vector<std::int64_t>& shape) {
  const auto file = poe::SafetensorsFile::open(path);
  const auto check = [&](const char* key, const std::string& expected) {
    const std::string& got = poe::detail::metadata_value(file, path.string(), key);
    poe::expect(got == expected, "'{}': expected {} '{}', got '{}'", path.string(), key, expected,
                got);
  };
  check("settings", settings);
  std::vector<float> values(static_cast<std::size_t>(shape[0] * shape[1]));
  file.read("vectors", shape, std::span(values));
  check("crc32", fmt::format("{:08x}", checksum_of(values)));
  return values;
}

}  // namespace detail

/// learn_word_vectors(), or what it gave before for the same captions, words and options: the file
/// in the directory `cache` (empty: nothing is kept) is named by a checksum of them all. A file
/// that cannot be used or written is a warning, no more.
inline KeptWordVectors load_or_learn_word_vectors(
    std::span<const std::vector<std::string>> captions, std::span<const std::string> words,
    const WordVectorOptions& o, const std::filesystem::path& cache) {
  const std::string settings = fmt::format(
      "fastText: {} numbers, window {}, {} occurrences, {} epochs, {} rows of n-grams, seed {}; "
      "{} captions, CRC-32 {:08x}; {} words, CRC-32 {:08x}",
      o.dimension, o.window, o.min_count, o.epochs, o.ngram_rows, o.seed, captions.size(),
      detail::checksum_of(detail::lines_of(captions)), words.size(),
      detail::checksum_of(fmt::format("{}", fmt::join(words, "\n"))));
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(words.size()), o.dimension};
  const auto attempt = [](const char* otherwise, auto&& action) {
    try {
      action();
      return true;
    } catch (const poe::Error& error) {
      fmt::print(stderr, "warning: {}; {}\n", error.what(), otherwise);
      return false;
    }
  };
  const auto file =
      cache / fmt::format("word-vectors-{:08x}.safetensors", detail::checksum_of(settings));
  KeptWordVectors vectors{{}, file};
  if (std::error_code ignored; !cache.empty() && std::filesystem::exists(file, ignored) &&
                               attempt("the word vectors are learnt again", [&] {
                                 vectors.values = detail::read_word_vectors(file, settings, shape);
                               }))
    return vectors;
  vectors = {learn_word_vectors(captions, words, o), {}};
  if (!cache.empty())
    attempt("the word vectors are not kept", [&] {
      std::error_code error;
      std::filesystem::create_directories(cache, error);
      poe::expect(!error, "cannot create the directory '{}': {}", cache.string(), error.message());
      const poe::TensorView tensor = poe::tensor_view("vectors", shape, vectors.values);
      const auto sum = fmt::format("{:08x}", detail::checksum_of(vectors.values));
      poe::write_safetensors(file, std::span(&tensor, 1), {{"settings", settings}, {"crc32", sum}});
    });
  return vectors;
}

}  // namespace examples
