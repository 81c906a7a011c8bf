// SPDX-License-Identifier: MIT
// The readers of labelled texts and words: formats, lines that do not fit, folders.
#include "examples/common/texts/labelled_text.h"

#include "tests/folder.h"
#include "tests/messages.h"

namespace common {
namespace {

namespace test = tapeloop::test;
using Words = std::vector<std::string>;

TEST_CASE("texts are read line by line") {
  const LabelledText s = labelled_text("A text\t1\n\na\tb  \t 0 \n\t2", "x", LabelFormat::texts);
  REQUIRE(s.list.size() == 3);
  CHECK(s.list[0].words == Words{"A text"});
  CHECK(s.list[0].labels == Words{"1"});
  CHECK(s.list[1].words == Words{"a\tb  "});  // the last TAB separates
  CHECK(s.list[1].labels == Words{"0"});
  CHECK(s.list[2].words == Words{""});
}

TEST_CASE("CoNLL-U is read without comments, multiword tokens and empty nodes") {
  const std::string rest = "\t_\t_\t_\t_\t_\t_";
  const LabelledText s = labelled_text(
      "# text = It's\ta\n1-2\tIt's\t_\t_" + rest + "\n1\tIt\tit\tPRON" + rest + "\n2\t's\tbe\tAUX" +
          rest + "\n2.1\tgone\tgo\tVERB" + rest + "\n\n\n1\t#\t#\tSYM" + rest,
      "x", LabelFormat::words);
  REQUIRE(s.list.size() == 2);
  CHECK(s.list[0].words == Words{"It", "'s"});
  CHECK(s.list[0].labels == Words{"PRON", "AUX"});
  CHECK(s.list[1].words == Words{"#"});
  CHECK(s.notes == Words{"x: 2 multiword tokens and empty nodes left out"});
}

TEST_CASE("columns of words and tags are read; further columns are ignored") {
  const LabelledText s =
      labelled_text("# a comment\n#1\tX\nThe\tDET\tDT\n#\tSYM\n\n-1\tNUM", "x", LabelFormat::words);
  REQUIRE(s.list.size() == 2);
  CHECK(s.list[0].words == Words{"#1", "The", "#"});
  CHECK(s.list[0].labels == Words{"X", "DET", "SYM"});
  CHECK(s.list[1].words == Words{"-1"});
}

TEST_CASE("lines that do not fit are named") {
  const auto text = [](const char* t) {
    return [t] { labelled_text(t, "x", LabelFormat::texts); };
  };
  const auto tags = [](const char* t) {
    return [t] { labelled_text(t, "x", LabelFormat::words); };
  };
  CHECK(test::throws_with("x, line 2: there is no TAB; expected", text("a\t1\nb\n")));
  CHECK(test::throws_with("x, line 1: no label after the TAB", text("a\t \n")));
  CHECK(test::throws_with("x, line 2: 1 columns, expected \"word TAB tag\"", tags("a\tb\nc\n")));
  CHECK(test::throws_with("x, line 1: the word or its tag is empty", tags("a\t\n")));
  const char* const nine = "1\ta\ta\tX\t_\t_\t_\t_\t_\t_\n2\ta\ta\tX\t_\t_\t_\t_\t_\n";
  CHECK(test::throws_with("x, line 2: 9 columns, expected the 10 of CoNLL-U", tags(nine)));
  CHECK(test::throws_with("its tag is empty", tags("1\ta\ta\t_\t_\t_\t_\t_\t_\t_\n")));
}

TEST_CASE("of a folder the files that fit are read, but not the test") {
  const test::Folder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    test::put(folder.file(name), text);
    return folder.file(name);
  };
  write("a.txt", "one\t1\r\ntwo\t0\r\n");
  write("b.md", "three\t1\n");
  write("c.txt", "This is\nabout\nthe data\tonly\n");
  const std::string test = write("d.tsv", "four\t1\n");
  const std::string path = folder.path.string();
  const LabelledText all = read_labelled(path, LabelFormat::texts);
  REQUIRE(all.list.size() == 3);
  CHECK(all.list[1].words == Words{"two"});
  REQUIRE(all.notes.size() == 1);
  test::check_contains(all.notes[0], "c.txt: left out, most lines have no TAB");
  const LabelledText others = read_labelled(path, LabelFormat::texts, test);
  CHECK(others.list.size() == 2);
  test::check_contains(others.notes.back(), "d.tsv: it is the test");
  CHECK(test::throws_with("no text in it; expected lines",
                          [&] { read_labelled(write("empty.txt", "\n\n"), LabelFormat::texts); }));
  CHECK(test::throws_with(
      "line 1|byte", [&] { read_labelled(write("odd.txt", "caf\xe9\t1\n"), LabelFormat::texts); }));
}

}  // namespace
}  // namespace common
