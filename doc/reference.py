#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs Doxygen with doc/Doxyfile on the headers that a build installs, but for MACHINERY. Fails where a public name has
no comment. Public are all names outside of the namespaces detail, internal, math and cpu. The first page lists the
headers by folder, with the first sentence of each.

usage: doc/reference.py BUILD_FOLDER OUTPUT_FOLDER     in the root of the repository
"""
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

# What compiles formulas for each device: users' programs include it and write none of its names.
MACHINERY = ("autograd/device/cpu/loop.h", "autograd/device/cuda/registry.h", "autograd/device/cuda/recurrent/",
             "autograd/formula/", "autograd/number/dual.h", "autograd/number/dual_functions.h",
             "autograd/number/exact_math.h", "autograd/number/isa.h", "autograd/number/vec.h",
             "autograd/ops/transform_all.h")

FIRST_PAGE = """# Tapeloop

The public names of the library. README.md and the pages of doc/ show how to use them. `tapeloop/tapeloop.h` includes all
of these headers; `tapeloop/autograd/autograd.h`, `tapeloop/nn/nn.h` and `tapeloop/optim/optim.h` include a part each.
"""


def first_sentence(header):
    """Of the comment at the head of the file, below the line of the licence."""
    comment = re.match(r"// SPDX.*\n((?://.*\n)*)", Path(header).read_text())[1]
    text = " ".join(line[2:].strip() for line in comment.splitlines())
    return re.sub(r"([\\@<>&#%|*_])", r"\\\1", re.match(r".*?(?:\.(?= [A-Z]|$)|$)", text)[0])


def first_page(headers):
    lines = [FIRST_PAGE]
    for folder, own in itertools.groupby(headers, lambda header: Path(header).parent):
        if folder != Path("include/tapeloop"):  # its tapeloop.h is in the text above
            lines += [f"\n## tapeloop/{folder}\n", "| header | what it has |", "|---|---|"]
            lines += [f"| [{Path(header).name}](@ref {header}) | {first_sentence(header)} |" for header in own]
    return "\n".join(lines) + "\n"


def main():
    build, output = sys.argv[1:]
    places = json.loads(subprocess.run(["meson", "introspect", "--installed", build], check=True, stdout=subprocess.PIPE,
                                       text=True).stdout)
    headers = sorted((str(Path(source).relative_to(Path.cwd())) for source, place in places.items()
                     if place.partition("/include/tapeloop/")[2].endswith(".h") and
                     not place.partition("/include/tapeloop/")[2].startswith(MACHINERY)),
                     key=lambda header: (str(Path(header).parent), header))
    page = Path(output) / "headers.md"
    page.write_text(first_page(headers))
    settings = Path("doc/Doxyfile").read_text() + (f"OUTPUT_DIRECTORY = {output}\nINPUT = {page} {' '.join(headers)}\n"
                                                   f"USE_MDFILE_AS_MAINPAGE = {page}\n")
    sys.exit(subprocess.run(["doxygen", "-"], input=settings, text=True).returncode)


if __name__ == "__main__":
    main()
