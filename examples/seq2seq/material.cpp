// SPDX-License-Identifier: MIT
// The pairs of each task, and their split.
#include "examples/seq2seq/material.h"

#include <fmt/format.h>

#include <algorithm>

#include "autograd/error.h"
#include "examples/seq2seq/addition.h"
#include "examples/seq2seq/dates.h"
#include "examples/seq2seq/lengths.h"

namespace seq2seq {
namespace {

using tapeloop::Random;

constexpr std::int64_t kMadeTest = 1000, kMadeValidation = 300;

Material made_dates(const Arguments& a) {
  Random random = Random(a.common.seed).split();
  const auto pairs = [&](std::int64_t count, Part part) {
    std::vector<Pair> all;
    for (DateExample& example : random_dates(count, part, random)) {
      all.push_back(std::move(example.pair));
    }
    return all;
  };
  Material material;
  material.source = "dates made by rule";
  material.train = pairs(a.pairs, Part::train);
  material.validation = pairs(std::min(a.pairs, kMadeValidation), Part::validation);
  material.test = pairs(std::min(a.pairs, kMadeTest), Part::test);
  return material;
}

Material made_sums(const Arguments& a) {
  Random random = Random(a.common.seed).split();
  const int digits = static_cast<int>(a.digits);
  const auto pairs = [&](std::int64_t count, bool wanted) {
    std::vector<Pair> all;
    while (static_cast<std::int64_t>(all.size()) < count) {
      const Sum sum = random_decimal_sum(digits, random);
      if (held_out(sum) == wanted) all.push_back(decimal_pair(sum));
    }
    return all;
  };
  Material material;
  material.source = "sums made by rule";
  material.train = pairs(a.pairs, false);
  material.validation = pairs(std::min(a.pairs, kMadeValidation), true);
  material.test = pairs(std::min(a.pairs, kMadeTest), true);
  return material;
}

}  // namespace

Material material_of(const Arguments& a) {
  if (a.task == "add") return made_sums(a);
  return made_dates(a);
}

Material letters_material(const Arguments& a) {
  const Order order = a.task == "reverse" ? Order::reverse : Order::copy;
  const int longest = static_cast<int>(a.longest);
  Random random = Random(a.common.seed).split();
  Material material;
  material.source = "letters made by chance";
  material.train = letters_pairs(order, a.pairs, longest, random);
  material.validation = letters_pairs(order, kMadeValidation, longest, random);
  return material;
}

Languages languages_for(const Arguments& a, const Material& material) {
  Languages languages;
  languages.source_unit = a.source_unit == "word" ? Unit::word : Unit::character;
  languages.target_unit = a.target_unit == "word" ? Unit::word : Unit::character;
  std::vector<std::vector<std::string>> sources, targets;
  for (const Pair& pair : material.train) {
    sources.push_back(units_of(pair.source, languages.source_unit));
    targets.push_back(units_of(pair.target, languages.target_unit));
  }
  languages.source = Vocabulary(sources);
  languages.target = Vocabulary(targets);
  return languages;
}

}  // namespace seq2seq
