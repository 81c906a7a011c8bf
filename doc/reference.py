#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs Doxygen with doc/Doxyfile on the headers that a build installs, but for MACHINERY. Fails where a public name has
no comment. Public are all names outside of the namespaces detail, internal, math and cpu.

usage: doc/reference.py BUILD_FOLDER OUTPUT_FOLDER     in the root of the repository
"""
import json
import subprocess
import sys
from pathlib import Path

# What compiles formulas for each device: users' programs include it and write none of its names.
MACHINERY = ("autograd/device/cpu/loop.h", "autograd/device/cuda/registry.h", "autograd/device/cuda/recurrent/",
             "autograd/formula/", "autograd/number/dual.h", "autograd/number/dual_functions.h",
             "autograd/number/exact_math.h", "autograd/number/isa.h", "autograd/number/vec.h",
             "autograd/ops/transform_all.h")


def main():
    build, output = sys.argv[1:]
    places = json.loads(subprocess.run(["meson", "introspect", "--installed", build], check=True, stdout=subprocess.PIPE,
                                       text=True).stdout)
    headers = sorted(source for source, place in places.items()
                     if place.partition("/include/tapeloop/")[2].endswith(".h") and
                     not place.partition("/include/tapeloop/")[2].startswith(MACHINERY))
    settings = Path("doc/Doxyfile").read_text() + f"OUTPUT_DIRECTORY = {output}\nINPUT = {' '.join(headers)}\n"
    sys.exit(subprocess.run(["doxygen", "-"], input=settings, text=True).returncode)


if __name__ == "__main__":
    main()
