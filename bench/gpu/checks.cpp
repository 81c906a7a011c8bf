// SPDX-License-Identifier: MIT
// The programs to run, their arguments, and the parsing of their output.
#include "bench/gpu/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>

#include "bench/gpu/report.h"
#include "bench/gpu/rows.h"
#include "bench/gpu/run.h"

namespace gpu_check {
namespace {

struct Suite {
  const char* name;
  const char* program;
  // True: run it under compute-sanitizer too. These programs together run each kernel of the
  // backend.
  bool sanitized;
};
constexpr Suite kSuites[] = {
    {"parity of operations", "device_parity_test", true},
    {"models, mistakes", "device_models_test", true},
    {"optimizers, clipping", "device_optim_test", true},
    {"whole sequences in one launch", "device_recurrent_test", true},
    {"sequence to sequence, CTC", "device_sequences_test", true},
    {"captured steps", "captured_step_test", true},
    {"gradcheck", "device_gradcheck_test", false},
    {"reference cases", "reference_test", false},
    {"examples, first 20 steps", "device_examples_test", false},
};
constexpr int kNoGpu = 77;

std::string log_of(const Settings& settings, std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '-');
  return settings.out + "/logs/" + name + ".txt";
}

Ended run_logged(const Settings& settings, const std::string& name,
                 const std::vector<std::string>& command, double limit) {
  fmt::print("gpu-check: {}\n", name);
  std::fflush(stdout);
  return run(command, settings.folder, log_of(settings, name), limit);
}

std::string program(const Settings& settings, const char* name) {
  return settings.folder + "/programs/" + name;
}

std::string last_line(const std::string& text) {
  const std::vector<std::string> lines = lines_of(text);
  return lines.empty() ? "it wrote nothing" : lines.back();
}

// Reads a test program's totals, as tests/run.py does.
Json counted(const char* name, const Ended& ended) {
  static const std::regex kTotals(
      R"(\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed)");
  Json result{{"name", name}, {"outcome", "failed"},      {"passed", 0},           {"failed", 0},
              {"skipped", 0}, {"seconds", ended.seconds}, {"notes", Json::array()}};
  int skipped = 0;
  for (const std::string& line : lines_of(ended.output)) {
    if (line.starts_with("SKIPPED: ")) {
      ++skipped;
      if (result["notes"].empty() || result["notes"].back() != line)
        result["notes"].push_back(line);
    }
    if (line.starts_with("reference on ")) result["notes"].push_back(line);
  }
  std::smatch totals;
  if (!ended.stopped && std::regex_search(ended.output, totals, kTotals)) {
    result["passed"] = std::stoi(totals[1]) - skipped;
    result["failed"] = std::stoi(totals[2]);
    result["skipped"] = skipped;
  }
  if (ended.stopped) {
    result["outcome"] = fmt::format("stopped after {:.0f} s", ended.seconds);
  } else if (ended.status != 0 || totals.empty()) {
    result["outcome"] = fmt::format("failed with status {}", ended.status);
    result["failed"] = std::max(1, result["failed"].get<int>());
    result["notes"].push_back(last_line(ended.output));
  } else {
    result["outcome"] = skipped > 0 ? "skipped in part" : "passed";
  }
  return result;
}

// The lines of JSON in a program's output.
std::vector<Json> answers_of(const std::string& output) {
  std::vector<Json> answers;
  for (const std::string& line : lines_of(output)) {
    if (!line.starts_with("{")) continue;
    Json answer = Json::parse(line, nullptr, false);
    if (!answer.is_discarded()) answers.push_back(std::move(answer));
  }
  return answers;
}

// Seconds of each variant of each row over the rounds, and the problems.
struct Measured {
  std::map<std::string, std::map<std::string, std::vector<double>>> seconds;  // row, variant
  std::vector<std::string> troubles;

  void add(const std::vector<Json>& answers) {
    for (const Json& answer : answers) {
      if (!answer.contains("row")) continue;
      const std::string row = answer["row"].get<std::string>();
      if (answer.contains("error")) {
        const std::string text =
            row + ": " + answer.value("variant", "") + " " + answer["error"].get<std::string>();
        if (std::find(troubles.begin(), troubles.end(), text) == troubles.end()) {
          troubles.push_back(text);
        }
      } else if (answer.contains("seconds_per_step")) {
        seconds[row][answer["variant"].get<std::string>()].push_back(
            answer["seconds_per_step"].get<double>());
      }
    }
  }
  Json medians(const std::string& row) const {
    Json result = Json::object();
    const auto found = seconds.find(row);
    if (found == seconds.end()) return result;
    for (auto [variant, times] : found->second) {
      std::sort(times.begin(), times.end());
      result[variant] = times[times.size() / 2];
    }
    return result;
  }
};

// The peer's name of the row. PyTorch has no functors: it writes the user's cell op by op for both
// rows.
std::string peer_row(std::string row) {
  constexpr std::string_view kOurs = "gpu/op_by_op/", kTheirs = "gpu/user_cell/";
  if (row.starts_with(kOurs)) row.replace(0, kOurs.size(), kTheirs);
  return row;
}

}  // namespace

