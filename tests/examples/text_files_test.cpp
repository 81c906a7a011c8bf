// SPDX-License-Identifier: MIT
// Text files from editors of any system, and files that no program should read as a whole.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "examples/char_lm/corpus.h"
#include "examples/common/text.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/folder.h"
#include "tests/messages.h"

using common::decode_text, common::Encoding;
using tapeloop::test::Folder, tapeloop::test::put;

using tapeloop::test::check_contains, tapeloop::test::contains, tapeloop::test::message_of;

namespace {

std::string utf16(const std::u16string& text, bool big) {
  std::string bytes;
  for (char16_t c : text) {
    const char high = static_cast<char>(c >> 8), low = static_cast<char>(c & 0xff);
    bytes += {big ? high : low, big ? low : high};
  }
  return bytes;
}

std::string utf8(const std::string& bytes) { return decode_text(bytes, "t"); }

}  // namespace

TEST_CASE("text: line ends of every system become one") {
  CHECK(utf8("a\nb\n\nc") == "a\nb\n\nc");
  CHECK(utf8("a\r\nb\r\n\r\nc\r\n") == "a\nb\n\nc\n");
  CHECK(utf8("a\rb\r\rc") == "a\nb\n\nc");
  CHECK(utf8("a\r\nb\rc\nd") == "a\nb\nc\nd");
  CHECK(utf8("a\u0085b\u0085") == "a\nb\n");
  CHECK(utf8("a\u2028b\u2029c") == "a\nb\nc");
  // In a text with usual line ends, these characters are white space.
  CHECK(utf8("a\u2028b\nc") == "a\u2028b\nc");
  CHECK(utf8("").empty());
  CHECK(utf8("\r") == "\n");
}

TEST_CASE("text: byte-order marks and a last Ctrl-Z are left out") {
  CHECK(utf8("\ufeffa\r\n\x1a") == "a\n");
  CHECK(utf8("a\x1a"
             "b\x1a") ==
        "a\x1a"
        "b");
  CHECK(utf8("\ufeff").empty());
}

TEST_CASE("text: UTF-16 is converted, damaged UTF-16 and UTF-32 are refused by name") {
  const std::u16string text = u"\ufeffa é 你 😀\r\n\uffff";
  for (const bool big : {false, true}) {
    CHECK(utf8(utf16(text, big)) == "a é 你 😀\n\uffff");
    CHECK(decode_text(utf16(text, big), "t", Encoding::any) == "a é 你 😀\n\uffff");
    for (const std::u16string& bad : {std::u16string{0xfeff, u'a', 0xd83d},
                                      {0xfeff, u'a', 0xd83d, u'b'},
                                      {0xfeff, u'a', 0xde00}}) {
      check_contains(message_of<tapeloop::FileError>([&] { utf8(utf16(bad, big)); }),
                     "t: this is UTF-16 and damaged at byte 5; repair it, for example by `iconv -c "
                     "-f utf-16 -t utf-8`");
    }
    check_contains(message_of<tapeloop::FileError>([&] { utf8(utf16(u"\ufeffa", big) + "b"); }),
                   "damaged at byte 5");
  }
  CHECK(utf8("\xff\xfe").empty());
  check_contains(
      message_of<tapeloop::FileError>([] { utf8(std::string("\xff\xfe\0\0a\0\0\0", 8)); }),
      "t: this is UTF-32");
  check_contains(
      message_of<tapeloop::FileError>([] { utf8(std::string("\0\0\xfe\xff\0\0\0a", 8)); }),
      "t: this is UTF-32");
}

TEST_CASE("text: bytes that are no UTF-8 and NUL bytes are named with their line") {
  check_contains(
      message_of<tapeloop::FileError>([] { utf8("a\r\nbc\xe9\r\n"); }),
      "t, line 2: byte 3 of the line (0xe9) is not UTF-8; convert the file, for example by");
  check_contains(message_of<tapeloop::FileError>([] { utf8("\xe9"); }),
                 "t, line 1: byte 1 of the line");
  check_contains(message_of<tapeloop::FileError>([] { utf8("\n\xe9"); }),
                 "t, line 2: byte 1 of the line");
  check_contains(message_of<tapeloop::FileError>([] { utf8(std::string("a\0\n\0", 4)); }),
                 "t, line 1: the line has a NUL byte");
  check_contains(message_of<tapeloop::FileError>([] { utf8(std::string("a\nb\0", 4)); }),
                 "t, line 2: the line has a NUL byte; if the file is UTF-16, convert it by");
}

