# SPDX-License-Identifier: MIT
# Finds the drawing library cairo and defines Cairo::Cairo, so that <cairo.h> is found.
find_path(CAIRO_INCLUDE_DIR cairo-svg.h PATH_SUFFIXES cairo)
find_library(CAIRO_LIBRARY cairo)
mark_as_advanced(CAIRO_INCLUDE_DIR CAIRO_LIBRARY)
if(CAIRO_INCLUDE_DIR AND EXISTS "${CAIRO_INCLUDE_DIR}/cairo-version.h")
  file(STRINGS "${CAIRO_INCLUDE_DIR}/cairo-version.h" CAIRO_VERSION
       REGEX "^#define CAIRO_VERSION_(MAJOR|MINOR|MICRO) [0-9]+")
  list(TRANSFORM CAIRO_VERSION REPLACE "^.* " "")
  list(JOIN CAIRO_VERSION "." CAIRO_VERSION)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cairo REQUIRED_VARS CAIRO_LIBRARY CAIRO_INCLUDE_DIR
                                  VERSION_VAR CAIRO_VERSION)
if(Cairo_FOUND AND NOT TARGET Cairo::Cairo)
  add_library(Cairo::Cairo UNKNOWN IMPORTED)
  set_target_properties(Cairo::Cairo PROPERTIES IMPORTED_LOCATION "${CAIRO_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${CAIRO_INCLUDE_DIR}")
endif()
