# SPDX-License-Identifier: MIT
# The checks must be able to fail: each runs here on a small mistake and must report it.

set(selftest "${CMAKE_CURRENT_BINARY_DIR}/selftest")

# poe_add_layer_mistake(<name> <header> <included> <message>)
function(poe_add_layer_mistake name header included message)
  file(CONFIGURE OUTPUT "${selftest}/${name}/poe/${header}" CONTENT "#include <${included}>\n" @ONLY)
  add_test(NAME selftest.layers.${name}
           COMMAND "${CMAKE_COMMAND}" "-DINCLUDE_DIR=${selftest}/${name}" -P "${checks}/layers.cmake")
  set_tests_properties(selftest.layers.${name} PROPERTIES LABELS selftest
                       PASS_REGULAR_EXPRESSION "${message}")
endfunction()
poe_add_layer_mistake(upwards core/a.hpp poe/nn/b.hpp "core is below nn")
poe_add_layer_mistake(sideways gaussian/a.hpp poe/nn/b.hpp "gaussian stands beside nn")
poe_add_layer_mistake(package models/a.hpp zlib.h "may not use")
poe_add_layer_mistake(unknown utils/a.hpp vector "is in no layer")

set(source "${selftest}/mistakes.cpp")
file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
// expect: never printed
#if CASE == 1
int compiles;
#endif
// expect: the right sentence
#if CASE == 2
static_assert(undeclared, "the right sentence");
#endif

#if CASE == 3
static_assert(false);
#endif
// expect: the right sentence
#if CASE == 4
static_assert(false, "the right sentence");
#endif
]])
poe_add_compile_fail("${source}")
set_tests_properties(compile_fail.mistakes.1 PROPERTIES PASS_REGULAR_EXPRESSION "this compiles")
set_tests_properties(compile_fail.mistakes.2 PROPERTIES PASS_REGULAR_EXPRESSION
                     "this fails without the sentence")
set_tests_properties(compile_fail.mistakes.3 PROPERTIES PASS_REGULAR_EXPRESSION "no line '// expect")
