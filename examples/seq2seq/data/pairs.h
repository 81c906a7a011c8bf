// SPDX-License-Identifier: MIT
// Pairs of sentences, from a file of tab-separated columns or from the built-in phrase book, and
// their split.
// Sentences are text here; text.h cuts them into units.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace seq2seq {

struct Pair {
  std::string source, target;
  bool operator==(const Pair&) const = default;
};

struct PairFile {
  std::vector<Pair> pairs;  // in the order of the file
  std::int64_t empty_lines = 0;
  std::int64_t repeated = 0;  // pairs of an earlier line again; kept once
  std::int64_t unquoted = 0;  // sentences without a spreadsheet's quotation marks

  std::string report() const;  // "8000 pairs; skipped: 1 empty line, 2 repeated pairs"
};

// Reads a file of lines `source TAB target [TAB anything]`, by common::decode_text (UTF-8, or
// UTF-16 with a byte-order mark; any line ends). Drops white space around a sentence and composes
// letters with their marks (text.h).
//
// Quotation marks belong to a sentence, unless the file shows that a spreadsheet program wrote
// them. The file shows it if each sentence with a mark begins and ends with one and has only
// doubled marks inside, and if
//   - a mark is doubled somewhere, or
//   - every sentence is quoted, or
//   - every sentence with a comma is quoted, and no other.
// Then the outer marks are dropped and each doubled mark becomes a single one.
//
// Throws FileError if the file cannot be read, has more than 1 GiB, or holds no pair. Throws Error
// with the number of the line for: one column only, an empty sentence, a quoted sentence that goes
// on after a TAB, or after a line end in a file that a spreadsheet program wrote, more than 2^20
// bytes, a NUL byte, bytes that are not UTF-8.
PairFile read_pairs(const std::string& path);
// The same from text; `name` stands for the file in messages.
PairFile parse_pairs(std::string_view text, const std::string& name);

// Everyday sentences, English and Chinese.
const std::vector<Pair>& phrase_book();

struct Split {
  std::vector<Pair> train, validation, test;
};
// Splits by the source sentence alone, so that all targets of a source are in one part. The FNV-1a
// hash (64 bits) of its bytes modulo 1000 decides: below test_permille: test; below the sum of
// both: validation.
Split split_by_source(std::vector<Pair> pairs, int validation_permille, int test_permille);

// Fills parts that are empty by chance, which happens with few pairs. An empty part takes all pairs
// of one key (`key`: source or target) from the part with the most different keys, if that part has
// two or more. The hashes alone choose the key. Returns the places of the filled parts. With at
// least as many different keys as parts no part stays empty.
std::vector<std::size_t> fill_empty_parts(std::span<std::vector<Pair>* const> parts,
                                          std::string Pair::*key);

}  // namespace seq2seq
