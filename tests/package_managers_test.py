#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the Conan package or the vcpkg port, as their users do, and with it tests/install. fmt and nlohmann_json come from
the system for Conan; vcpkg builds them. Exit code 77, "skipped", where the package manager is missing.

usage: tests/package_managers_test.py conan|vcpkg SOURCE_FOLDER
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = "0.0000 0.2100"  # as in install_test.py


def run(*command, **options):
    print("$", " ".join(str(part) for part in command), flush=True)
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nfailed with {done.returncode}")
    return done.stdout.strip()


def version_of(package):
    return run("pkg-config", "--modversion", package)


def by_conan(source, folder):
    """Returns the toolchain file for CMake, and where the package has its licence."""
    environment = {**os.environ, "CONAN_HOME": str(folder / "conan")}
    run("conan", "profile", "detect", env=environment)
    profile = folder / "profile"
    profile.write_text("include(default)\n[settings]\ncompiler.cppstd=20\n[platform_requires]\n" +
                       "".join(f"{package}/{version_of(package)}\n" for package in ("fmt", "nlohmann_json")))
    run("conan", "create", source / "package", "--profile:all", profile, "--no-remote", env=environment)
    run("conan", "install", "--requires=tapeloop/[>=0.1]", "--profile:all", profile, "--no-remote", "-g", "CMakeDeps", "-g",
        "CMakeToolchain", "--output-folder", folder / "generated", env=environment)
    return folder / "generated" / "conan_toolchain.cmake", (folder / "conan").glob("p/**/licenses/LICENSE")


def by_vcpkg(source, folder):
    root = Path(os.environ.get("VCPKG_ROOT") or Path(shutil.which("vcpkg")).resolve().parent)
    run("vcpkg", "install", "tapeloop", f"--vcpkg-root={root}", f"--overlay-ports={source / 'package' / 'vcpkg'}",
        "--no-binarycaching", f"--x-install-root={folder / 'installed'}")
    return root / "scripts" / "buildsystems" / "vcpkg.cmake", folder.glob("installed/*/share/tapeloop/copyright")


def main():
    manager, source = sys.argv[1], Path(sys.argv[2]).resolve()
    for tool in (manager, "cmake", "meson", "ninja"):
        if shutil.which(tool) is None:
            print(f"SKIPPED: {tool} is not installed")
            sys.exit(77)
    with tempfile.TemporaryDirectory(prefix=f"tapeloop-{manager}-") as temporary:
        folder = Path(temporary)
        toolchain, licences = {"conan": by_conan, "vcpkg": by_vcpkg}[manager](source, folder)
        text = (source / "LICENSE").read_text()
        if not any(path.read_text() == text for path in licences):
            sys.exit("the package has no copy of LICENSE")
        run("cmake", "-G", "Ninja", "-S", source / "tests" / "install", "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", f"-DVCPKG_INSTALLED_DIR={folder / 'installed'}")
        run("cmake", "--build", folder / "build")
        printed = run(folder / "build" / "user")
        if printed != EXPECTED:
            sys.exit(f"the program printed {printed!r} instead of {EXPECTED!r}")
    print(f"{manager}: the package was built, and a program with it")


if __name__ == "__main__":
    main()
