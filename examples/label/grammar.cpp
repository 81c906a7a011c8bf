// SPDX-License-Identifier: MIT
// The sentences that the program makes: a grammar for each task. A symbol stands in capitals; each
// of its rules is a list of symbols and words. Words of tagged sentences carry their tag after '/'.
#include <map>

#include "examples/label/data.h"

namespace label {

namespace {

using Grammar = std::map<std::string, std::vector<std::string>, std::less<>>;

// GOOD and BAD stand on both sides: a negation or a contrast turns them over, so that counting
// words is not enough.
const Grammar& sentiment() {
  static const Grammar grammar{
      {"PRAISE",
       {"THING was GOOD .", "THING was DEGREE GOOD .", "THING was not BAD at all .",
        "THING was anything but BAD !", "nobody could call THING BAD .",
        "I feared that THING would be BAD , but it was GOOD .",
        "they said THING was BAD ; I found it GOOD .", "far from BAD , THING was GOOD .",
        "THING was never BAD , not for a moment .", "THING was not only GOOD but GOOD ."}},
      {"BLAME",
       {"THING was BAD .", "THING was DEGREE BAD .", "THING was not GOOD at all .",
        "THING was anything but GOOD !", "nobody could call THING GOOD .",
        "I hoped that THING would be GOOD , but it was BAD .",
        "they said THING was GOOD ; I found it BAD .", "far from GOOD , THING was BAD .",
        "THING was never GOOD , not for a moment .", "THING was not only BAD but BAD ."}},
      {"THING",
       {"the soup", "the story", "this camera", "our hotel", "the guide", "the last song",
        "the train ride", "my new phone", "the garden", "the lecture", "the whole trip"}},
      {"DEGREE", {"really", "rather", "very", "quite", "just"}},
      {"GOOD",
       {"lovely", "brilliant", "delightful", "good", "charming", "great", "superb", "pleasant"}},
      {"BAD", {"dreadful", "boring", "clumsy", "bad", "awful", "poor", "dull", "disappointing"}}};
  return grammar;
}

// Many words are a noun in one place and a verb, an adjective or a name in another.
const Grammar& tags() {
  static const Grammar grammar{
      {"S",
       {"CLAUSE ./PUNCT", "CLAUSE and/CCONJ CLAUSE ./PUNCT", "CLAUSE because/SCONJ CLAUSE ./PUNCT",
        "MODAL SUBJECT VERB OBJECT ?/PUNCT", "if/SCONJ CLAUSE ,/PUNCT CLAUSE ./PUNCT",
        "please/INTJ VERB OBJECT !/PUNCT"}},
      {"CLAUSE", {"SUBJECT PREDICATE"}},
      {"SUBJECT",
       {"they/PRON", "we/PRON", "I/PRON", "NAME", "NAME and/CCONJ NAME", "DET NOUN", "DET ADJ NOUN",
        "NUMBER ADJ NOUN"}},
      {"PREDICATE",
       {"VERB OBJECT", "MODAL VERB OBJECT", "MODAL not/PART VERB OBJECT", "VERB OBJECT PLACE",
        "want/VERB to/PART VERB OBJECT", "know/VERB that/SCONJ CLAUSE", "VERB OBJECT ADVERB",
        "MODAL ADVERB VERB"}},
      {"OBJECT",
       {"DET NOUN", "DET ADJ NOUN", "them/PRON", "that/PRON", "NAME", "NUMBER NOUN", "NOUN"}},
      {"PLACE", {"by/ADP DET NOUN", "like/ADP DET NOUN", "near/ADP NAME", "with/ADP DET ADJ NOUN"}},
      {"DET", {"the/DET", "a/DET", "that/DET", "every/DET", "this/DET"}},
      {"NUMBER", {"two/NUM", "three/NUM", "one/NUM"}},
      {"MODAL", {"can/AUX", "will/AUX", "must/AUX", "might/AUX", "may/AUX"}},
      {"NAME", {"Will/PROPN", "Rose/PROPN", "Mark/PROPN", "May/PROPN"}},
      {"ADVERB", {"fast/ADV", "often/ADV", "well/ADV", "still/ADV", "close/ADV"}},
      {"ADJ",
       {"light/ADJ", "open/ADJ", "clean/ADJ", "old/ADJ", "last/ADJ", "fast/ADJ", "close/ADJ",
        "still/ADJ"}},
      {"NOUN",
       {"watch/NOUN", "book/NOUN", "plant/NOUN", "water/NOUN", "cook/NOUN", "light/NOUN",
        "match/NOUN", "play/NOUN", "can/NOUN", "will/NOUN", "mark/NOUN", "paint/NOUN", "rose/NOUN",
        "well/NOUN", "fish/NOUN"}},
      {"VERB",
       {"watch/VERB", "book/VERB", "plant/VERB", "water/VERB", "cook/VERB", "light/VERB",
        "match/VERB", "play/VERB", "can/VERB", "like/VERB", "mark/VERB", "paint/VERB", "open/VERB",
        "clean/VERB", "close/VERB", "fish/VERB"}}};
  return grammar;
}

void expand(const Grammar& grammar, std::string_view rule, tapeloop::Random& random,
            Sample& sample) {
  while (!rule.empty()) {
    const std::size_t end = std::min(rule.find(' '), rule.size());
    const std::string_view symbol = rule.substr(0, end);
    rule.remove_prefix(std::min(end + 1, rule.size()));
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
  Samples result;
  for (std::int64_t i = 0; i < count; ++i) {
    Sample sample;
    if (task == Task::tags) {
      expand(tags(), "S", random, sample);
    } else {
      sample.labels = {random.below(2) == 1 ? "positive" : "negative"};
      expand(sentiment(), sample.labels[0] == "positive" ? "PRAISE" : "BLAME", random, sample);
    }
    result.list.push_back(std::move(sample));
  }
  return result;
}

}  // namespace label
