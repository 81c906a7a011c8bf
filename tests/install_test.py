#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installs the library into an empty folder, moves it, and builds tests/install/ against it as a stranger would:
once with pkg-config, once with CMake. The program in README.md is built and run too, and a program with flags
that change arithmetic, which must be refused. Exit code 77, "skipped", where pkg-config or cmake is missing.

usage: tests/install_test.py SOURCE_FOLDER BUILD_FOLDER     (environment: CXX, the compiler of the build)
"""
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = "0.0000 0.2100"  # x (1 - tanh(x w)^2) for x = (0, 0.5), w = (1, 2)


def run(*command, **options):
    print("$", " ".join(str(part) for part in command), flush=True)
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nfailed with {done.returncode}")
    return done.stdout.strip()


def check_headers(source, include):
    top = source / "include" / "tapeloop"
    headers = [top / "tapeloop.h", *(path for folder in ("autograd", "nn", "optim") for path in (top / folder).glob("**/*.h"))]
    ours = sorted(path.relative_to(top) for path in headers)
    forgotten = [str(path) for path in ours if not (include / path).is_file()]
    if forgotten:
        sys.exit(f"not installed: {', '.join(forgotten)}; add each to install_headers() in its folder's meson.build")


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
        expect([*cflags, "-O2"], ["-Ofast"], "cpu: this thread holds numbers below 2^-1022 as 0")


def readme_program(source):
    text = (source / "README.md").read_text()
    begin = text.index("```cpp\n") + len("```cpp\n")
    return text[begin:text.index("```", begin)]


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
        check_headers(source, moved / "include" / "tapeloop")

        environment = {**os.environ, "PKG_CONFIG_PATH": str(next(moved.glob("**/pkgconfig")))}
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "tapeloop", env=environment))
        run(compiler, "-std=c++20", "-O1", user / "main.cpp", "-o", folder / "user", *flags)
        check_program("pkg-config", folder / "user")

        cflags, libraries = (shlex.split(run("pkg-config", kind, "tapeloop", env=environment))
                             for kind in ("--cflags", "--libs"))
        check_arithmetic(folder, compiler, user / "formula.cpp", cflags, libraries)

        (folder / "readme.cpp").write_text(readme_program(source))
        run(compiler, "-std=c++20", "-O1", folder / "readme.cpp", "-o", folder / "readme", *flags)
        report = run(folder / "readme")
        if not report.startswith("gradcheck (first and second order): passed"):
            sys.exit(f"the program in README.md printed:\n{report}")

        run("cmake", "-G", "Ninja", "-S", user, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={moved}",
            f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Release")
        run("cmake", "--build", folder / "build")
        check_program("CMake", folder / "build" / "user")


if __name__ == "__main__":
    main()