TEST_CASE("text of another encoding stays as it is where bytes are symbols") {
  const auto any = [](const std::string& bytes) { return decode_text(bytes, "t", Encoding::any); };
  CHECK(any("caf\xe9\r\nth\xe9\r") == "caf\xe9\nth\xe9\n");
  CHECK(any("\xc2\x85\xe9") == "\xc2\x85\xe9");  // these bytes are letters of Latin-1
  const std::string binary(
      "\xef\xbb\xbf"
      "a\0\r\n\x1a",
      8);
  CHECK(any(binary) == binary);
}

TEST_CASE("binary data that begins as UTF-16 does stays as it is where bytes are symbols") {
  for (const char* start : {"\xff\xfe", "\xfe\xff"}) {
    for (const std::string& rest : {std::string("abc"), std::string("\0\xdc\xdc\0\r\n", 6)}) {
      const std::string binary = start + rest;
      CHECK(decode_text(binary, "t", Encoding::any) == binary);
      check_contains(message_of<tapeloop::FileError>([&] { utf8(binary); }),
                     "t: this is UTF-16 and damaged");
    }
  }
}

TEST_CASE("a message shows control characters and stray bytes as numbers") {
  CHECK(common::printable("a é 你 \\x") == "a é 你 \\x");
  CHECK(common::printable("\x1b[2J\x07\x7f\n") == "\\x1b[2J\\x07\\x7f\\x0a");
  CHECK(common::printable("\xe9\xc2\x9b\xc2") == "\\xe9\\xc2\\x9b\\xc2");
  CHECK(common::printable("").empty());
}

TEST_CASE("white space of every kind is trimmed, and nothing else") {
  CHECK(common::trimmed(" \t\u00a0a b\u3000\u2003\ufeff\r\n") == "a b");
  CHECK(common::trimmed("\u200b\u2028") == "");
  CHECK(common::trimmed("") == "");
  CHECK(common::trimmed("\xe9 \xa0") == "\xe9 \xa0");  // no UTF-8: not cut inside
  CHECK(common::with_plain_spaces("a\t\u00a0b\n\u3000c\xe9") == "a  b\n c\xe9");
}

TEST_CASE("a list or text of char_lm is the same from every system") {
  const Folder folder;
  const auto read = [&](const std::string& bytes) {
    put(folder.file("text"), bytes);
    return char_lm::read_text(folder.file("text"));
  };
  CHECK(read("Anna\r\nBert\r\n") == "Anna\nBert\n");
  CHECK(read("Anna\rBert\r") == "Anna\nBert\n");
  CHECK(read("\ufeffAnna\nBert\n\x1a") == "Anna\nBert\n");
  CHECK(read(utf16(u"\ufeffAnna\r\nBert\r\n", false)) == "Anna\nBert\n");
  CHECK(read("Ren\xe9\r\nBert\r\n") == "Ren\xe9\nBert\n");
  CHECK(char_lm::split_lines(read("a\rb\rc\rd\re\rf\rg\rh\ri\rj\r")).validation == "j\n");
  check_contains(message_of<tapeloop::FileError>([&] { read("\ufeff"); }), "the file is empty");
}

TEST_CASE("what is no file of text is refused by name and size, without reading it") {
  const Folder folder;
  const auto refused = [](const std::string& path) {
    return message_of<tapeloop::FileError>([&] { char_lm::read_text(path); });
  };
  check_contains(refused(folder.path.string()),
                 "is not a regular file but a folder, pipe or device");
  REQUIRE(::mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  check_contains(refused(folder.file("pipe")),
                 "is not a regular file but a folder, pipe or device");
  check_contains(refused("/dev/zero"), "is not a regular file but a folder, pipe or device");
  std::filesystem::create_symlink(folder.file("loop"), folder.file("loop"));
  check_contains(refused(folder.file("loop")), "Too many levels of symbolic links");
  put(folder.file("sparse"), "a");
  std::filesystem::resize_file(folder.file("sparse"), std::uintmax_t{64} << 30);
  check_contains(refused(folder.file("sparse")),
                 "sparse: has 68719476736 bytes, but the limit is 2147483648; give a smaller file");
  put(folder.file("secret"), "a");
  std::filesystem::permissions(folder.file("secret"), std::filesystem::perms::none);
  if (::geteuid() == 0) {
    MESSAGE("SKIPPED: root may read every file");
  } else {
    check_contains(refused(folder.file("secret")), "Permission denied");
  }
  put(folder.file("five"), "12345");
  CHECK(tapeloop::read_file(folder.file("five"), 5) == "12345");
  check_contains(
      message_of<tapeloop::FileError>([&] { tapeloop::read_file(folder.file("five"), 4); }),
      "has 5 bytes");
}
