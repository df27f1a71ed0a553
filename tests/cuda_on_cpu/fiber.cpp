// SPDX-License-Identifier: MIT
// Fibres on x86-64 with a switch of our own (about 30 ns), elsewhere with ucontext.
#include "fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#include <poe/core/error.hpp>

#include "sanitizers.hpp"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace poe::harness {
namespace {

#if defined(POE_HARNESS_ASAN) || defined(POE_HARNESS_TSAN)
constexpr std::size_t kStackBytes = std::size_t{512} << 10U;
#else
constexpr std::size_t kStackBytes = std::size_t{128} << 10U;
#endif

Fiber* came_from = nullptr;  // the fibre that switched to the current one
int made = 0;

#if defined(__x86_64__)

/// System V calling convention: what a function must preserve goes onto the stack that is left.
[[gnu::naked, gnu::noinline]] void swap_stacks(void** /*left*/, void* /*entered*/) {
  asm volatile(
      "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n"
      "movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
      "ret\n");
}

POE_UNSEEN void prepare(Fiber& fiber, void (*entry)()) {
  // Stacks that begin at the same offset of a page would fight for the same sets of the cache.
  const std::size_t offset = static_cast<std::size_t>(made % 61) * 320;
  const auto end = reinterpret_cast<std::uintptr_t>(fiber.stack) + fiber.stack_bytes - offset;
  void** top = reinterpret_cast<void**>(end & ~std::uintptr_t{15});
  *--top = nullptr;                              // the return address of `entry`
  *--top = reinterpret_cast<void*>(entry);       // taken by ret
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the registers
  fiber.stack_pointer = top;
}

POE_UNSEEN void leave(Fiber& from, Fiber& to) {
  swap_stacks(&from.stack_pointer, to.stack_pointer);
}

#else

ucontext_t& context_of(Fiber& fiber) {
  if (!fiber.context) fiber.context = new ucontext_t;
  return *static_cast<ucontext_t*>(fiber.context);
}

POE_UNSEEN void prepare(Fiber& fiber, void (*entry)()) {
  ucontext_t& context = context_of(fiber);
  getcontext(&context);
  context.uc_stack.ss_sp = const_cast<void*>(fiber.stack);
  context.uc_stack.ss_size = fiber.stack_bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

POE_UNSEEN void leave(Fiber& from, Fiber& to) { swapcontext(&context_of(from), &context_of(to)); }

#endif

/// AddressSanitizer tells the new fibre which stack was left: the only way to learn the host's.
POE_UNSEEN void arrive([[maybe_unused]] Fiber* self) {
#if defined(POE_HARNESS_ASAN)
  __sanitizer_finish_switch_fiber(self ? self->sanitizer : nullptr, &came_from->stack,
                                  &came_from->stack_bytes);
#endif
}

}  // namespace

Fiber* host_fiber() {
  static Fiber host;
#if defined(POE_HARNESS_TSAN)
  if (!host.sanitizer) host.sanitizer = __tsan_get_current_fiber();
#endif
  return &host;
}

Fiber* make_fiber(void (*entry)()) {
  // The lowest page stays closed: a kernel whose local arrays are too large stops there.
  const auto guard = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, guard + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  expect(memory != MAP_FAILED, "CUDA harness: no memory for the stack of a thread");
  mprotect(memory, guard, PROT_NONE);
  auto* fiber = new Fiber;
  fiber->stack = static_cast<char*>(memory) + guard;
  fiber->stack_bytes = kStackBytes;
#if defined(POE_HARNESS_TSAN)
  fiber->sanitizer = __tsan_create_fiber(0);
#endif
  prepare(*fiber, entry);
  ++made;
  return fiber;
}

POE_UNSEEN void switch_fiber(Fiber& from, Fiber& to) {
  came_from = &from;
#if defined(POE_HARNESS_TSAN)
  __tsan_switch_to_fiber(to.sanitizer, __tsan_switch_to_fiber_no_sync);
#elif defined(POE_HARNESS_ASAN)
  __sanitizer_start_switch_fiber(&from.sanitizer, to.stack, to.stack_bytes);
#endif
  leave(from, to);
  arrive(&from);
}

POE_UNSEEN void arrive_in_new_fiber() { arrive(nullptr); }

POE_UNSEEN void restart_fiber(Fiber& fiber, void (*entry)()) {
#if defined(POE_HARNESS_ASAN)
  permit(fiber.stack, fiber.stack_bytes);
  fiber.sanitizer = nullptr;
#elif defined(POE_HARNESS_TSAN)
  // There and back, in order: what its threads did is over.
  __tsan_switch_to_fiber(fiber.sanitizer, 0);
  __tsan_switch_to_fiber(host_fiber()->sanitizer, 0);
  __tsan_destroy_fiber(fiber.sanitizer);
  fiber.sanitizer = __tsan_create_fiber(0);
#endif
  prepare(fiber, entry);
}

}  // namespace poe::harness
