#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Configures tests/install/subproject, a user's CMake project that builds the library with it. Compares the library's
sources and flags with those of the Meson build, and the version of the vcpkg port with that of the project. --build also
builds and runs the project, which compiles the whole library: `./dev package cmake` does that, `./dev test` does not. Exit
code 77, "skipped", where cmake is missing.

usage: tests/cmake_test.py SOURCE_FOLDER BUILD_FOLDER CPU [--build]     (environment: CXX, the compiler of the build)
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARY = ("tapeloop", "tapeloop_kernels", "tapeloop_avx512")  # both builds name their targets so
PROGRAMS = {"user": "0.0000 0.2100", "formula": "3.2500 6.0000"}  # and what they print


def run(*command):
    print("$", " ".join(str(part) for part in command), flush=True)
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nfailed with {done.returncode}")
    return done.stdout.strip()


def compiled(build, target_of, source):
    """{(target, file): flags} of the library in a compile_commands.json. A file of a build folder goes by its name. The
    flags are those that change the code, without includes, warnings, and how fmt is linked. Only Meson precompiles headers."""
    found = {}
    for command in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(command["command"])
        target = target_of(words[words.index("-o") + 1])
        if target not in LIBRARY or command["file"].endswith(".h"):
            continue
        path = (Path(command["directory"]) / command["file"]).resolve()
        name = path.name if build.resolve() in path.parents else path.relative_to(source).as_posix()
        flags = {word for word in words if word.startswith(("-m", "-f", "-O", "-D", "-std"))} - {"-fpch-preprocess"}
        found[target, name] = {flag for flag in flags if not flag.startswith(("-fdiagnostics", "-fcolor", "-DFMT_", "-D_FILE"))}
    return found


def main():
    source, build, cpu = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3]
    if shutil.which("cmake") is None:
        print("SKIPPED: cmake is not installed")
        sys.exit(77)
    version = re.search(r"^  version: '(.*)'", (source / "meson.build").read_text(), re.MULTILINE)[1]
    if json.loads((source / "package" / "vcpkg" / "vcpkg.json").read_text())["version"] != version:
        sys.exit(f"package/vcpkg/vcpkg.json has another version than meson.build, {version}")
    with tempfile.TemporaryDirectory(prefix="tapeloop-cmake-") as temporary:
        folder = Path(temporary)
        run("cmake", "-G", "Ninja", "-S", source / "tests" / "install" / "subproject", "-B", folder,
            f"-DFETCHCONTENT_SOURCE_DIR_TAPELOOP={source}", f"-DCMAKE_CXX_COMPILER={os.environ.get('CXX', 'c++')}",
            f"-DTAPELOOP_CPU={cpu}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
        meson = compiled(build, lambda output: output.split(".a.p/")[0].removeprefix("lib"), source)
        cmake = compiled(folder, lambda output: output.partition("CMakeFiles/")[2].split(".dir/")[0], source)
        # A Meson build with CUDA has kernels instead of the sources that say there is no CUDA.
        if not any("absent" in name for _, name in meson):
            cmake = {key: flags for key, flags in cmake.items() if "absent" not in key[1]}
        faults = [f"{target}: {name} is compiled by one of the builds only"
                  for target, name in sorted(meson.keys() ^ cmake.keys())]
        faults += [f"{target}: {name}: only one of the builds has {' '.join(sorted(flags ^ cmake[target, name]))}"
                   for (target, name), flags in sorted(meson.items())
                   if flags != cmake.get((target, name), flags)]
        if faults or not meson:
            sys.exit("\n".join(faults[:5] + ["..."] * (len(faults) > 5)) or f"{build} has no compile commands of the library")
        print(f"{len(meson)} files are compiled by Meson and by CMake with the same flags")
        if "--build" not in sys.argv[4:]:
            return
        run("cmake", "--build", folder, "--parallel", os.cpu_count())
        for program, expected in PROGRAMS.items():
            printed = run(folder / program)
            if printed != expected:
                sys.exit(f"{program} printed {printed!r} instead of {expected!r}")
        print(f"{', '.join(PROGRAMS)}: built with the library and run")


if __name__ == "__main__":
    main()
