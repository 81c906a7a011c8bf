# SPDX-License-Identifier: MIT
"""The Conan recipe: `conan create TAPELOOP/package` builds the checkout that it lies in. It needs meson, ninja and
pkg-config."""
import re
import shlex
from pathlib import Path

from conan import ConanFile
from conan.tools.files import copy
from conan.tools.gnu import PkgConfigDeps
from conan.tools.layout import basic_layout
from conan.tools.meson import Meson, MesonToolchain


class Tapeloop(ConanFile):
    name = "tapeloop"
    description = "Recurrent models as C++ code: tape-based autodiff on SIMD tensors"
    license = "MIT"
    package_type = "static-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"cpu": ["native", "portable", "baseline"]}  # as in meson_options.txt
    default_options = {"cpu": "portable"}

    def set_version(self):
        project = (Path(self.recipe_folder).parent / "meson.build").read_text()
        self.version = re.search(r"version: '([0-9.]+)'", project)[1]

    def config_options(self):
        if self.settings.arch != "x86_64":
            self.options.cpu = "baseline"

    def requirements(self):
        self.requires("fmt/[>=9 <13]", transitive_headers=True, transitive_libs=True)
        self.requires("nlohmann_json/[>=3.11 <4]")

    def export_sources(self):
        root = Path(self.recipe_folder).parent
        for pattern in ("LICENSE", "meson*", "autograd/*", "nn/*", "optim/*", "include/tapeloop/*.h", "package/*"):
            copy(self, pattern, root, self.export_sources_folder)

    def layout(self):
        basic_layout(self, src_folder=".")

    def generate(self):
        PkgConfigDeps(self).generate()
        toolchain = MesonToolchain(self)
        toolchain.project_options |= {"cpu": str(self.options.cpu), "cuda": "disabled",
                                      "tests": False, "examples": False, "bench": False}
        toolchain.generate()

    def build(self):
        meson = Meson(self)
        meson.configure()
        meson.build()

    def package(self):
        Meson(self).install()
        copy(self, "LICENSE", self.source_folder, Path(self.package_folder) / "licenses")

    def package_info(self):
        installed = (Path(self.package_folder) / "lib" / "pkgconfig" / "tapeloop.pc").read_text()
        self.cpp_info.libs = ["tapeloop"]
        self.cpp_info.cxxflags = shlex.split(re.search(r"^Cflags: -I\S+ (.*)", installed, re.MULTILINE)[1])
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.requires = ["fmt::fmt", "nlohmann_json::nlohmann_json"]
        # find_package(Tapeloop) takes the file that the library installs.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = ["lib/cmake/Tapeloop"]
