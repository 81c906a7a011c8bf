// SPDX-License-Identifier: MIT
// safetensors files: round trips, a violation of every rule of the format, damaged files of all
// kinds, full disks. The only files of other programs are those of tests/reference.
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
using tapeloop::test::put;

using tapeloop::test::contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of;

namespace {

std::string with_length(const std::string& header, const std::string& data) {
  std::string result(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(result.data(), &length, 8);
  return result + header + data;
}

std::string message_of_reading(const std::string& path) {
  return message_of<FileError>([&] { tapeloop::read_safetensors(path); });
}

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

TEST_CASE("small element types become float32 or int64") {
  Folder folder;
  auto read = [&](const std::string& dtype, std::size_t count, const std::string& data) {
    put(folder.file(),
        with_length(R"({"t":{"dtype":")" + dtype + R"(","shape":[)" + std::to_string(count) +
                        R"(],"data_offsets":[0,)" + std::to_string(data.size()) + "]}}",
                    data));
    return tapeloop::read_safetensors(folder.file()).tensors[0].tensor;
  };
  auto bytes = [](auto... values) { return std::string{static_cast<char>(values)...}; };
  using Floats = std::vector<float>;
  using Integers = std::vector<std::int64_t>;
  // 1, -2, 65504, 2^-24, -0, infinity, 2^-14, and the largest subnormal
  const std::string halves =
      bytes(0, 0x3c, 0, 0xc0, 0xff, 0x7b, 1, 0, 0, 0x80, 0, 0x7c, 0, 4, 0xff, 3);
  const Tensor half = read("F16", 8, halves);
  CHECK(half.dtype() == DType::float32);
  CHECK(half.to_vector<float>() == Floats{1, -2, 65504, 0x1p-24f, -0.0f,
                                          std::numeric_limits<float>::infinity(), 0x1p-14f,
                                          1023 * 0x1p-24f});
  CHECK(std::signbit(half.to_vector<float>()[4]));
  CHECK(std::isnan(read("F16", 1, bytes(1, 0xfe)).item()));
  CHECK(read("BF16", 3, bytes(0x80, 0x3f, 0x20, 0xc1, 1, 0)).to_vector<float>() ==
        Floats{1, -10, 0x1p-133f});
  CHECK(read("BOOL", 2, bytes(0, 1)).to_vector<std::int64_t>() == Integers{0, 1});
  CHECK(read("U8", 2, bytes(255, 1)).to_vector<std::int64_t>() == Integers{255, 1});
  CHECK(read("I8", 2, bytes(255, 128)).to_vector<std::int64_t>() == Integers{-1, -128});
  CHECK(read("U16", 1, bytes(0xfe, 0xff)).to_vector<std::int64_t>() == Integers{65534});
  CHECK(read("I16", 1, bytes(0xfe, 0xff)).to_vector<std::int64_t>() == Integers{-2});
  CHECK(read("U32", 1, bytes(255, 255, 255, 255)).to_vector<std::int64_t>() ==
        Integers{4294967295});
  CHECK(read("I32", 1, bytes(254, 255, 255, 255)).to_vector<std::int64_t>() == Integers{-2});
  CHECK(read("U64", 1, bytes(255, 255, 255, 255, 255, 255, 255, 127)).to_vector<std::int64_t>() ==
        Integers{INT64_MAX});
  CHECK(
      contains(message_of<tapeloop::Error>([&] { read("BOOL", 1, bytes(2)); }), "expected 0 or 1"));
  // Longer than the block that is converted at a time.
  std::string many(200001, '\7');
  many.back() = '\5';
  const std::vector<std::int64_t> values = read("U8", many.size(), many).to_vector<std::int64_t>();
  CHECK(values.front() == 7);
  CHECK(values[199999] == 7);
  CHECK(values.back() == 5);
}

TEST_CASE(
    "every broken rule of the format is a FileError that names the file, the tensor and the rule") {
  Folder folder;
  struct Case {
    const char* header;
    std::size_t data;
    std::vector<const char*> says;
  };
  const char* good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const std::string twice = std::string(R"({"a":{)") + good + R"(},"a":{)" + good + "}}";
  const std::string escaped = std::string(R"({"a":{)") + good + R"(},"\u0061":{)" + good + "}}";
  const std::string deep = "{\"a\":" + std::string(200000, '[');
  const std::string deep_objects = [] {
    std::string text = "{";
    for (int i = 0; i < 100000; ++i) text += "\"a\":{";
    return text;
  }();
  const std::string zero = std::string(R"({})") + std::string(6, '\0');
  const Case cases[] = {
      {"", 0, {"does not begin with '{'"}},
      {" {}", 0, {"does not begin with '{'"}},
      {"[]", 0, {"does not begin with '{'"}},
      {"{", 0, {"not valid JSON"}},
      {"{} x", 0, {"not valid JSON"}},
      {"{\"a\":/**/{}}", 0, {"not valid JSON"}},
      {"{\"a\xff\":{}}", 0, {"not valid UTF-8", "byte"}},
      {"{\"a\xed\xa0\x80\":{}}", 0, {"not valid UTF-8"}},
      {"{\"\\ud800\":{}}", 0, {"not valid JSON"}},
      {deep.c_str(), 0, {"\"a\"", "found a list", "expected an object"}},
      {deep_objects.c_str(), 0, {"not valid JSON"}},
      {twice.c_str(), 8, {"has \"a\" twice"}},
      {escaped.c_str(), 8, {"has \"a\" twice"}},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       8,
       {"\"a\" has \"dtype\" twice"}},
      {R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})",
       8,
       {"\"a\" has \"shape\" twice"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}})",
       8,
       {"\"data_offsets\" twice"}},
      {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8, {"\"a\" has no dtype"}},
      {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8, {"\"a\" has no shape"}},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, {"\"a\" has no data_offsets"}},
      {R"({"a":1})", 0, {"\"a\"", "found a number", "expected an object"}},
      {R"({"a":null})", 0, {"found null", "expected an object"}},
      {R"({"a":{"dtype":4,"shape":[2],"data_offsets":[0,8]}})",
       8,
       {"\"dtype\"", "expected a string"}},
      {R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})",
       8,
       {"\"shape\"", "expected a list"}},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
       8,
       {"a negative number", "0 or more"}},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})",
       8,
       {"a fraction", "whole number"}},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}})",
       8,
       {"too large a number"}},
      {R"({"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}})",
       8,
       {"found a string", "whole number"}},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})",
       8,
       {"found a list", "whole number"}},
      {R"({"a":{"dtype":"F32","shape":[true],"data_offsets":[0,8]}})", 8, {"true or false"}},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}})",
       8,
       {"\"a\"", "63 bits"}},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
       0,
       {"\"a\"", "63 bits"}},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})",
       0,
       {"\"a\"", "63 bits"}},
      {R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})",
       0,
       {"\"a\"", "63 bits"}},
      {R"({"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}})",
       8,
       {"8 bytes of data follow"}},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
       8,
       {"\"a\" is F32 [3] and needs 12 bytes", "0 to 8"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, {"\"a\"", "8 to 0"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}})",
       8,
       {"\"a\" has 1 data_offsets", "expected 2"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})",
       8,
       {"\"a\" has 3 data_offsets"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12,
       {"\"a\" begin at 4", "no holes"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
       16,
       {"\"b\" begin at 12", "expected 8", "no holes"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8,
       {"\"b\" begin at 4", "not overlap"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       8,
       {"not overlap"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       9,
       {"9 bytes of data follow", "expected 8"}},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       7,
       {"7 bytes of data follow", "expected 8"}},
      {"{}", 1, {"1 bytes of data follow", "expected 0"}},
      {R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[8,0]}})", 8, {"\"a\"", "8 to 0"}},
      {R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,7]}})",
       8,
       {"8 bytes of data follow"}},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,3],"data_offsets":[0,8]}})",
       8,
       {"needs 12 bytes"}},
      {R"({"__metadata__":1})", 0, {"\"__metadata__\"", "expected an object"}},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, {"\"__metadata__\" has \"a\" twice"}},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, {"\"__metadata__\" twice"}},
  };
  for (const Case& broken : cases) {
    CAPTURE(std::string(broken.header).substr(0, 200));
    put(folder.file(), with_length(broken.header, std::string(broken.data, 'x')));
    const std::string message = message_of_reading(folder.file());
    CHECK(message.starts_with(folder.file() + ": "));
    CHECK(message.size() < 1000);
    for (const char* part : broken.says) {
      CAPTURE(message);
      CHECK(contains(message, part));
    }
  }
  put(folder.file(), with_length(zero, ""));
  CHECK(contains(message_of_reading(folder.file()), "not valid JSON at its byte 3: a zero byte"));
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
