# SPDX-License-Identifier: MIT
# Finds the library fastText and defines FastText::FastText, so that <fasttext/fasttext.h> is found.
find_path(FASTTEXT_INCLUDE_DIR fasttext/fasttext.h)
find_library(FASTTEXT_LIBRARY fasttext)
mark_as_advanced(FASTTEXT_INCLUDE_DIR FASTTEXT_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(FastText REQUIRED_VARS FASTTEXT_LIBRARY FASTTEXT_INCLUDE_DIR)
if(FastText_FOUND AND NOT TARGET FastText::FastText)
  add_library(FastText::FastText UNKNOWN IMPORTED)
  set_target_properties(FastText::FastText PROPERTIES IMPORTED_LOCATION "${FASTTEXT_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${FASTTEXT_INCLUDE_DIR}")
endif()
