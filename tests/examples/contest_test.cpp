// SPDX-License-Identifier: MIT
// examples/cells: lists of cells, the size of a model, the file of results, the order, the picture.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "examples/cells/results.h"
#include "tapeloop/autograd/files/files.h"
#include "tests/support.h"

namespace cells {
namespace {

using tapeloop::test::message_of;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Outcome outcome(double loss) { return {8, 300, loss, 1.5, 2.5}; }

TaskSettings small() { return {.length = 12, .batch = 16}; }

}  // namespace

TEST_CASE("a list of cells is split at commas outside of parentheses") {
  const std::vector<std::string> list = cells_of("lstm, gru(reset=before, layers=2),lmu(theta=T)");
  CHECK(list == std::vector<std::string>{"lstm", "gru(reset=before, layers=2)", "lmu(theta=T)"});
  CHECK(message_of([] { cells_of("lstm,,gru"); }).starts_with("cell: there is no cell ''"));
  CHECK(message_of([] { cells_of("gru(reset=before"); }).find("does not end in ')'") !=
        std::string::npos);
  for (const std::string& cell : all_cells()) CHECK(cells_of(cell).size() == 1);
}

TEST_CASE("a model has about the wanted number of parameters, the same for a seed, and learns") {
  const auto nothing = [](std::int64_t, double) {};
  for (const std::string name : {"adding", "copy", "characters"}) {
    CAPTURE(name);
    const std::unique_ptr<Task> task = make_task(name, small());
    const ContestSettings settings{.updates = 3, .parameters = 1500};
    for (const char* cell : {"lstm", "phased_lstm", "lmu(order=16, theta=T)"}) {
      CAPTURE(cell);
      const Outcome first = train(*task, cell, settings, 1, nothing);
      CHECK(std::abs(static_cast<double>(first.parameters) - 1500) < 400);
      CHECK(std::isfinite(first.loss));
      CHECK(first.mib > 0);
      CHECK(train(*task, cell, settings, 1, nothing).loss == first.loss);
      CHECK(train(*task, cell, settings, 2, nothing).loss != first.loss);
    }
  }
  CHECK(make_task("digits", small()) == nullptr);
  const std::unique_ptr<Task> adding = make_task("adding", small());
  const ContestSettings longer{.updates = 1000, .parameters = 1500, .learning_rate = 1e-2};
  CHECK(train(*adding, "lstm", longer, 1, nothing).loss < 0.6 * adding->facts().guess);
}

TEST_CASE("the file of results keeps each run, and forgets a line that was cut") {
  const std::string path = std::filesystem::temp_directory_path() / "tapeloop_contest.jsonl";
  std::filesystem::remove(path);
  {
    ResultsFile file(path);
    file.add("a, seed 0", outcome(0.1));
    file.add("a, seed 1", outcome(kNaN));
  }
  std::ofstream(path, std::ios::app) << R"({"run": "a, se)";
  {
    ResultsFile file(path);
    CHECK(file.size() == 2);
    REQUIRE(file.find("a, seed 0") != nullptr);
    CHECK(file.find("a, seed 0")->loss == 0.1);
    CHECK(file.find("a, seed 0")->hidden == 8);
    CHECK(std::isnan(file.find("a, seed 1")->loss));
    CHECK(file.find("b") == nullptr);
    file.add("b", outcome(0.3));
  }
  CHECK(ResultsFile(path).size() == 3);
  std::ofstream(path, std::ios::app) << "{}\n";
  CHECK(message_of([&] { ResultsFile file(path); }).find("line 4 is no result of a run") !=
        std::string::npos);
  std::filesystem::remove(path);
}

TEST_CASE("cells are ranked by the mean over seeds, and drawn with its deviation") {
  Ranking ranking{{.name = "copy", .title = "Copy memory", .unit = "nats", .guess = 2}, {}};
  ranking.entries = {entry_of("worse", {outcome(0.5), outcome(0.7)}),
                     entry_of("never", {outcome(kNaN), outcome(kNaN)}),
                     entry_of("better", {outcome(0.2), outcome(kNaN)})};
  CHECK(ranking.entries[0].mean == doctest::Approx(0.6));
  CHECK(ranking.entries[0].deviation == doctest::Approx(std::sqrt(0.02)));
  CHECK(ranking.entries[2].diverged == 1);
  sort(ranking);
  CHECK(ranking.entries[0].cell == "better");
  CHECK(ranking.entries[2].cell == "never");
  const std::string table = table_of({ranking}), picture = picture_of({ranking, ranking});
  for (const char* part : {"better", "0.6000", "1 diverged", "a constant answer has 2.0000 nats"}) {
    CHECK_MESSAGE(table.find(part) != std::string::npos, table);
  }
  CHECK(table.find("better") < table.find("worse"));
  for (const char* part : {"<title>Recurrent cells", ">worse<", ">diverged<", "Copy memory"}) {
    CHECK(picture.find(part) != std::string::npos);
  }
}

}  // namespace cells
