# SPDX-License-Identifier: MIT
# Finds the single-file stb libraries and defines stb::stb, so that <stb_image_write.h> is found.
find_path(STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb)
mark_as_advanced(STB_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(STB REQUIRED_VARS STB_INCLUDE_DIR)
if(STB_FOUND AND NOT TARGET stb::stb)
  add_library(stb::stb INTERFACE IMPORTED)
  target_include_directories(stb::stb INTERFACE "${STB_INCLUDE_DIR}")
endif()
