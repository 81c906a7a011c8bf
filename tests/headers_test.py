#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the installed headers: they are those that README.md and doc/ name, and what these include, no more and no less.
All other headers are internal. --compile also installs them, and compiles each by itself; `./dev package headers` does
that.

usage: tests/headers_test.py SOURCE_FOLDER BUILD_FOLDER [--compile]     (environment: CXX, the compiler of the build)
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NAMED = re.compile(r"<tapeloop/([^>\s]+)>")
INCLUDED = re.compile(r'^\s*#\s*include\s+[<"]tapeloop/([^>"]+)[>"]', re.MULTILINE)


def output_of(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def reached(source):
    """{header: the header or document that names it} of all that a user's program can include."""
    found = {}
    pages = [source / "README.md", *sorted((source / "doc").glob("*.md"))]
    waiting = [(header, page.name) for page in pages for header in NAMED.findall(page.read_text())]
    while waiting:
        header, reason = waiting.pop()
        if header in found:
            continue
        found[header] = reason
        path = source / header
        path = path if path.is_file() else source / "include" / "tapeloop" / header
        if not path.is_file():
            sys.exit(f"{reason} names <tapeloop/{header}>, which does not exist")
        waiting += [(below, header) for below in INCLUDED.findall(path.read_text())]
    return found


def installed(build):
    places = json.loads(output_of("meson", "introspect", "--installed", build)).values()
    return {place.partition("/include/tapeloop/")[2] for place in places if "/include/tapeloop/" in place}


def compile_each(build, headers):
    compiler = os.environ.get("CXX", "c++")
    with tempfile.TemporaryDirectory(prefix="tapeloop-headers-") as temporary:
        output_of("meson", "install", "-C", build.resolve(), "--no-rebuild", "--quiet", "--destdir", temporary)
        folder = next(Path(temporary).glob("**/pkgconfig"))
        flags = shlex.split(output_of("pkg-config", "--cflags", "tapeloop",
                                      env={**os.environ, "PKG_CONFIG_PATH": str(folder)}))

        def compile_one(header):
            done = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", "-x", "c++", "-", *flags], text=True,
                                  input=f"#include <tapeloop/{header}>\n", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            return f"<tapeloop/{header}> does not compile by itself:\n{done.stdout}" if done.returncode else None

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            faults = [fault for fault in pool.map(compile_one, sorted(headers)) if fault]
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(headers)} headers compile by themselves")


def main():
    source, build = Path(sys.argv[1]), Path(sys.argv[2])
    needed, there = reached(source), installed(build)
    faults = [f"{header} is not installed, but {reason} includes or names it; add it to install_headers() in meson.build"
              for header, reason in sorted(needed.items()) if header not in there]
    faults += [f"{header} is installed, but nothing that README.md and doc/ name includes it; take it from install_headers()"
               for header in sorted(there - needed.keys())]
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(there)} headers are installed: those of README.md and doc/, and what they include")
    if "--compile" in sys.argv[3:]:
        compile_each(build, {header for header in there if header.endswith(".h")})  # a .cuh needs nvcc


if __name__ == "__main__":
    main()
