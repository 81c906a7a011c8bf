// SPDX-License-Identifier: MIT
// safetensors files: round trips, damaged files of all kinds, full disks.
// safetensors_rules_test.cpp has the rules of the format. The only files of other programs are in
// tests/reference.
#include "tapeloop/autograd/files/safetensors.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/files/safetensors_bytes.h"
#include "tests/folder.h"
#include "tests/messages.h"

namespace fs = std::filesystem;
using tapeloop::DType;
using tapeloop::FileError;
using tapeloop::StateDict;
using tapeloop::Tensor;
using tapeloop::TensorFile;
using tapeloop::test::bytes_of;
using tapeloop::test::Folder;
using tapeloop::test::message_of_reading, tapeloop::test::with_length;
using tapeloop::test::put;

using tapeloop::test::contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of;

namespace {

const Tensor& named(const TensorFile& file, const std::string& name) {
  for (const auto& item : file.tensors) {
    if (item.name == name) return item.tensor;
  }
  FAIL("no tensor ", name);
  throw std::logic_error("unreachable");
}

StateDict samples() {
  const Tensor matrix = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  return {{"matrix", matrix},
          {"transposed", matrix.transpose(0, 1)},
          {"every second", matrix.slice(1, 0, 3, 2)},
          {"backwards", matrix.flip(0)},
          {"stretched", Tensor::from<double>({1, 2}, {0.5, -0.0}).expand({3, 2})},
          {"double", Tensor::from<double>({2}, {1e-300, -std::numeric_limits<double>::infinity()})},
          {"integers", Tensor::from<std::int64_t>({3}, {INT64_MIN, -1, INT64_MAX})},
          {"scalar", Tensor::from<float>({}, {7})},
          {"empty", Tensor::empty({0, 4}, DType::float64)},
          {"empty too", Tensor::empty({3, 0}, DType::float32)},
          {"six axes", Tensor::full({1, 2, 1, 2, 1, 1}, 9)},
          {"\"quoted\" \\ \n Grün \xF0\x9F\x8E\xB5", Tensor::from<float>({1}, {8})}};
}

}  // namespace

TEST_CASE("what is written is read again, bit for bit: all types, strided, empty and rank 0") {
  Folder folder;
  const StateDict state = samples();
  tapeloop::write_safetensors(folder.file(), state, {{"format", "pt"}, {"a", "\"b\"\n"}});
  const TensorFile file = tapeloop::read_safetensors(folder.file());
  CHECK(file.tensors.size() == state.size());
  for (const auto& item : state) {
    CAPTURE(item.name);
    const Tensor& found = named(file, item.name);
    CHECK(found.describe() == item.tensor.describe());
    const Tensor rows = item.tensor.contiguous();
    const auto bytes = static_cast<std::size_t>(rows.numel() * size_of(rows.dtype()));
    CHECK((bytes == 0 || std::memcmp(found.raw(), rows.raw(), bytes) == 0));
  }
  CHECK(file.metadata == tapeloop::Metadata{{"format", "pt"}, {"a", "\"b\"\n"}});
  CHECK_FALSE(fs::exists(folder.file() + ".partial"));
}

TEST_CASE("NaN payloads survive a round trip") {
  Folder folder;
  const std::uint32_t bits = 0x7fa12345;
  Tensor tensor = Tensor::empty({1});
  std::memcpy(tensor.raw(), &bits, 4);
  tapeloop::write_safetensors(folder.file(), {{"nan", tensor}});
  const TensorFile file = tapeloop::read_safetensors(folder.file());
  CHECK(std::memcmp(file.tensors[0].tensor.raw(), &bits, 4) == 0);
}

TEST_CASE(
    "a written file has the bytes that the format asks for: large elements first, header padded to "
    "8") {
  Folder folder;
  tapeloop::write_safetensors(folder.file(),
                              {{"b", Tensor::from<float>({1}, {1})},
                               {"a", Tensor::from<float>({}, {2})},
                               {"z", Tensor::from<std::int64_t>({1}, {3})}},
                              {{"k", "v"}});
  std::string header =
      R"({"__metadata__":{"k":"v"},"z":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})";
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::string data("\3\0\0\0\0\0\0\0\0\0\0\x40\0\0\x80\x3f", 16);
  CHECK(bytes_of(folder.file()) == with_length(header, data));
}

TEST_CASE("no tensors at all is a file too") {
  Folder folder;
  tapeloop::write_safetensors(folder.file(), {});
  CHECK(tapeloop::read_safetensors(folder.file()).tensors.empty());
  put(folder.file(), with_length("{}", ""));
  CHECK(tapeloop::read_safetensors(folder.file()).tensors.empty());
}

