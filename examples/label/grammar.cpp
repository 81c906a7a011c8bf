// SPDX-License-Identifier: MIT
// The sentences that the program makes, by sentiment.grammar and tags.grammar: a symbol and a
// colon, then its rules, indented; each is a list of symbols and words. Words of tagged sentences
// carry their tag after '/'. In texts praise and blame stand on both sides, because a negation or a
// contrast turns them over: counting words is not enough. Many tagged words are a noun in one place
// and a verb, an adjective or a name in another.
#include <map>
#include <set>

#include "examples/label/data.h"
#include "grammars.h"

namespace label {

namespace {

using Grammar = std::map<std::string_view, std::vector<std::string_view>>;

Grammar read_grammar(std::string_view text) {
  Grammar grammar;
  std::vector<std::string_view>* rules = nullptr;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with("  ")) {
      rules->push_back(line.substr(2));
    } else {
      rules = &grammar[line.substr(0, line.find(':'))];
    }
  }
  return grammar;
}

void expand(const Grammar& grammar, std::string_view rule, tapeloop::Random& random,
            Sample& sample) {
  while (!rule.empty()) {
    const std::string_view symbol = rule.substr(0, rule.find(' '));
    rule.remove_prefix(std::min(symbol.size() + 1, rule.size()));
    const auto found = grammar.find(symbol);
    if (found != grammar.end()) {
      expand(grammar, found->second[random.below(found->second.size())], random, sample);
      continue;
    }
    const std::size_t slash = symbol.rfind('/');
    sample.words.emplace_back(symbol.substr(0, slash));
    if (slash != symbol.npos) sample.labels.emplace_back(symbol.substr(slash + 1));
  }
}

}  // namespace

Samples make_samples(Task task, std::int64_t count, tapeloop::Random& random) {
  const Grammar grammar = read_grammar(task == Task::tags ? kTagsGrammar : kSentimentGrammar);
  Samples result;
  std::set<std::vector<std::string>> made;  // no sentence trains and tests
  for (std::int64_t tries = 0; tries < 20 * count; ++tries) {
    if (static_cast<std::int64_t>(result.list.size()) == count) break;
    Sample sample;
    if (task == Task::tags) {
      expand(grammar, "S", random, sample);
    } else {
      sample.labels = {random.below(2) == 1 ? "positive" : "negative"};
      expand(grammar, sample.labels[0] == "positive" ? "PRAISE" : "BLAME", random, sample);
    }
    if (made.insert(sample.words).second) result.list.push_back(std::move(sample));
  }
  return result;
}

}  // namespace label
