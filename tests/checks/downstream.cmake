# SPDX-License-Identifier: MIT
# Builds and runs examples/downstream, with poe installed (MODE=install) or as a subdirectory.
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE "${SCRATCH}")
if(MODE STREQUAL "install")
  execute_process(COMMAND "${CMAKE_COMMAND}" --install "${POE_BINARY_DIR}" --prefix "${SCRATCH}/prefix"
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  set(where "-DCMAKE_PREFIX_PATH=${SCRATCH}/prefix")
else()
  set(where "-DPOE_SOURCE_DIR=${POE_SOURCE_DIR}")
endif()

execute_process(COMMAND "${CMAKE_COMMAND}" -S "${POE_SOURCE_DIR}/examples/downstream"
                        -B "${SCRATCH}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
                        -DCMAKE_BUILD_TYPE=Release -DCMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY=ON
                        "${where}"
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${SCRATCH}/build" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${SCRATCH}/build/downstream"
                OUTPUT_VARIABLE output ECHO_OUTPUT_VARIABLE COMMAND_ERROR_IS_FATAL ANY)
string(FIND "${output}" "${EXPECT}" position)
if(position EQUAL -1)
  message(FATAL_ERROR "the program must print \"${EXPECT}\"")
endif()
