// SPDX-License-Identifier: MIT
// Device tags: where a tensor's memory lies and which implementation of an operation runs.
#pragma once

namespace poe {

/// Host memory; the threads of a Team share the work.
struct Cpu {
  static constexpr const char* name = "cpu";
};

/// Memory of an NVIDIA GPU. The tag exists in every build so that types can be spelled; its
/// operations exist only in programs that link poe::cuda, which defines POE_CUDA.
struct Cuda {
  static constexpr const char* name = "cuda";
};

/// True when this build has the operations of Device.
template <class Device>
inline constexpr bool is_available = false;
template <>
inline constexpr bool is_available<Cpu> = true;
#if defined(POE_CUDA)
template <>
inline constexpr bool is_available<Cuda> = true;
#endif

}  // namespace poe
