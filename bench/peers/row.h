// SPDX-License-Identifier: MIT
// Shared by the C++ peers: parsing of row names, timing of a step, and the lines that bench/compare
// reads.
// Knows no library and no model. Includes nothing of Tapeloop, so that a peer cannot use its code.
//
// A row is a benchmark's name: train/lstm/T:64/N:32/I:128/H:128/threads:1. A peer gets rows as
// arguments or, one per line, on standard input, and answers each with one line of JSON. The first
// line names the peer.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace peer {

struct Row {
  std::string name;                           // as given
  std::string kind;                           // the parts without a colon: "train/lstm"
  std::map<std::string, std::int64_t> sizes;  // the parts with a colon: T, N, I, H, threads

  std::int64_t at(const std::string& size) const {
    auto found = sizes.find(size);
    if (found == sizes.end()) throw std::runtime_error("the row has no size " + size + ": " + name);
    return found->second;
  }
  int threads() const { return sizes.count("threads") ? static_cast<int>(at("threads")) : 1; }
};

inline Row parse_row(const std::string& name) {
  Row row{name, "", {}};
  std::istringstream parts(name);
  for (std::string part; std::getline(parts, part, '/');) {
    std::size_t colon = part.find(':');
    if (colon == std::string::npos) {
      row.kind += (row.kind.empty() ? "" : "/") + part;
      continue;
    }
    std::string digits = part.substr(colon + 1);
    bool number = !digits.empty() && digits.size() < 10 &&
                  digits.find_first_not_of("0123456789") == std::string::npos;
    if (!number || std::stoll(digits) < 1) {
      throw std::runtime_error("expected a size such as T:64 in the row's name, got '" + part +
                               "'");
    }
    row.sizes[part.substr(0, colon)] = std::stoll(digits);
  }
  return row;
}

// One way to compute a row. If a row has several, the peer keeps the fastest, under its name.
struct Variant {
  std::string name;
  std::function<void()> step;
};
using MakeVariants = std::function<std::vector<Variant>(const Row&)>;

struct Seconds {
  double wall = 0, cpu = 0;  // per step; CPU time is that of all threads
};

inline Seconds time_steps(const std::function<void()>& step, std::int64_t repeats) {
  std::timespec before{}, after{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  auto start = std::chrono::steady_clock::now();
  for (std::int64_t k = 0; k < repeats; ++k) step();
  std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  double cpu = static_cast<double>(after.tv_sec - before.tv_sec) +
               1e-9 * static_cast<double>(after.tv_nsec - before.tv_nsec);
  auto n = static_cast<double>(repeats);
  return {wall.count() / n, cpu / n};
}

inline std::int64_t repeats_for(double seconds, double one) {
  return std::clamp<std::int64_t>(std::llround(seconds / std::max(one, 1e-9)), 1, 10'000'000);
}

// A value of /proc/self/status in MiB: VmRSS, the resident memory now, or VmHWM, its maximum so
// far.
inline double resident_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stod(line.substr(key.size() + 1)) / 1024;
  }
  throw std::runtime_error("/proc/self/status does not tell " + key);
}

// Growth of the peak of the resident memory, in MiB, over one step of `variant`, whose data already
// exist.
inline double peak_growth_mib(const Variant& variant) {
  double before = resident_mib("VmRSS");
  {
    std::ofstream reset("/proc/self/clear_refs");
    if (!(reset << "5" << std::flush)) {
      throw std::runtime_error("this kernel cannot reset the peak of resident memory");
    }
  }
  variant.step();
  return resident_mib("VmHWM") - before;
}

inline std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

// Answers rows until there are none left. Does not time the first call of a step: it warms up.
class Server {
 public:
  explicit Server(MakeVariants make) : make_(std::move(make)) {}

  void answer(const std::string& name) {
    std::cout << "{\"row\": " << quoted(name) << ", ";
    try {
      Row row = parse_row(name);
      std::cout << (row.kind.rfind("memory/", 0) == 0 ? memory(row) : speed(row)) << "}"
                << std::endl;
    } catch (const std::exception& error) {
      std::cout << "\"error\": " << quoted(error.what()) << "}" << std::endl;
    }
  }

 private:
  static constexpr double kRunSeconds = 0.4, kTrialSeconds = 0.05;
  static constexpr int kTrials = 3;
  static constexpr const char* kUnsupported = "\"unsupported\": true";

  std::string speed(const Row& row) {
    auto known = kept_.find(row.name);
    if (known == kept_.end()) {
      Kept best;
      double least = 0;
      for (Variant& variant : make_(row)) {
        Seconds first = time_steps(variant.step, 1);
        std::int64_t trial = repeats_for(kTrialSeconds, first.wall);
        double wall = first.wall;
        for (int k = 0; k < kTrials; ++k) {
          wall = std::min(wall, time_steps(variant.step, trial).wall);
        }
        if (best.variant.step && wall >= least) continue;
        least = wall;
        best = {std::move(variant), repeats_for(kRunSeconds, wall)};
      }
      known = kept_.emplace(row.name, std::move(best)).first;
    }
    const Kept& kept = known->second;
    if (!kept.variant.step) return kUnsupported;
    Seconds seconds = time_steps(kept.variant.step, kept.repeats);
    std::ostringstream line;
    line.precision(9);
    line << "\"variant\": " << quoted(kept.variant.name)
         << ", \"seconds_per_step\": " << seconds.wall
         << ", \"cpu_seconds_per_step\": " << seconds.cpu << ", \"steps\": " << kept.repeats;
    return line.str();
  }

  // memory/X measures one step of train/X, after a step of two time steps has loaded all code. The
  // process must be fresh: a step would reuse memory that the allocator kept from earlier rows, and
  // the growth would be too small.
  std::string memory(Row row) {
    row.kind.replace(0, std::string("memory").size(), "train");
    Row small = row;
    small.sizes["T"] = 2;
    std::vector<Variant> warm = make_(small);
    if (warm.empty()) return kUnsupported;
    warm.front().step();
    std::vector<Variant> variants = make_(row);
    std::ostringstream line;
    line << "\"variant\": " << quoted(variants.front().name)
         << ", \"mib\": " << peak_growth_mib(variants.front());
    return line.str();
  }

  struct Kept {
    Variant variant;
    std::int64_t repeats = 0;
  };
  MakeVariants make_;
  std::map<std::string, Kept> kept_;
};

inline int serve(int argc, char** argv, const std::string& name, const std::string& version,
                 MakeVariants make) {
  std::cout << "{\"peer\": " << quoted(name) << ", \"version\": " << quoted(version) << "}"
            << std::endl;
  Server server(std::move(make));
  for (int k = 1; k < argc; ++k) server.answer(argv[k]);
  if (argc > 1) return 0;
  for (std::string line; std::getline(std::cin, line);) server.answer(line);
  return 0;
}

}  // namespace peer