Gpu find_gpu(const Settings& settings) {
  const Ended ended = run({program(settings, "gpu_bench"), "--quick", "gpu/launch/N:1"},
                          settings.folder, log_of(settings, "the GPU"), settings.limit);
  const std::vector<Json> answers = answers_of(ended.output);
  if (ended.status == 0 && !answers.empty()) return {answers.front(), ""};
  if (ended.status == kNoGpu) return {{}, last_line(ended.output)};
  throw std::runtime_error(
      fmt::format("gpu_bench ended with status {}: {}; --help says what is needed", ended.status,
                  last_line(ended.output)));
}

Json run_tests(const Settings& settings) {
  Json results = Json::array();
  for (const Suite& suite : kSuites) {
    results.push_back(counted(
        suite.name,
        run_logged(settings, suite.name, {program(settings, suite.program)}, settings.limit)));
  }
  return results;
}

Json run_sanitizers(const Settings& settings, Json& missing) {
  Json results = Json::array();
  std::string sanitizer = find_program("compute-sanitizer");
  if (sanitizer.empty()) sanitizer = find_program("/usr/local/cuda/bin/compute-sanitizer");
  if (sanitizer.empty()) {
    missing["compute-sanitizer"] =
        "it is neither in PATH nor in /usr/local/cuda/bin; it comes with the CUDA toolkit";
    return results;
  }
  for (const char* tool : {"memcheck", "racecheck", "synccheck"}) {
    for (const Suite& suite : kSuites) {
      if (!suite.sanitized) continue;
      const std::string name = fmt::format("{}: {}", tool, suite.name);
      const Ended ended = run_logged(
          settings, name,
          {sanitizer, "--tool", tool, "--error-exitcode", "1", program(settings, suite.program)},
          settings.limit);
      Json result = counted(name.c_str(), ended);
      bool summary = false;
      for (const std::string& line : lines_of(ended.output)) {
        if (line.find(" SUMMARY: ") == std::string::npos) continue;
        result["notes"].push_back(line);
        summary = true;
      }
      if (!summary && result["outcome"] == "passed") {
        result["outcome"] = "failed: compute-sanitizer wrote no summary";
      }
      results.push_back(result);
    }
  }
  return results;
}

Json run_rows(const Settings& settings, Json& about, Json& missing) {
  const std::vector<std::string> rows =
      settings.rows.empty() ? bench::gpu_rows(settings.quick) : settings.rows;
  const auto with_rows = [&](std::vector<std::string> command,
                             const std::vector<std::string>& asked) {
    if (settings.quick) command.emplace_back("--quick");
    command.insert(command.end(), asked.begin(), asked.end());
    return command;
  };
  std::vector<std::string> peer_rows;
  for (const std::string& row : rows) {
    const std::string wanted = peer_row(row);
    if (std::find(peer_rows.begin(), peer_rows.end(), wanted) == peer_rows.end()) {
      peer_rows.push_back(wanted);
    }
  }
  Measured ours, peers;
  bool peer_runs = true;
  const double limit = 3 * settings.limit;
  for (int round = 1; round <= settings.rounds; ++round) {
    const Ended here = run_logged(settings, fmt::format("benchmarks, round {}", round),
                                  with_rows({program(settings, "gpu_bench")}, rows), limit);
    ours.add(answers_of(here.output));
    if (here.status != 0) {
      ours.troubles.push_back(fmt::format("gpu_bench in round {}: {}, {}", round,
                                          here.stopped ? "stopped at its limit" : "failed",
                                          last_line(here.output)));
    }
    if (!peer_runs) continue;
    const Ended there = run_logged(
        settings, fmt::format("PyTorch, round {}", round),
        with_rows({settings.python, settings.folder + "/peers/torch_gpu_peer.py"}, peer_rows),
        limit);
    const std::vector<Json> answers = answers_of(there.output);
    peers.add(answers);
    if (!answers.empty() && answers.front().contains("peer")) {
      about["PyTorch"] = answers.front().value("version", "");
    }
    if (there.status != 0) {
      missing[answers.empty() ? "PyTorch" : "PyTorch, rows after a failure"] =
          there.stopped ? "stopped at its limit" : last_line(there.output);
      peer_runs = false;
    }
  }
  for (const std::string& trouble : ours.troubles) missing["Tapeloop, " + trouble] = "see logs/";
  for (const std::string& trouble : peers.troubles) missing["PyTorch, " + trouble] = "see logs/";
  Json results = Json::array();
  for (const std::string& row : rows) {
    const bench::Work work = bench::work_of(row);
    Json result{{"row", row}, {"ours", ours.medians(row)}, {"peers", peers.medians(peer_row(row))}};
    const double best = least(result["ours"]), peer = least(result["peers"]);
    if (best > 0 && peer > 0) result["ratio"] = peer / best;
    if (best > 0 && work.flops > 0) result["TFLOP/s"] = work.flops / best / 1e12;
    if (best > 0 && work.bytes > 0) result["GB/s"] = work.bytes / best / 1e9;
    results.push_back(result);
  }
  return results;
}

}  // namespace gpu_check
