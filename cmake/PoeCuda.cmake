# SPDX-License-Identifier: MIT
# Enables the CUDA language for POE_CUDA=ON; the kernels themselves are in kernels/.

# Both must be set before the language is enabled. "native" would fail on a machine without a GPU.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "GPU architectures to compile for")
endif()
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(POE_NVCC nvcc PATHS /usr/local/cuda/bin)
  mark_as_advanced(POE_NVCC)
  if(NOT POE_NVCC)
    message(FATAL_ERROR "POE_CUDA=ON needs nvcc: put it on PATH or set CMAKE_CUDA_COMPILER")
  endif()
  set(CMAKE_CUDA_COMPILER "${POE_NVCC}")
endif()
enable_language(CUDA)

# CMake before 3.25.2 does not know that nvcc 12 and later accept C++20.
if(CMAKE_CUDA_COMPILER_ID STREQUAL "NVIDIA" AND NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
if(POE_CCACHE AND NOT DEFINED CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${POE_CCACHE}")
endif()

# Before 12.1 the parameters of a kernel have at most 4 KB.
find_package(CUDAToolkit 12.1 REQUIRED GLOBAL)
