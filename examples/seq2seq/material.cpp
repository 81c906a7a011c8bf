// SPDX-License-Identifier: MIT
// The pairs of each task, and their split.
#include "examples/seq2seq/material.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>
#include <unordered_set>

#include "examples/seq2seq/tasks/addition.h"
#include "examples/seq2seq/tasks/dates.h"
#include "examples/seq2seq/tasks/lengths.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {
namespace {

using tapeloop::Random;

constexpr std::int64_t kMadeTest = 1000, kMadeValidation = 300;
constexpr int kTestPermille = 50, kValidationPermille = 50;

// The key of the split: the target (the ISO date) for a file of dates, else the source.
std::string Pair::*key_of(const Arguments& a) {
  return a.task == "dates" ? &Pair::target : &Pair::source;
}

void check_parts(const Material& material, const Arguments& a) {
  const auto check = [&](const std::vector<Pair>& part, const char* name) {
    if (!part.empty()) return;
    std::string why;
    for (const std::string& remark : material.remarks) why += "; " + remark;
    std::string what_to_do = "give more --pairs";
    if (material.too_long > 0) {
      what_to_do = "give a greater --max-length";
    } else if (!a.data.empty() || a.task == "translate") {
      std::set<std::string_view> different;
      for (const auto* pairs : {&material.train, &material.validation, &material.test}) {
        if (pairs == &material.test && !a.test.empty()) continue;
        for (const Pair& pair : *pairs) different.insert(pair.*key_of(a));
      }
      what_to_do = fmt::format(
          "{} different {} are needed to hold some out, found {}; give more pairs",
          a.test.empty() ? 3 : 2, a.task == "dates" ? "dates" : "sources", different.size());
    }
    tapeloop::fail("data", fmt::format("{} has no pairs left for {}{}; {}", material.source, name,
                                       why, what_to_do));
  };
  check(material.train, "training");
  check(material.validation, "validation");
  check(material.test, "testing");
}

// Fills empty parts, so that the program does not refuse a small file by chance.
void fill_parts(Material& material, const Arguments& a) {
  constexpr const char* kNames[] = {"training", "validation", "testing"};
  std::vector<Pair>* const parts[] = {&material.train, &material.validation, &material.test};
  const std::size_t split = a.test.empty() ? 3 : 2;  // the pairs of --test do not move
  std::vector<const char*> filled;
  for (const std::size_t place : fill_empty_parts({parts, split}, key_of(a))) {
    filled.push_back(kNames[place]);
  }
  if (filled.empty()) return;
  material.remarks.push_back(
      fmt::format("few pairs: one {} is taken for {}; the measures of so few pairs say little",
                  a.task == "dates" ? "date" : "source", fmt::join(filled, ", one for ")));
}

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
  Material material;
  while (static_cast<std::int64_t>(material.train.size()) < a.pairs) {
    const Sum sum = random_decimal_sum(digits, random);
    if (!held_out(sum)) material.train.push_back(decimal_pair(sum));
  }
  // Draws different sums. There may be fewer than `count`: of one or two digits there are few.
  const auto measured = [&](std::int64_t count) {
    std::vector<Pair> pairs;
    std::set<Sum> known;
    for (std::int64_t draws = 100 * count;
         draws > 0 && static_cast<std::int64_t>(pairs.size()) < count; --draws) {
      const Sum sum = random_decimal_sum(digits, random);
      if (held_out(sum) && known.insert(sum).second) pairs.push_back(decimal_pair(sum));
    }
    return pairs;
  };
  material.source = "sums made by rule";
  material.validation = measured(std::min(a.pairs, kMadeValidation));
  material.test = measured(std::min(a.pairs, kMadeTest));
  check_parts(material, a);
  return material;
}

// Splits a file of dates by its ISO dates, so that no spelling of a held-out date is in the
// training.
Split split_by_date(std::vector<Pair> pairs) {
  Split split;
  for (Pair& pair : pairs) {
    const Part part = part_of_date(pair.target);
    (part == Part::train        ? split.train
     : part == Part::validation ? split.validation
                                : split.test)
        .push_back(std::move(pair));
  }
  return split;
}

