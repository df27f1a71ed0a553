// SPDX-License-Identifier: MIT
// Compares models: trains each at several supervision levels with several seeds, and shows means,
// deviations and figures on one page.
#include <CLI/CLI.hpp>

#include "compare/markdown.hpp"
#include "compare/page.hpp"
#include "compare/sweep.hpp"
#include "support/numbers.hpp"
#include "support/parse_error.hpp"

namespace {
using namespace compare;

constexpr const char* description = R"(Compares models over supervision levels and seeds

Trains every model at every supervision level with every seed, and writes to --out
  index.html   the comparison: figures, tables, pictures, and how to repeat it
  results.csv  mean and standard deviation over the seeds
  results.md   the tables of the page as Markdown
  runs.csv     the test figures of every run
  figures/     the figures as SVG and PNG
  MODEL/SUPERVISION/SEED  each run, and beside it what it printed (.log); in --runs, if it is named
What follows -- is given to every run. The same command goes on after an interruption and repeats
no run that has finished.)";

/// Where this program lies.
std::filesystem::path own_directory() {
  return std::filesystem::canonical("/proc/self/exe").parent_path();
}

/// Writes tables, figures and page from the runs that have finished.
void publish(const Plan& plan, const std::string& command) {
  const Table table = tabulate(plan);
  const auto figures = figures_of(plan, table);
  std::filesystem::create_directories(plan.out / "figures");
  for (const Figure& figure : figures) {
    const std::string name = file_name(figure.chart);
    poe::write_file_atomically(plan.out / "figures" / (name + ".svg"), figure.drawing.svg);
    poe::write_file_atomically(plan.out / "figures" / (name + ".png"), figure.drawing.png);
  }
  poe::write_file_atomically(plan.out / "results.csv", results_csv(plan, table));
  poe::write_file_atomically(plan.out / "results.md", results_markdown(plan, figures));
  poe::write_file_atomically(plan.out / "runs.csv", runs_csv(plan, table));
  poe::write_file_atomically(plan.out / "index.html", page(plan, table, figures, command));
}

/// The trainer of this name: here, on PATH, or beside this program, where it was built.
std::filesystem::path find_program(const std::filesystem::path& named) {
  const auto runs = [](const std::filesystem::path& file) {
    std::error_code error;
    return std::filesystem::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0;
  };
  if (runs(named) || named.has_parent_path()) return named;
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (!folder.empty() && runs(folder / named)) return folder / named;
  const auto beside = own_directory() / named;
  return runs(beside) ? beside : named;
}

/// Makes what is missing. -> the exit status
int run(Plan& plan, std::size_t jobs, const std::string& command) {
  plan.program = find_program(plan.program);
  if (::access(plan.program.c_str(), X_OK) != 0)
    poe::fail("--program: '{}' cannot be run: {}", plan.program.string(),
              poe::detail::errno_text(errno));
  list_runs(plan);
  (void)lock_directory(plan.out);  // until the program ends
  if (plan.store != plan.out) (void)lock_directory(plan.store);
  inspect_runs(plan);
  fmt::print("{}: {} finished, {} to go on, {} to begin\n", plural(plan.runs.size(), "run"),
             plan.count(State::finished), plan.count(State::interrupted),
             plan.count(State::waiting));
  publish(plan, command);
  poe::Stopwatch since;
  const bool complete = sweep(plan, jobs, [&] {  // who watches a long sweep sees it grow
    if (since.seconds() < 30) return;
    publish(plan, command);
    since = {};
  });
  publish(plan, command);
  if (!complete) {
    fmt::print("interrupted with {} of {} finished; the same command goes on\n",
               plan.count(State::finished), plural(plan.runs.size(), "run"));
    return interrupted_status;
  }
  fmt::print("wrote {}\n", (plan.out / "index.html").string());
  const std::size_t missing = plan.runs.size() - plan.count(State::finished);
  if (missing > 0) fmt::print("missing: {} of {}\n", missing, plural(plan.runs.size(), "run"));
  return missing > 0 ? 1 : 0;
}

/// Everything before "--" is ours.
int compare_models(int argc, char** argv) {
  const std::vector<std::string> words(argv, argv + argc);
  const auto end = std::find(words.begin(), words.end(), "--");
  Plan plan{.program = own_directory() / "mnist_split",
            .out = "runs/comparison",
            .models = {"svae", "vaevae"},
            .levels = {1, 0.1, 0.01},
            .seeds = {1, 2, 3}};
  if (end != words.end()) plan.options.assign(end + 1, words.end());
  std::size_t jobs = 1;
  std::vector<std::string> own;
  std::filesystem::path against;

  CLI::App app(description);
  app.footer("example: compare --models svae,vaevae --out runs/sweep -- --data data/mnist");
  app.add_option(
      "--program", plan.program,
      "the trainer: a path, or a name on PATH or beside this program; mnist_split unless "
      "it is named");
  app.add_option("--models", plan.models, "what its --model takes")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--supervision", plan.levels, "shares of the samples that are paired, in (0, 1]")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seeds", plan.seeds,
                 "every model is trained once with each; means are over them")
      ->delimiter(',')
      ->check(examples::not_negative)
      ->capture_default_str();
  app.add_option("--for", own,
                 "options of one model's runs, as in 'mmvae=--lr 1e-3'; with --model among them, "
                 "the name is yours");
  app.add_option("--out", plan.out, "directory of the results")->capture_default_str();
  app.add_option("--runs", plan.store,
                 "directory of the runs where comparisons share them; --out unless it is named");
  app.add_option("--title", plan.title, "of the page");
  app.add_option("--against", against,
                 "published figures to show beside ours, as JSON: {\"title\": \"Table 1\", "
                 "\"figures\": {\"svae\": {\"1\": {\"accuracy_top\": 0.872}}}}");
  app.add_option("--jobs", jobs,
                 "runs at a time, once one has finished; share the cores with "
                 "-- --threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.set_version_flag("--version", poe::version);
  try {
    app.parse(static_cast<int>(end - words.begin()), argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);
    const bool is_extra = dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr;
    poe::fail("{} ({}--help lists the options)", examples::what_is_wrong(app, e),
              is_extra ? "options of the runs stand after --; " : "");
  }
  for (const std::string& options : own) add_own_options(plan, options);
  if (plan.store.empty()) plan.store = plan.out;
  if (!against.empty()) plan.published = read_published(against);
  return run(plan, jobs, shell_text(words));
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // whole lines at once, also into a file
  try {
    return compare_models(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 2;
  }
}