TEST_CASE("a header length that the file cannot hold is refused before memory is taken") {
  Folder folder;
  std::string bytes(64, '{');
  const std::uint64_t lengths[] = {57, 100'000'001, std::uint64_t{1} << 40, ~std::uint64_t{0}};
  for (std::uint64_t length : lengths) {
    std::memcpy(bytes.data(), &length, 8);
    put(folder.file(), bytes);
    const std::string message = message_of_reading(folder.file());
    CHECK(contains(message, "announce a header of " + std::to_string(length) + " bytes"));
    CHECK(contains(message, "at most 100000000"));
  }
  for (std::size_t size = 0; size < 8; ++size) {
    put(folder.file(), std::string(size, '\0'));
    CHECK(
        contains(message_of_reading(folder.file()), "is " + std::to_string(size) + " bytes long"));
  }
}

TEST_CASE("long and strange names are cut and escaped in messages") {
  Folder folder;
  put(folder.file(), with_length("{\"\\u001b[2J" + std::string(100000, 'n') + "\":1}", ""));
  const std::string message = message_of_reading(folder.file());
  CHECK(contains(message, "\\u001b[2Jnnn"));
  CHECK(message.size() < 1000);
}

TEST_CASE("what is no regular file is refused and left alone") {
  Folder folder;
  CHECK(contains(message_of_reading(folder.file("absent")), "No such file"));
  CHECK(contains(message_of_reading(folder.path.string()), "folder"));
  CHECK(contains(message_of_reading(""), "name is empty"));
  const auto save = [](const std::string& path) {
    return message_of<tapeloop::Error>([&] {
      tapeloop::write_safetensors(path, {{"a", Tensor::zeros({2})}});
    });
  };
  CHECK(contains(save(folder.path.string()), "give the name of a regular file"));
  CHECK(contains(save(folder.file("absent/x")), "check that the folder exists"));
  CHECK(contains(save(folder.file("absent/x")), "hold 72 bytes"));
  CHECK(contains(save(""), "name is empty"));
  CHECK(contains(save(folder.file("a") + std::string(1, '\0') + "b"), "zero byte"));
  CHECK(fs::is_empty(folder.path));
}

