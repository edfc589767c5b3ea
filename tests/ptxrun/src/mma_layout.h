// Which element of a matrix each lane's register holds. These closed forms are facts of the
// hardware, documented in the PTX ISA; README.md says how they were checked.
#pragma once
#include <cstdint>

namespace ptxrun {

struct Element {
    int row, col;
};

// mma.m16n8k16 and m16n8k32 with 8-bit operands. `reg` counts 32-bit registers, `byte` is 0..3.
inline Element mma_a(int lane, int reg, int byte) // (m, k)
{
    return {lane / 4 + (reg & 1) * 8, (lane & 3) * 4 + byte + (reg >> 1) * 16};
}
inline Element mma_b(int lane, int reg, int byte) // (n, k)
{
    return {lane / 4, (lane & 3) * 4 + byte + reg * 16};
}
inline Element mma_c(int lane, int reg) // (m, n)
{
    return {lane / 4 + (reg >> 1) * 8, (lane & 3) * 2 + (reg & 1)};
}

// mma.m8n8k16: one register of A and of B, two of C.
inline Element mma_8x8_ab(int lane, int byte) // (m, k) of A, (n, k) of B
{
    return {lane / 4, (lane & 3) * 4 + byte};
}
inline Element mma_8x8_c(int lane, int reg) // (m, n)
{
    return {lane / 4, (lane & 3) * 2 + reg};
}

// ldmatrix: register r comes from matrix r, whose 8 rows of 16 bytes are named by lanes 8r..8r+7.
struct MatrixByte {
    int row_lane, byte;
};
inline MatrixByte ldmatrix_byte(int lane, int reg, int byte, bool transposed)
{
    if (!transposed) {
        return {reg * 8 + lane / 4, (lane & 3) * 4 + byte};
    }
    return {reg * 8 + (lane & 3) * 2 + byte / 2, lane / 4 * 2 + byte % 2};
}

// wgmma m64nN: accumulator register of a thread of the warpgroup -> (m, n).
inline Element wgmma_c(int warp, int lane, int reg)
{
    return {warp * 16 + lane / 4 + (reg >> 1 & 1) * 8, reg / 4 * 8 + (lane & 3) * 2 + (reg & 1)};
}

// The 128-byte swizzle of TMA boxes and wgmma operands: bits 4-6 of the shared address are XORed
// with bits 7-9 (so a tile has to be aligned to 1024 bytes).
inline uint32_t swizzle_128b(uint32_t address)
{
    return address ^ (address >> 7 & 7) << 4;
}

// wgmma shared-memory matrix descriptor; sizes in bytes.
struct MatrixDescriptor {
    uint32_t start, leading, stride, base_offset, swizzle; // swizzle 1 = 128 bytes
    explicit MatrixDescriptor(uint64_t d)
        : start((d & 0x3fff) << 4), leading((d >> 16 & 0x3fff) << 4),
          stride((d >> 32 & 0x3fff) << 4), base_offset(d >> 49 & 7), swizzle(d >> 62 & 3)
    {
    }
};

} // namespace ptxrun
