// SPDX-License-Identifier: MIT
// gpu-check writes one report about the library on this machine's GPU: all tests of Device::cuda,
// compute-sanitizer's checks, times beside PyTorch's. It needs only its own folder (made by ./dev
// gpu-check --build FOLDER) and cuBLAS; it uses PyTorch and compute-sanitizer if they are
// installed. Builds nothing.
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <regex>

#include "bench/gpu/checks.h"
#include "bench/gpu/report.h"
#include "bench/gpu/run.h"

namespace gpu_check {
namespace {

namespace fs = std::filesystem;

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kNoGpu = 77;

constexpr const char* kHelp = R"(usage: gpu-check [OPTION...]
Runs the tests of CUDA, compute-sanitizer and the benchmarks on this machine's GPU and writes DATE-GPU.md and DATE-GPU.json.

  --out FOLDER     where they go, with the programs' output in logs/ (results/ beside this program)
  --blas FOLDER    where libcublas.so.N and libcublasLt.so.N are, N the CUDA they were built for; else they are looked for in lib/
                   beside this program, in LD_LIBRARY_PATH and where the system has libraries. PyTorch's own are in its
                   nvidia/.../lib folders.
  --python FILE    a Python with PyTorch, to compare with (python3)
  --rounds N       of the benchmarks, in turn with PyTorch (3)
  --limit SECONDS  for one program of tests, and a third of what benchmarks may take (600)
  --row ROW        this row instead of all; may be given several times
  --quick          small rows, one round, to see that everything works

Ends with 0 where all tests passed, 1 where one failed or did not end, 77 where there is no GPU.
)";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int count_of(const std::string& option, const std::string& text) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 1 || value > 1000000) {
    throw UsageError(
        fmt::format("{} is '{}', expected a whole number from 1 to 1000000", option, text));
  }
  return value;
}

// Puts the folder before all others where the programs that gpu-check starts look for libraries.
void add_library_folder(const std::string& folder) {
  const char* now = std::getenv("LD_LIBRARY_PATH");
  const std::string rest = now == nullptr || *now == '\0' ? "" : std::string(":") + now;
  ::setenv("LD_LIBRARY_PATH", (folder + rest).c_str(), 1);
}

struct Arguments {
  Settings settings;
  bool help = false;
};

Arguments read(const std::vector<std::string>& given) {
  Arguments a;
  Settings& s = a.settings;
  s.folder = fs::read_symlink("/proc/self/exe").parent_path().string();
  s.out = s.folder + "/results";
  std::string blas = s.folder + "/lib";
  bool rounds = false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& option = given[i];
    const auto value = [&]() -> const std::string& {
      if (++i == given.size()) throw UsageError(option + " needs a value; --help explains it");
      return given[i];
    };
    if (option == "--help" || option == "-h") {
      a.help = true;
    } else if (option == "--quick") {
      s.quick = true;
    } else if (option == "--out") {
      s.out = fs::absolute(value()).string();
    } else if (option == "--blas") {
      blas = fs::absolute(value()).string();
      if (!fs::is_directory(blas)) {
        throw UsageError("--blas: " + blas +
                         " is no folder; name the one that holds libcublas.so.N");
      }
    } else if (option == "--python") {
      s.python = value();
    } else if (option == "--rounds") {
      s.rounds = count_of(option, value());
      rounds = true;
    } else if (option == "--limit") {
      s.limit = count_of(option, value());
    } else if (option == "--row") {
      s.rows.push_back(value());
    } else {
      throw UsageError(fmt::format("there is no option {}; --help lists them", option));
    }
  }
  if (s.quick && !rounds) s.rounds = 1;
  if (fs::is_directory(blas)) add_library_folder(blas);
  ::setenv("TAPELOOP_REFERENCE", (s.folder + "/reference").c_str(), 1);  // read by reference_test
  return a;
}

std::string first_match(const std::string& file, const char* pattern) {
  std::ifstream text(file);
  const std::regex wanted(pattern);
  for (std::string line; std::getline(text, line);) {
    std::smatch found;
    if (std::regex_search(line, found, wanted)) return found[1];
  }
  return "unknown";
}

std::string now(const char* format) {
  const std::time_t seconds = std::time(nullptr);
  char text[64];
  std::strftime(text, sizeof text, format, std::gmtime(&seconds));
  return text;
}

Json about_of(const Settings& s, const Json& gpu) {
  const std::string build = s.folder + "/build.txt";
  Json about{
      {"date", now("%Y-%m-%d %H:%M UTC")},
      {"commit", first_match(build, "^commit: (.*)")},
      {"build", first_match(build, "^build: (.*)")},
      {"GPU", gpu.value("gpu", "")},
      {"emulated", gpu.value("emulated", false)},
      {"compute capability", gpu.value("capability", "")},
      {"multiprocessors", gpu.value("multiprocessors", 0)},
      {"memory, GiB", gpu.value("memory_gib", 0.0)},
      {"driver", first_match("/proc/driver/nvidia/version", R"(Module.*?\s(\d+\.\d+(\.\d+)?))")},
      {"CUDA of the driver", gpu.value("driver_cuda", "")},
      {"CUDA of the build", gpu.value("runtime_cuda", "")},
      {"cuBLAS", gpu.value("cublas", "")},
      {"CPU", first_match("/proc/cpuinfo", R"(^model name\s*:\s*(.*))")},
      {"system", first_match("/proc/version", R"(^(\S+ \S+ \S+))")},
      {"rounds", s.rounds}};
  return about;
}

int check(const Settings& s) {
  fs::create_directories(s.out + "/logs");
  const Gpu gpu = find_gpu(s);
  if (gpu.facts.is_null()) {
    fmt::print("gpu-check: nothing was run. {}\n", gpu.reason);
    return kNoGpu;
  }
  Json about = about_of(s, gpu.facts);
  fmt::print("gpu-check: {}, driver {}\n", about["GPU"].get<std::string>(),
             about["driver"].get<std::string>());
  Json missing = Json::object();
  const Json tests = run_tests(s);
  const Json sanitizers = run_sanitizers(s, missing);
  const Json rows = run_rows(s, about, missing);
  const Json report{{"about", about},
                    {"tests", tests},
                    {"sanitizers", sanitizers},
                    {"rows", rows},
                    {"targets", targets_of(rows)},
                    {"missing", missing}};
  const std::string name =
      s.out + "/" + file_name(now("%Y-%m-%d"), about["GPU"].get<std::string>());
  write_file(name + ".json", report.dump(1) + "\n");
  write_file(name + ".md", markdown(report));
  int failed = 0;
  for (const Json& group : {tests, sanitizers}) {
    for (const Json& one : group) failed += one["outcome"] != "passed";
  }
  for (const Json& row : rows) failed += row["ours"].empty();
  fmt::print("gpu-check: {}.md and .json; {}\n", name,
             failed == 0 ? "all passed" : fmt::format("{} checks or rows failed", failed));
  return failed == 0 ? 0 : kFailed;
}

}  // namespace
}  // namespace gpu_check

int main(int argc, char** argv) {
  using namespace gpu_check;
  try {
    const Arguments arguments = read({argv + 1, argv + argc});
    if (arguments.help) {
      fmt::print("{}", kHelp);
      return 0;
    }
    return check(arguments.settings);
  } catch (const UsageError& error) {
    fmt::print(stderr, "gpu-check: {}\n", error.what());
    return kBadUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu-check: {}\n", error.what());
    return kFailed;
  }
}