// With --test the test part of the data joins the training part. Pairs of the test file leave the
// training and validation parts.
void use_test_file(Material& material, const Arguments& a) {
  PairFile file = read_pairs(a.test);
  material.remarks.push_back(fmt::format("{}: {}", a.test, file.report()));
  std::move(material.test.begin(), material.test.end(), std::back_inserter(material.train));
  material.test = std::move(file.pairs);
  const auto key = key_of(a);
  std::unordered_set<std::string_view> tested;
  for (const Pair& pair : material.test) tested.insert(pair.*key);
  const auto is_tested = [&](const Pair& pair) { return tested.contains(pair.*key); };
  const auto before = material.train.size() + material.validation.size();
  std::erase_if(material.train, is_tested);
  std::erase_if(material.validation, is_tested);
  const auto left = before - material.train.size() - material.validation.size();
  if (left > 0) {
    material.remarks.push_back(
        fmt::format("{} pairs are left out of training: {} is also in the --test file", left,
                    a.task == "dates" ? "their date" : "their source"));
  }
}

Material from_pairs(const Arguments& a) {
  const bool dates = a.task == "dates";
  Material material;
  std::vector<Pair> pairs;
  if (a.data.empty()) {
    material.source = "the phrase book";
    pairs = phrase_book();
  } else {
    PairFile file = read_pairs(a.data);
    material.source = a.data;
    material.remarks.push_back(fmt::format("{}: {}", a.data, file.report()));
    pairs = std::move(file.pairs);
  }
  Split split = dates ? split_by_date(std::move(pairs))
                      : split_by_source(std::move(pairs), kValidationPermille, kTestPermille);
  material.train = std::move(split.train);
  material.validation = std::move(split.validation);
  material.test = std::move(split.test);
  return material;
}

}  // namespace

Material material_of(const Arguments& a) {
  if (a.task == "add") return made_sums(a);
  const bool made = a.task == "dates" && a.data.empty();
  Material material = made ? made_dates(a) : from_pairs(a);
  if (!a.test.empty()) use_test_file(material, a);
  material.too_long = drop_long(material.train, "training", a, material.remarks) +
                      drop_long(material.validation, "validation", a, material.remarks) +
                      drop_long(material.test, "testing", a, material.remarks);
  if (!made) fill_parts(material, a);
  check_parts(material, a);
  return material;
}

std::int64_t drop_long(std::vector<Pair>& pairs, const char* part, const Arguments& a,
                       std::vector<std::string>& remarks) {
  const auto most = static_cast<std::size_t>(a.settings.most_symbols);
  const auto dropped = static_cast<std::int64_t>(std::erase_if(pairs, [&](const Pair& pair) {
    return units_of(pair.source, unit_named(a.source_unit)).size() > most ||
           units_of(pair.target, unit_named(a.target_unit)).size() > most;
  }));
  if (dropped == 0) return 0;
  const std::string units = a.source_unit == a.target_unit
                                ? a.source_unit + "s"
                                : fmt::format("{}s or {}s", a.source_unit, a.target_unit);
  remarks.push_back(fmt::format("{} pairs for {} are longer than {} {} (--max-length): left out",
                                dropped, part, most, units));
  return dropped;
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
  languages.source_unit = unit_named(a.source_unit);
  languages.target_unit = unit_named(a.target_unit);
  std::vector<std::vector<std::string>> sources, targets;
  for (const Pair& pair : material.train) {
    sources.push_back(units_of(pair.source, languages.source_unit));
    targets.push_back(units_of(pair.target, languages.target_unit));
  }
  const VocabularyLimits limits{.least_count = a.smallest_count, .most = a.most_units};
  languages.source = Vocabulary(sources, limits);
  languages.target = Vocabulary(targets, limits);
  return languages;
}

}  // namespace seq2seq
