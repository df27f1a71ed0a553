# SPDX-License-Identifier: MIT
# Compiles SOURCE with -DCASE=n. Case 0 must compile; any other case must fail and print the sentence
# of the line "// expect: <sentence>" that stands directly above its "#if CASE == n".
cmake_minimum_required(VERSION 3.25)

# Without excerpts of the source: the sentence must come from the error itself.
if(COMPILER_ID STREQUAL "GNU")
  set(message_flags -fno-diagnostics-show-caret -fdiagnostics-color=never -fmessage-length=0)
else()
  set(message_flags -fno-caret-diagnostics -fno-color-diagnostics -fmessage-length=0)
endif()
execute_process(COMMAND "${COMPILER}" "@${FLAGS}" ${message_flags} -DCASE=${CASE} "${SOURCE}"
                RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)

# A fatal error breaks long lines, so the text goes before it.
function(fail text)
  message(NOTICE "${text}")
  message(FATAL_ERROR "case ${CASE} of ${SOURCE}")
endfunction()

if(CASE EQUAL 0)
  if(NOT status EQUAL 0)
    fail("this must compile:\n${output}")
  endif()
  return()
endif()

file(READ "${SOURCE}" text)
if(NOT text MATCHES "(^|\n)// expect: ([^\n]+)\n#(el)?if CASE == ${CASE}[ \t]*\n")
  fail("no line '// expect: <sentence>' directly above '#if CASE == ${CASE}'")
endif()
string(STRIP "${CMAKE_MATCH_2}" sentence)
if(status EQUAL 0)
  fail("this compiles, but must fail with: ${sentence}")
endif()
string(FIND "${output}" "${sentence}" position)
if(position EQUAL -1)
  fail("this fails without the sentence: ${sentence}\n${output}")
endif()
