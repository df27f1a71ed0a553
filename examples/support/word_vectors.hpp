// SPDX-License-Identifier: MIT
// Word vectors that fastText learns from the training captions.
#pragma once

#include <poe/core/error.hpp>

#include <fasttext/fasttext.h>
#include <fmt/core.h>

#include <cstddef>
#include <cstdio>
#include <exception>
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
inline NamelessFile write_captions(std::span<const std::vector<std::string>> captions) {
  NamelessFile file(std::tmpfile());
  poe::expect(file != nullptr, "word vectors: cannot create a temporary file");
  std::string line;
  bool written = true;
  for (const auto& tokens : captions) {
    line.clear();
    for (const std::string& token : tokens) line.append(token).push_back(' ');
    line.push_back('\n');
    written = written && std::fwrite(line.data(), 1, line.size(), file.get()) == line.size();
  }
  written = written && std::fflush(file.get()) == 0;
  poe::expect(written, "word vectors: cannot write the captions into a temporary file");
  std::rewind(file.get());
  return file;
}

}  // namespace detail

/// Learns from tokenised captions. -> (words, dimension): the vectors of `words`, which may include
/// some that no caption holds: theirs are those of their character n-grams. One thread, so that the
/// same captions, options and seed give the same numbers.
inline std::vector<float> learn_word_vectors(std::span<const std::vector<std::string>> captions,
                                             std::span<const std::string> words,
                                             const WordVectorOptions& options = {}) {
  const detail::NamelessFile file = detail::write_captions(captions);
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

}  // namespace examples