TEST_CASE("a link to a file is followed, and permissions stay") {
  Folder folder;
  tapeloop::write_safetensors(folder.file("real"), {{"a", Tensor::zeros({1})}});
  fs::permissions(folder.file("real"), fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("real", folder.file("link"));
  tapeloop::write_safetensors(folder.file("link"), {{"b", Tensor::zeros({1})}});
  CHECK(fs::is_symlink(folder.file("link")));
  CHECK(tapeloop::read_safetensors(folder.file("real")).tensors[0].name == "b");
  CHECK(fs::status(folder.file("real")).permissions() ==
        (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("what cannot be saved is refused by name before anything is written") {
  Folder folder;
  const Tensor tensor = Tensor::zeros({2});
  tapeloop::write_safetensors(folder.file(), {{"old", tensor}});
  const std::string before = bytes_of(folder.file());
  const auto save = [&](const StateDict& state, const tapeloop::Metadata& metadata = {}) {
    return message_of<tapeloop::Error>(
        [&] { tapeloop::write_safetensors(folder.file(), state, metadata); });
  };
  CHECK(contains(save({{"a", tensor}, {"a", tensor}}), "\"a\" is given twice"));
  CHECK(contains(save({{"__metadata__", tensor}}), "choose another name"));
  CHECK(contains(save({{"none", Tensor()}}), "\"none\" is an undefined tensor"));
  CHECK(contains(save({{"a\xff", tensor}}), "not valid UTF-8"));
  CHECK(contains(save({{"a", tensor}}, {{"key", "\xc0\x80"}}), "not valid UTF-8"));
  CHECK(bytes_of(folder.file()) == before);
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("a partial file that a crash left is no obstacle, one in use is") {
  Folder folder;
  put(folder.file() + ".partial", std::string(1000, 'x'));
  tapeloop::write_file(folder.file(), "new");
  CHECK(bytes_of(folder.file()) == "new");
  tapeloop::NewFile first(folder.file(), 5);
  first.write("first");
  CHECK(
      contains(message_of<tapeloop::Error>([&] { tapeloop::write_file(folder.file(), "second"); }),
               "another program is writing it"));
  CHECK(bytes_of(folder.file()) == "new");
  first.commit();
  CHECK(bytes_of(folder.file()) == "first");
}

TEST_CASE("a new file that is given up leaves nothing") {
  Folder folder;
  { tapeloop::NewFile file(folder.file(), 3); }
  CHECK(fs::is_empty(folder.path));
  const std::string_view pieces[] = {"a", "", "bc"};
  tapeloop::write_file(folder.file(), pieces);
  CHECK(bytes_of(folder.file()) == "abc");
}

TEST_CASE(
    "when the disk takes no more, the old file stays byte for byte and the partial file goes") {
  // A limit on file sizes simulates a full disk: write() fails half-way in the same place.
  Folder folder;
  tapeloop::write_safetensors(folder.file(), {{"old", Tensor::full({5000}, 3)}});
  const std::string before = bytes_of(folder.file());
  rlimit old_limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t bytes : {0u, 4u, 50u, 4096u, 8071u}) {
    rlimit limit = old_limit;
    limit.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const std::string message = message_of<tapeloop::Error>([&] {
      tapeloop::write_safetensors(folder.file(), {{"new", Tensor::full({2000}, 4)}});
    });
    ::setrlimit(RLIMIT_FSIZE, &old_limit);
    CHECK(contains(message, folder.file() + ": writing failed after " + std::to_string(bytes) +
                                " bytes: File too large"));
    CHECK(contains(message, "8072 bytes are needed"));
    CHECK(bytes_of(folder.file()) == before);
    CHECK_FALSE(fs::exists(folder.file() + ".partial"));
  }
  std::signal(SIGXFSZ, old_handler);
}

TEST_CASE("cut anywhere, a file gives a FileError") {
  Folder folder;
  tapeloop::write_safetensors(folder.file(), samples(), {{"format", "pt"}});
  const std::string whole = bytes_of(folder.file());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    put(folder.file(), whole.substr(0, size));
    CHECK(message_of_reading(folder.file()) != kNothingThrown);
  }
  put(folder.file(), whole + "x");
  CHECK(message_of_reading(folder.file()) != kNothingThrown);
}

TEST_CASE("random damage gives a FileError or a file that is still valid, never anything else") {
  constexpr unsigned kSeed = 20;
  std::mt19937 random(kSeed);
  CAPTURE(kSeed);
  auto below = [&](std::size_t bound) { return static_cast<std::size_t>(random()) % bound; };
  Folder folder;
  tapeloop::write_safetensors(folder.file(), samples(), {{"format", "pt"}});
  const std::string whole = bytes_of(folder.file());
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  const char* const words[] = {"\"",          "{",
                               "}",           "[",
                               "]",           ",",
                               ":",           "-1",
                               "0",           "1e9",
                               "F16",         "BOOL",
                               "U64",         "null",
                               "\\u0000",     "[0,0]",
                               "99999999999", "18446744073709551615",
                               "\xff",        "\"shape\":[2]",
                               "\"a\":{}"};
  int refused = 0;
  constexpr int kRounds = 6000;
  for (int round = 0; round < kRounds; ++round) {
    std::string bytes = whole;
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      const std::size_t in_header = 8 + below(header);
      switch (below(5)) {
        case 0: bytes[below(bytes.size())] ^= static_cast<char>(1u << below(8)); break;
        case 1: bytes[in_header] ^= static_cast<char>(1u << below(8)); break;
        case 2: bytes[in_header] = static_cast<char>("0123456789[]{},:\""[below(17)]); break;
        case 3: bytes.erase(in_header, 1 + below(12)); break;
        default: bytes.insert(in_header, words[below(std::size(words))]);
      }
      if (below(2) == 0) {  // keeps the length valid, so that damage reaches later checks
        const std::uint64_t length = header + (bytes.size() - whole.size());
        std::memcpy(bytes.data(), &length, 8);
      }
    }
    put(folder.file(), bytes);
    const std::string message = message_of_reading(folder.file());
    CAPTURE(round);
    if (message != kNothingThrown) {
      ++refused;
      CHECK(message.starts_with(folder.file() + ": "));
    }
  }
  CHECK(refused > kRounds / 4);
  CHECK(refused < kRounds);  // flips within the elements are still valid files
}

TEST_CASE("every reference file of another writer is read") {
  const char* variable = std::getenv("TAPELOOP_REFERENCE");
  const fs::path folder = variable != nullptr ? variable : "tests/reference";
  int files = 0;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() != ".safetensors") continue;
      CAPTURE(entry.path().string());
      const TensorFile file = tapeloop::read_safetensors(entry.path().string());
      CHECK_FALSE(file.tensors.empty());
      CHECK(file.metadata.contains("case"));
      ++files;
    }
  }
  if (files == 0)
    std::cout << "SKIPPED: no reference files in " << folder.string() << "; set TAPELOOP_REFERENCE"
              << std::endl;
}
