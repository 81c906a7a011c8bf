#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the plain comments of a header into those that Doxygen reads, and prints the header. doc/Doxyfile calls it.

A block of // lines directly above a declaration documents it. Up to the next blank line or comment it also documents
functions of the same name, and names that it mentions. A heading, // --- text ---, documents all up to there. A // behind
a declaration documents that declaration. A type without a comment has that of its file if it names the type. CONVENTIONS
are names that mean the same everywhere. Comments within functions stay as they are. Copying, moving and destroying are
left out of the reference. Every line keeps its number.

usage: doc/doxygen_filter.py HEADER
"""
import re
import sys

TYPE = re.compile(r"\b(namespace|class|struct|enum|union)\b[^()]*$")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\'')
ACCESS = re.compile(r"\s*(public|private|protected):\s*$")
# Copying, moving, destroying, deleted functions, and what belongs to std.
HIDDEN = re.compile(r"((virtual |inline |\w+::)*~\w+\(|(\w+)\((const )?\3&&?( \w+)?\)|(\w+)& operator=\((const )?\6&&?|"
                    r"inline (\w+)::\8\(|.*= delete;|struct std::)")
SEVERAL = re.compile(r"\s*((?:const )?[\w:<>]+ )(\w+(?:, \w+)+);\s*$")  # a declaration of several variables
HEADING = re.compile(r"\s*---+ *(.*?) *-*$")
# Patterns of declarations that need no comment of their own, and what the reference says of them.
CONVENTIONS = [
    (r"(struct|class) \w+Options\b", "Settings by name, with their defaults."),
    (r"void visit\(Visitor& ", "Gives the visitor each parameter and each part, with its name."),
    (r"void visit\(OptionTable& ", "Gives the table each field, with its name."),
    (r"using State = ", "What is carried from one time step to the next."),
    (r"using Options = ", "What it takes besides RecurrentOptions."),
    (r"\w*Options own;", "As given to the constructor."),
    (r"Recurrence recurrence\(\) const", "A step as data."),
    (r"(std::array<.*>|std::span<.*>) state_sizes\(\)", "The sizes of the parts of the state, h first."),
    (r"State step\(const Var& ", "One step by ordinary operations: the next state."),
    (r"Var input\(", "The part of a step that needs no state: for all time steps at once."),
    (r"static constexpr const char\* name = ", "The formula's name in messages, profiles and pictures."),
    (r"static constexpr .*\b(arguments|results)\b", "Their names in pictures and in messages."),
    (r".*\b(begin|end)\(\)", "Its elements, in order."),
    (r"struct Row \{", "One of its rows."),
    (r".*\brows\(\) const", "Its rows."),
    (r"bool defined\(\) const", "Whether it holds a value."),
    (r"(TL_HD )?auto \w+\(const X& x\) \{", "The function of formulas; its rule is the struct of this name in formula."),
    (r".*\bstatic (V|auto) value\(", "The value of the function at x."),
    (r".*\bstatic auto slope\(", "The derivative at x; y is the value there."),
    (r"static constexpr Accuracy accuracy = ", "The largest errors of the value, and where they hold."),
    (r"static constexpr bool flat = ", "Whether the derivative is 0 everywhere."),
    (r".*\binput_projection\(", "What input() applies: for a Stepper."),
    (r".*\boperator\(\)\(", "Calls it: see the type."),
    (r"explicit operator bool\(\) const|operator bool\(\) const", "Whether it is so: see the type."),
    (r"std::string str\(\) const", "As text."),
]


def name_of(declaration):
    """The name that it declares."""
    found = re.search(r"(operator\W+|[\w:]+)\(", declaration) or re.search(r"(\w+)(\[\w*\])?( = .*|\{.*)?;?$", declaration)
    return found[1] if found else declaration


def split_comment(line):
    """(code, comment) of a line; the comment without its slashes, None if there is none."""
    at = LITERAL.sub(lambda literal: "_" * len(literal[0]), line).find("//")
    return (line, None) if at < 0 else (line[:at], line[at + 2:])


def indented(line):
    """Whether the line is a comment of code, or of a table: Doxygen is to leave it as it is."""
    return re.match(r"\s*//   ", line) is not None


def escaped(comment):
    """The text for Doxygen, which would take these characters for commands."""
    heading = HEADING.match(comment)
    return re.sub(r"([\\@<>&#%])", r"\\\1", f" {heading[1]}." if heading else comment)


class Filter:
    def __init__(self, lines):
        self.lines = lines
        self.file_comment = ""
        self.opened = []  # the names of the types whose braces are open, and None for other braces
        self.scopes = []  # for each open brace: whether it is that of a namespace or a type
        self.statement = ""  # the code of the declaration so far
        self.block, self.run = [], []  # the comment above; the one of the declarations up to a blank line
        self.run_name = ""  # the first name below that
        self.trailing = None  # the column of the trailing comment in the line above
        self.hidden = False  # within a declaration that is left out

    def between_declarations(self):
        return all(self.scopes) and not self.statement

    def declaration(self):
        """The declaration that begins in this line, up to its brace or semicolon, without what it is a template of."""
        text = ""
        for line in self.lines[self.number:self.number + 6]:
            text += split_comment(line)[0].strip() + " "
            if re.search(r"[{;]", text):
                break
        return re.sub(r"^template <.*?> (?=\w)", "", text).strip()

    def shared(self, name):
        """The comment of the run, if it is about this name too."""
        text = " ".join(escaped(part).strip() for part in self.run if not part.startswith("   ") and
                        (len(self.run) == 1 or not HEADING.match(part)))
        heading = len(self.run) == 1 and HEADING.match(self.run[0])
        return text if heading or name == self.run_name or re.search(rf"\b{re.escape(name)}\b", text) else None

    def uncommented(self, declaration):
        """What the reference says of a declaration without a comment."""
        named = re.match(r"(?:class|struct|enum class) (\w+)\b(?!.*;)", declaration)
        if named and re.search(rf"\b{named[1]}\b", self.file_comment):
            return self.file_comment
        within = next((name for name in reversed(self.opened) if name), None)
        if within and re.match(rf"(explicit |constexpr |explicit\([^)]*\) )*{within}\(", declaration):
            return "Constructor: see the type."
        return next((text for pattern, text in CONVENTIONS if re.match(pattern, declaration)), None)

    def line_break(self, comment):
        """A break behind a line that the next word would have fitted into: of a formula or a list."""
        following = re.match(r"\s*// ?(\S+)", self.lines[self.number + 1])
        fits = following is not None and len(self.lines[self.number]) + 1 + len(following[1]) <= 76
        return "<br>" if fits and not indented(self.lines[self.number + 1]) else ""

    def comment_line(self, code, comment):
        if not self.between_declarations():
            return f"{code}//{comment}" if self.trailing != len(code) else f"{code}///<{escaped(comment)}"
        if self.trailing == len(code):
            return f"{code}///<{escaped(comment)}"
        if comment == " SPDX-License-Identifier: MIT":
            return "/// @file"
        if not any(line and not line.startswith("//") for line in self.lines[:self.number]):
            self.file_comment += escaped(comment)
        self.block.append(comment)
        self.run, self.trailing = [], None
        above, line, below = (self.lines[number] for number in (self.number - 1, self.number, self.number + 1))
        if indented(line):
            return (f"{code}///{'' if indented(above) else ' @verbatim'} {comment}"
                    f"{'' if indented(below) else ' @endverbatim'}")
        if HEADING.match(comment) and below.lstrip().startswith("//"):
            return f"{code}///"
        return f"{code}///{escaped(comment)}{self.line_break(comment)}"

    def code_line(self, line, code, comment):
        directive = code.lstrip().startswith("#")
        starts = self.between_declarations() and not directive and not ACCESS.match(code) and code.strip(" };") != ""
        documented = all(self.scopes) and comment is not None and not directive and code.strip(" };") != ""
        if documented:
            several = SEVERAL.match(code)  # the comment is about each of them
            line = "".join(f"{several[1]}{name}; /**< {escaped(comment)} */ " for name in several[2].split(", ")
                           ) if several else f"{code}///<{escaped(comment)}"
        self.trailing = len(code) if documented else None
        if starts:
            declaration = self.declaration()
            if HIDDEN.match(declaration):
                self.hidden, line = True, f"/** @cond */ {code}"
            elif self.block:
                self.run, self.run_name = self.block, name_of(declaration)
            elif comment is None:
                text = self.shared(name_of(declaration)) or self.uncommented(declaration)
                line = f"/** {text} */ {line}" if text else line
            self.block = []
        if not directive:
            self.read(code)
        if ACCESS.match(code):
            self.statement, self.run = "", []
        if self.hidden and self.between_declarations():
            self.hidden, line = False, f"{line} /** @endcond */"
        return line

    def read(self, code):
        """Follows braces and semicolons."""
        for mark in re.findall(r"[{};]|[^{};]+", LITERAL.sub("_", code)):
            if mark == "{":
                self.scopes.append(all(self.scopes) and not self.hidden and bool(TYPE.search(self.statement)))
                named = re.match(r".*\b(?:class|struct) (\w+)\b[^()]*$", self.statement)
                self.opened.append(named[1] if named else None)
                if self.scopes[-1]:
                    self.statement, self.run, self.block = "", [], []
            elif mark == "}":
                was_type = self.scopes.pop()
                self.opened.pop()
                if not was_type and all(self.scopes) and self.statement.count("(") <= self.statement.count(")"):
                    self.statement = ""
            elif mark == ";":
                self.statement = "" if all(self.scopes) else self.statement
            elif mark.strip():
                self.statement += mark

    def filtered(self):
        for self.number, line in enumerate(self.lines):
            code, comment = split_comment(line)
            if code.strip():
                yield self.code_line(line, code, comment)
            elif comment is not None:
                yield self.comment_line(code, comment)
            else:
                if not self.statement:
                    self.run = []
                self.block, self.trailing = [], None
                yield line


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as header:
        print("\n".join(Filter(header.read().split("\n")).filtered()))
