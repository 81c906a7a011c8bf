// SPDX-License-Identifier: MIT
// Rules of the safetensors format: small element types, and a violation of every rule.
#include "tapeloop/autograd/files/safetensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
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
