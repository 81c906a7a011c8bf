// SPDX-License-Identifier: MIT
// Runs the targets without libFuzzer: their seeds, their seeds with every simple damage, and the
// inputs that once failed.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"

namespace {

namespace fuzz = tapeloop::fuzz;
namespace fs = std::filesystem;

struct Target {
  const char* name;  // name of its folder in tests/fuzz/failed
  void (*run)(std::string_view);
  std::vector<std::string> (*seeds)();
};

constexpr Target kTargets[] = {
    {"safetensors", fuzz::try_safetensors, fuzz::safetensors_seeds},
    {"checkpoint", fuzz::try_checkpoint, fuzz::checkpoint_seeds},
    {"midi", fuzz::try_midi, fuzz::midi_seeds},
    {"pairs", fuzz::try_pairs, fuzz::pairs_seeds},
    {"text", fuzz::try_text, fuzz::text_seeds},
    {"charts", fuzz::try_charts, fuzz::charts_seeds},
    {"arguments", fuzz::try_arguments, fuzz::arguments_seeds},
    {"images", fuzz::try_images, fuzz::images_seeds},
};

// Reports failed checks, and exceptions that no reader may throw, by their messages.
void run(const Target& target, std::string_view input, const std::string& origin) {
  try {
    target.run(input);
  } catch (const std::exception& error) {
    FAIL_CHECK(std::string(target.name), ", ", origin, ": ", std::string(error.what()));
  }
}

}  // namespace

TEST_CASE("inputs that once failed do not fail again") {
  for (const Target& target : kTargets) {
    const fs::path folder = fs::path("tests/fuzz/failed") / target.name;
    if (!fs::exists(folder)) continue;
    for (const auto& file : fs::directory_iterator(folder)) {
      run(target, fuzz::bytes_of(file.path().string()), file.path().string());
    }
  }
  for (const auto& folder : fs::directory_iterator("tests/fuzz/failed")) {
    const bool known =
        std::any_of(std::begin(kTargets), std::end(kTargets),
                    [&](const Target& target) { return folder.path().filename() == target.name; });
    CHECK_MESSAGE(known, folder.path().string());
  }
}

TEST_CASE("seeds, all of their beginnings and single changed bytes break no promise of a reader") {
  constexpr int kChanges = 40;
  for (const Target& target : kTargets) {
    const std::vector<std::string> seeds = target.seeds();
    REQUIRE_FALSE(seeds.empty());
    std::mt19937 random(7);
    for (std::size_t i = 0; i < seeds.size(); ++i) {
      const std::string& seed = seeds[i];
      const std::string origin = "seed " + std::to_string(i);
      run(target, seed, origin);
      const std::size_t stride = 1 + seed.size() / 100;
      for (std::size_t size = 0; size < seed.size(); size += stride) {
        run(target, seed.substr(0, size), origin + ", first bytes: " + std::to_string(size));
      }
      for (int change = 0; change < kChanges; ++change) {
        std::string changed = seed;
        const std::size_t place = random() % seed.size();
        changed[place] = static_cast<char>(random());
        run(target, changed,
            origin + ", byte " + std::to_string(place) + " is " +
                std::to_string(static_cast<unsigned char>(changed[place])));
      }
    }
  }
}
