# SPDX-License-Identifier: MIT
# The vcpkg port: vcpkg install tapeloop --overlay-ports=TAPELOOP/package/vcpkg. It builds the checkout that it lies in.
# vcpkg keeps what it built while these two files stay the same: after other changes, add --no-binarycaching.
vcpkg_check_linkage(ONLY_STATIC_LIBRARY)
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../.." ABSOLUTE)
if(VCPKG_TARGET_ARCHITECTURE STREQUAL "x64")
  set(cpu portable)
else()
  set(cpu baseline)
endif()

# Programs of any build type link the same library: without optimisation it would be of no use.
set(VCPKG_BUILD_TYPE release)
set(VCPKG_POLICY_MISMATCHED_NUMBER_OF_BINARIES enabled)
vcpkg_configure_meson(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS -Dcpu=${cpu} -Dcuda=disabled -Dtests=false -Dexamples=false -Dbench=false)
vcpkg_install_meson()
vcpkg_cmake_config_fixup(PACKAGE_NAME Tapeloop CONFIG_PATH lib/cmake/Tapeloop)
vcpkg_fixup_pkgconfig()
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
