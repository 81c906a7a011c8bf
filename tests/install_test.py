#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the library into an empty folder, moves it, and builds tests/install/ against it as a stranger would:
once with pkg-config, once with CMake. It also builds and runs each complete program in README.md and doc/, and a
program with flags that change arithmetic, which must be refused. Exit code 77, "skipped", where pkg-config or cmake is
missing.

usage: tests/install_test.py SOURCE_FOLDER BUILD_FOLDER     (environment: CXX, the compiler of the build)
"""
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

EXPECTED = "0.0000 0.2100"  # x (1 - tanh(x w)^2) for x = (0, 0.5), w = (1, 2)
MOST_SECONDS = 10  # of CPU time, for a program of a document


def run(*command, **options):
    print("$", " ".join(str(part) for part in command), flush=True)
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nfailed with {done.returncode}")
    return done.stdout.strip()


def check_program(how, program):
    printed = run(program)
    if printed != EXPECTED:
        sys.exit(f"built with {how}, it printed {printed!r} instead of {EXPECTED!r}")


def compile_formula(folder, compiler, source, flags):
    """Compiles with the flags; returns (success, output of the compiler)."""
    done = subprocess.run([compiler, "-std=c++20", "-c", source, "-o", folder / "formula.o", *flags],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout


def check_arithmetic(folder, compiler, source, cflags, libraries):
    """A program that is compiled or linked with other arithmetic gets an error that names the cause."""
    fast = [["-Ofast"], ["-O2", "-ffast-math"], ["-O2", "-ffinite-math-only"]]
    clang = "clang" in run(compiler, "--version")
    reassociation = ["-O2", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"]
    if not clang:  # g++ has macros for these flags
        fast += [reassociation, ["-O2", "-freciprocal-math"]]
    for flags in fast:
        compiled, said = compile_formula(folder, compiler, source, [*cflags, *flags])
        if compiled or "Tapeloop calculates as IEEE 754 says" not in said:
            sys.exit(f"{' '.join(flags)} was not refused by a sentence:\n{said}")
        print(f"{' '.join(flags)}: refused")

    def expect(flags, link_flags, expected):
        compiled, said = compile_formula(folder, compiler, source, flags)
        if not compiled:
            sys.exit(f"{' '.join(flags)}:\n{said}")
        run(compiler, folder / "formula.o", "-o", folder / "formula", *libraries, *link_flags)
        printed = run(folder / "formula")
        if not all(part in printed for part in expected.split("|")):
            sys.exit(f"{' '.join(map(str, flags))}, linked with {link_flags}: printed {printed!r}, expected {expected!r}")

    def expect_of_two(first_flags, second_flags, expected):
        """Two files with the same formula, of which the second one has main(): one file's loops are linked."""
        run(compiler, "-std=c++20", "-c", source, "-o", folder / "first.o", *first_flags, "-Dmain=not_called")
        run(compiler, "-std=c++20", "-c", source, "-o", folder / "second.o", *second_flags)
        run(compiler, folder / "first.o", folder / "second.o", "-o", folder / "formula", *libraries)
        printed = run(folder / "formula")
        if not all(part in printed for part in expected.split("|")):
            sys.exit(f"{first_flags}, linked before {second_flags}: printed {printed!r}, expected {expected!r}")

    has_fma = "__FMA__" in run(compiler, *cflags, "-dM", "-E", "-x", "c++", "/dev/null")
    result = "3.2500 6.0000"
    for level in ("-O0", "-O1", "-O3"):
        expect([*cflags, level], [], result)
    if clang:
        expect([*cflags, *reassociation], [], 'formula "gate": the program was compiled with -fassociative-math')
    if has_fma:
        refused = 'formula "gate": the program was compiled for|rounded twice|the library for|pkg-config --cflags tapeloop'
        expect([*cflags, "-O2", "-ffp-contract=off"], [], refused)
        includes = [flag for flag in cflags if flag.startswith("-I")]
        expect([*includes, "-O2"], [], refused)  # flags written by hand, without -march
        other = [*cflags, "-O2", "-ffp-contract=off"]
        expect_of_two(other, [*cflags, "-O2"], refused)
        expect_of_two([*cflags, "-O2"], other, result)
    if not clang and "x86_64" in run(compiler, "-dumpmachine"):
        expect([*cflags, "-O2"], ["-Ofast"], "cpu: this thread treats numbers below 2^-1022 as 0")


def programs_of(page):
    """(name, text) of each block of C++ in the page that has a main()."""
    blocks = re.findall(r"^```cpp\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    complete = [block for block in blocks if "int main(" in block]
    return [(f"{page.stem.lower()}_{number}", text) for number, text in enumerate(complete, 1)]


def check_documents(source, folder, compiler, flags):
    """Builds and runs the complete programs of README.md and doc/. Each must return 0 within MOST_SECONDS, and print the
    text of each of its lines `// Expect: "TEXT"`."""
    programs = [program for page in (source / "README.md", *sorted((source / "doc").glob("*.md")))
                for program in programs_of(page)]
    if not any(name.startswith("readme_") for name, _ in programs):
        sys.exit("README.md has no complete program: no ```cpp block with int main()")

    def build(program):
        name, text = program
        (folder / f"{name}.cpp").write_text(text)
        run(compiler, "-std=c++20", "-O1", folder / f"{name}.cpp", "-o", folder / name, *flags)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(build, programs))
    for name, text in programs:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        printed = run(folder / name, cwd=folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        for expected in re.findall(r'^ *// Expect: "(.*)"$', text, re.MULTILINE):
            if expected not in printed:
                sys.exit(f"{name} did not print {expected!r}, but:\n{printed}")
        if seconds > MOST_SECONDS:
            sys.exit(f"{name} took {seconds:.1f} s of CPU time; at most {MOST_SECONDS} s are allowed")
    print(f"{len(programs)} programs of README.md and doc/ ran")


def main():
    source, build = Path(sys.argv[1]), Path(sys.argv[2])
    for tool in ("pkg-config", "cmake"):
        if shutil.which(tool) is None:
            print(f"SKIPPED: {tool} is not installed")
            sys.exit(77)
    compiler = os.environ.get("CXX", "c++")
    user = source / "tests" / "install"
    with tempfile.TemporaryDirectory(prefix="tapeloop-install-") as temporary:
        folder = Path(temporary)
        run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", folder / "destdir")
        pc_file = next((folder / "destdir").glob("**/tapeloop.pc"))
        prefix = next(parent for parent in pc_file.parents if (parent / "include").is_dir())
        moved = prefix.rename(folder / "a moved copy")

        environment = {**os.environ, "PKG_CONFIG_PATH": str(next(moved.glob("**/pkgconfig")))}
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "tapeloop", env=environment))
        run(compiler, "-std=c++20", "-O1", user / "main.cpp", "-o", folder / "user", *flags)
        check_program("pkg-config", folder / "user")

        cflags, libraries = (shlex.split(run("pkg-config", kind, "tapeloop", env=environment))
                             for kind in ("--cflags", "--libs"))
        check_arithmetic(folder, compiler, user / "formula.cpp", cflags, libraries)

        check_documents(source, folder, compiler, flags)

        run("cmake", "-G", "Ninja", "-S", user, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={moved}",
            f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Release")
        run("cmake", "--build", folder / "build")
        check_program("CMake", folder / "build" / "user")


if __name__ == "__main__":
    main()
