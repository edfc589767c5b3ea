// ptx.cuh: the PTX instructions that CUDA C++ has no words for: cp.async, ldmatrix, mma.sync on
// 8-bit integers. Each wrapper is one instruction; sm_80 and later.
//
// Fragments of mma.m16n8k32 (lane = 4 * g + c, g = 0..7, c = 0..3; a register holds 4 bytes of
// consecutive k):
//   A [16][32]  a0: row g, k 4c..   a1: row g + 8, k 4c..   a2: row g, k 16 + 4c..   a3: row g + 8
//   B [8][32]   b0: row g, k 4c..   b1: row g, k 16 + 4c..  (stored as B^T: 8 columns of k)
//   C [16][8]   c0, c1: row g, columns 2c, 2c + 1           c2, c3: row g + 8
#ifndef OCT_PTX_CUH
#define OCT_PTX_CUH

#include <stdint.h>

// The 32-bit address of a place in shared memory, as the wrappers below take it.
static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

// ---- cp.async: global to shared memory, 16 bytes, both sides 16-byte aligned --------------------

// Not visible before cp_async_wait, and to other threads only after a barrier behind that.
static __device__ __forceinline__ void cp_async_16(uint32_t dst, const void *src)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                 :
                 : "r"(dst), "l"(__cvta_generic_to_global(src))
                 : "memory");
}

// Reads the first `bytes` (0 or 16) of src and writes zeros behind them; with 0 src is not touched.
static __device__ __forceinline__ void cp_async_16_zero_fill(uint32_t dst, const void *src,
                                                             uint32_t bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(dst), "l"(__cvta_generic_to_global(src)), "r"(bytes)
                 : "memory");
}

// Closes a group; an empty one counts, too.
static __device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" : : : "memory");
}

// Waits until at most PENDING of this thread's latest groups are under way.
template <int PENDING> static __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" : : "n"(PENDING) : "memory");
}

// Asks for the 32-byte sector of p in the L2 cache; nothing waits for it.
static __device__ __forceinline__ void prefetch_l2(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" : : "l"(__cvta_generic_to_global(p)));
}

// ---- ldmatrix: 8x8 matrices of 16-bit cells = 8 rows of 16 bytes --------------------------------

// Matrix i has its row addresses in lanes 8i..8i+7; d[i] = bytes 4c.. of row g of matrix i.
static __device__ __forceinline__ void ldmatrix_x4(uint32_t (&d)[4], uint32_t row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(row)
                 : "memory");
}

// ---- mma.m16n8k32: c += A * B, s32, exact (the sum wraps) ---------------------------------------

// Signed A, signed B.
static __device__ __forceinline__ void mma_s8_s8(int32_t (&c)[4], const uint32_t (&a)[4],
                                                 uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Unsigned A (a limb of a probability), signed B.
static __device__ __forceinline__ void mma_u8_s8(int32_t (&c)[4], const uint32_t (&a)[4],
                                                 uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif
