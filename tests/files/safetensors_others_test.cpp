// SPDX-License-Identifier: MIT
// safetensors files of other programs: tensors that the reader reads and ignores, and the error if
// a model needs an unread tensor.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/nn/save/checkpoint.h"
#include "tests/folder.h"
#include "tests/messages.h"

namespace tapeloop {
namespace {

using test::contains;
using test::Folder;
using test::message_of;
using test::put;

std::string with_length(const std::string& header, const std::string& data) {
  std::string result(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(result.data(), &length, 8);
  return result + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  int begin, int end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// "weight" [2], with the elements 1 and 2, between two tensors of unreadable types.
const std::string kOnes("\0\0\x80\x3f\0\0\0\x40", 8);
std::string file_with(const std::string& dtype, const std::string& shape, int bytes,
                      const std::string& name = "scale") {
  const std::string odd(static_cast<std::size_t>(bytes), '\x85');
  return with_length("{" + entry("weight", "F32", "2", bytes, bytes + 8) + "," +
                         entry(name, dtype, shape, 0, bytes) + "," +
                         entry("z", dtype, shape, bytes + 8, 2 * bytes + 8) + "}",
                     odd + kOnes + odd);
}

struct Weight {
  Var weight = parameter(Tensor::zeros({2}));
  void visit(nn::Visitor& v) const { v("weight", weight); }
};

struct Unreadable {
  const char* dtype;
  const char* shape;
  int bytes;
  const char* says;
};
const Unreadable kUnreadable[] = {
    {"F8_E4M3", "3", 3, "has the element type \"F8_E4M3\""},
    {"F8_E5M2", "0", 0, "has the element type \"F8_E5M2\""},
    {"F8_E8M0", "2,2", 4, "has the element type \"F8_E8M0\""},
    {"F4", "4", 2, "has the element type \"F4\""},
    {"C64", "1", 8, "has the element type \"C64\""},
    {"f32", "1", 4,
     "has the element type \"f32\", which is not supported; expected one of F32, F64"},
    {"F32", "1,1,1,1,1,1,1", 4, "has 7 axes; at most 6 are supported"},
    {"U64", "1", 8, "holds a value that does not fit in int64; expected at most 2^63 - 1"},
};

}  // namespace

TEST_CASE("a tensor that cannot be read spoils nothing but itself") {
  Folder folder;
  for (const Unreadable& odd : kUnreadable) {
    CAPTURE(odd.says);
    put(folder.file(), file_with(odd.dtype, odd.shape, odd.bytes));
    const TensorFile file = read_safetensors(folder.file());
    REQUIRE(file.tensors.size() == 1);
    CHECK(file.tensors[0].tensor.to_vector<float>() == std::vector<float>{1, 2});
    REQUIRE(file.unread.size() == 2);
    CHECK(file.unread[0].name == "scale");
    CHECK(file.unread[1].name == "z");
    CHECK(contains(file.unread[1].problem, odd.says));
    CHECK(nn::load(folder.file()).size() == 1);
    const Weight model;
    nn::load(folder.file(), model);
    CHECK(model.weight.value().to_vector<float>() == std::vector<float>{1, 2});
  }
}

TEST_CASE("a model that needs such a tensor says its name, its type and the types there are") {
  Folder folder;
  struct Scaled {
    Var weight = parameter(Tensor::full({2}, 7)), scale = parameter(Tensor::full({3}, 7));
    void visit(nn::Visitor& v) const { v("weight", weight), v("scale", scale); }
  } const model;
  for (const Unreadable& odd : kUnreadable) {
    put(folder.file(), file_with(odd.dtype, odd.shape, odd.bytes));
    const std::string message = message_of<Error>([&] { nn::load(folder.file(), model); });
    CHECK(contains(message, folder.file() + " does not fit the model, and nothing was changed"));
    CHECK(contains(message, std::string("\"scale\" ") + odd.says));
    CHECK_FALSE(contains(message, "missing"));
    CHECK_FALSE(contains(message, "\"z\""));
    CHECK(model.weight.value().at({1}) == 7);
  }
}

TEST_CASE("a parameter of two names is read by the one whose tensor can be read") {
  Folder folder;
  struct Tied {
    Var weight = parameter(Tensor::full({2}, 7));
    const char* other;
    void visit(nn::Visitor& v) const { v("weight", weight), v(other, weight); }
  };
  for (const Unreadable& odd : kUnreadable) {
    CAPTURE(odd.says);
    put(folder.file(), file_with(odd.dtype, odd.shape, odd.bytes));
    for (const char* other : {"scale", "z"}) {
      const Tied model{.other = other};
      nn::load(folder.file(), model);
      CHECK(model.weight.value().to_vector<float>() == std::vector<float>{1, 2});
    }
    struct Unread {
      Var scale = parameter(Tensor::full({2}, 7));
      void visit(nn::Visitor& v) const { v("scale", scale), v("z", scale); }
    } const model;
    const std::string message = message_of<Error>([&] { nn::load(folder.file(), model); });
    CHECK(contains(message, std::string("\"scale\" ") + odd.says));
    CHECK(contains(message, std::string("\"z\" ") + odd.says));
    CHECK_FALSE(contains(message, "missing"));
  }
}

TEST_CASE("a checkpoint is not read in part") {
  Folder folder;
  nn::save_checkpoint(folder.file(), {.sections = {{"model", {{"w", Tensor::full({2}, 1)}}}}});
  std::string bytes = test::bytes_of(folder.file());
  bytes.replace(bytes.find("\"F32\""), 5, "\"F33\"");
  put(folder.file(), bytes);
  CHECK(contains(message_of<Error>([&] { nn::read_checkpoint(folder.file()); }),
                 "tensor \"model.w\" has the element type \"F33\""));
}

TEST_CASE("metadata that are no texts and fields that the format does not have are passed over") {
  Folder folder;
  const std::string weight = entry("weight", "F32", "2", 0, 8);
  const std::string with_fields = weight.substr(0, weight.size() - 1);
  for (const std::string& header : {
           R"({"__metadata__":{"epoch":3,"a":"b","loss":-1.5e-3,"ok":true,"none":null},)" + weight +
               "}",
           R"({"__metadata__":{"list":[1,[2],{"a":{"x":"y"}}],"a":"b","o":{"a":"c","p":[]}},)" +
               weight + "}",
           R"({)" + weight + R"(,"__metadata__":{"a":"b"}})",
           R"({"__metadata__":{"a":"b"},)" + with_fields +
               R"(,"extra":{"shape":[9],"b":[{}]},"note":"x","n":-1}})",
       }) {
    CAPTURE(header);
    put(folder.file(), with_length(header, kOnes));
    const TensorFile file = read_safetensors(folder.file());
    REQUIRE(file.tensors.size() == 1);
    CHECK(file.tensors[0].tensor.to_vector<float>() == std::vector<float>{1, 2});
    CHECK(file.metadata == Metadata{{"a", "b"}});
  }
  put(folder.file(), with_length(R"({"__metadata__":null,)" + weight + "}", kOnes));
  CHECK(read_safetensors(folder.file()).metadata.empty());
  const auto fails = [&](const std::string& header) {
    put(folder.file(), with_length(header, kOnes));
    return message_of<Error>([&] { read_safetensors(folder.file()); });
  };
  CHECK(contains(fails(R"({"__metadata__":{"a":1,"a":2},)" + weight + "}"), "has \"a\" twice"));
  CHECK(contains(fails(R"({"__metadata__":[],)" + weight + "}"), "expected an object"));
  std::string many;
  for (int i = 0; i < 65; ++i) many += i == 0 ? "1" : ",1";
  CHECK(contains(fails("{" + entry("weight", "F32", many, 0, 8) + "}"), "more than 64 axes"));
}

TEST_CASE("headers in any order, with any spaces, and tensors without elements are read") {
  Folder folder;
  const std::string header =
      "{\n  " + entry("c", "F32", "1", 4, 8) + " ,\t" + entry("none", "F32", "0,3", 4, 4) +
      ",\r\n" + entry("a", "F32", "", 0, 4) + "," + entry("end", "I8", "0", 8, 8) + "}   ";
  put(folder.file(), with_length(header, kOnes));
  const TensorFile file = read_safetensors(folder.file());
  std::string found;
  for (const NamedTensor& item : file.tensors) found += item.name + item.tensor.describe() + " ";
  CHECK(found == "afloat32[] nonefloat32[0, 3] cfloat32[1] endint64[0] ");
  CHECK(file.tensors[2].tensor.item() == 2);
}

TEST_CASE("an index of several files and the files of torch.save are refused with the way out") {
  Folder folder;
  const auto fails = [&](const std::string& bytes) {
    put(folder.file(), bytes);
    return message_of<Error>([&] { read_safetensors(folder.file()); });
  };
  const char* index =
      R"({"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}})";
  CHECK(contains(fails(index), "load each of the files that its \"weight_map\" names"));
  CHECK(contains(fails(std::string("PK\3\4\0\0\0\0\0\0\0\0", 12)), "safetensors.torch.save_file"));
  CHECK(contains(fails(std::string("\x80\2\x8a\nl\xfc\x9c\x46\xf9 ", 10)),
                 "safetensors.torch.save_file"));
}

}  // namespace tapeloop
