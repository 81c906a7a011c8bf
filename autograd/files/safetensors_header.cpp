// SPDX-License-Identifier: MIT
// Reads the JSON header event by event, not as a tree. So it finds duplicate keys, uses no memory
// for values that it ignores, and needs no stack for deep nesting. Does not open files.
#include "tapeloop/autograd/files/safetensors_header.h"

#include <fmt/format.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::safetensors {

using nlohmann::json;

void bad(const std::string& path, const std::string& problem) {
  throw FileError(path + ": " + problem);
}

std::string shown(const std::string& name) {
  constexpr std::size_t kShown = 100;
  std::string text =
      json(name.substr(0, kShown)).dump(-1, ' ', false, json::error_handler_t::replace);
  // DEL is the one control character that JSON does not escape.
  for (std::size_t at = 0; (at = text.find('\x7f', at)) != std::string::npos;) {
    text.replace(at, 1, "\\u007f");
  }
  return text + (name.size() > kShown ? "..." : "");
}

std::string json_string(const std::string& text) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    return {};
  }
}

namespace {

constexpr std::size_t kMostAxes = 64;  // more than any program gives a tensor

class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  HeaderReader(const std::string& path, Header& header) : path_(path), header_(header) {}

  bool null() override {
    if (place_ == Place::top && name_ == kMetadata) return true;
    return passed_over("null");
  }
  bool boolean(bool) override { return passed_over("true or false"); }
  bool number_integer(number_integer_t) override { return passed_over("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return passed_over("a fraction or too large a number");
  }
  bool binary(binary_t&) override { return passed_over("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (entry().sizes.size() == kMostAxes) {
        bad(path_,
            fmt::format("tensor {} has more than {} axes; {}", shown(name_), kMostAxes, kDamaged));
      }
      entry().sizes.push_back(value);
    } else if (place_ == Place::offsets) {
      if (offset_count_ < 2) entry().offsets[offset_count_] = value;
      ++offset_count_;
    } else {
      return passed_over("a number");
    }
    return true;
  }
  bool string(string_t& value) override {
    if (place_ == Place::metadata && foreign_depth_ == 0) {
      header_.metadata[field_] = std::move(value);
    } else if (place_ == Place::entry && field_ == "dtype" && foreign_depth_ == 0) {
      entry().dtype = std::move(value);
    } else {
      return passed_over("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ != Place::top) {
      passed_over("an object");
      ++foreign_depth_;
    } else if (name_ == kMetadata) {
      place_ = Place::metadata;
    } else {
      place_ = Place::entry;
      header_.entries.emplace_back().name = name_;
      has_dtype_ = has_shape_ = has_offsets_ = false;
      offset_count_ = 0;
    }
    return true;
  }
  bool key(string_t& value) override {
    if (foreign_depth_ > 0) return true;
    if (place_ == Place::top) {
      if (!names_.insert(value).second) {
        bad(path_, fmt::format("the header has {} twice; a name may be given once; {}",
                               shown(value), kDamaged));
      }
      name_ = std::move(value);
      return true;
    }
    if (place_ == Place::metadata) {
      if (!fields_.insert(value).second) twice(value);
    } else {
      bool* seen = value == "dtype"          ? &has_dtype_
                   : value == "shape"        ? &has_shape_
                   : value == "data_offsets" ? &has_offsets_
                                             : nullptr;
      if (seen != nullptr && std::exchange(*seen, true)) twice(value);
    }
    field_ = std::move(value);
    return true;
  }
  bool end_object() override {
    if (foreign_depth_ > 0) {
      --foreign_depth_;
      return true;
    }
    if (place_ == Place::entry && !(has_dtype_ && has_shape_ && has_offsets_)) {
      bad(path_, fmt::format("tensor {} has no {}; expected dtype, shape and data_offsets; {}",
                             shown(name_),
                             !has_dtype_   ? "dtype"
                             : !has_shape_ ? "shape"
                                           : "data_offsets",
                             kDamaged));
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (foreign_depth_ == 0 && place_ == Place::entry && field_ == "shape") {
      place_ = Place::shape;
    } else if (foreign_depth_ == 0 && place_ == Place::entry && field_ == "data_offsets") {
      place_ = Place::offsets;
    } else {
      passed_over("a list");
      ++foreign_depth_;
    }
    return true;
  }
  bool end_array() override {
    if (foreign_depth_ > 0) {
      --foreign_depth_;
      return true;
    }
    if (place_ == Place::offsets && offset_count_ != 2) {
      bad(path_, fmt::format("tensor {} has {} data_offsets; expected 2, begin and end; {}",
                             shown(name_), offset_count_, kDamaged));
    }
    place_ = Place::entry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const json::exception& error) override {
    const bool encoding = std::strstr(error.what(), "ill-formed UTF-8") != nullptr;
    bad(path_,
        fmt::format(
            "the header is not valid {} at its byte {}; expected UTF-8 text, a JSON object; {}",
            encoding ? "UTF-8" : "JSON", position, kDamaged));
  }

 private:
  enum class Place { outside, top, entry, shape, offsets, metadata };

  Entry& entry() { return header_.entries.back(); }
  // True if nothing here depends on the value: it is part of an unknown field, or is metadata that
  // is not a string. Throws for other values.
  bool passed_over(const char* found) const {
    const bool own = place_ != Place::metadata && (place_ != Place::entry || field_ == "dtype" ||
                                                   field_ == "shape" || field_ == "data_offsets");
    if (own && foreign_depth_ == 0) unexpected(found);
    return true;
  }
  [[noreturn]] void twice(const std::string& field) const {
    bad(path_, fmt::format("{} has {} twice; a name may be given once; {}", shown(name_),
                           shown(field), kDamaged));
  }
  [[noreturn]] void unexpected(const char* found) const {
    const bool metadata = name_ == kMetadata;
    const char* expected = place_ == Place::top     ? "an object"
                           : place_ != Place::entry ? "a whole number, 0 or more"
                           : field_ == "dtype"      ? "a string"
                                                    : "a list of whole numbers";
    bad(path_,
        fmt::format("{}{} in the header: found {}; expected {}; {}", metadata ? "" : "tensor ",
                    shown(name_) + (place_ == Place::top ? "" : ", " + shown(field_)), found,
                    expected, kDamaged));
  }

  const std::string& path_;
  Header& header_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> fields_;  // names in the metadata
  std::string name_;                        // name of the tensor, or "__metadata__"
  std::string field_;                       // name of its field
  Place place_ = Place::outside;
  std::size_t foreign_depth_ = 0;  // depth in objects and lists that are ignored
  std::size_t offset_count_ = 0;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
};

}  // namespace

Header parse_header(const std::string& path, const std::string& text) {
  if (!text.starts_with('{')) {
    bad(path, fmt::format("its header does not begin with '{{'; {}", kDamaged));
  }
  // The JSON reader takes a zero byte for the end of the text.
  if (std::size_t zero = text.find('\0'); zero != std::string::npos) {
    bad(path, fmt::format("the header is not valid JSON at its byte {}: a zero byte; {}", zero + 1,
                          kDamaged));
  }
  Header header;
  HeaderReader reader(path, header);
  json::sax_parse(text, &reader);
  return header;
}

}  // namespace tapeloop::safetensors
