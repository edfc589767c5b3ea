// ldmatrix and mma.sync with 8-bit integers. Floating-point mma is not here on purpose: the order
// and width of its additions are not documented, so its bits could not be trusted.
#include "byte_product.h"
#include "machine.h"
#include "mma_layout.h"
#include "ptx_decode.h"

namespace ptxrun {
namespace {

// Where each lane's part of a register lies in the matrices, from the closed forms of mma_layout.h.
struct Places {
    uint16_t a16[4][32], a32[4][32]; // element of A [16][k] that holds the first of four bytes
    Element b[2][32];                // (n, k) of the first of four bytes of B
    uint16_t c[4][32];               // element of C [16][8]
    uint16_t c_small[2][32];
    Places()
    {
        for (int r = 0; r < 4; r++) {
            for (int l = 0; l < 32; l++) {
                const Element ea = mma_a(l, r, 0), ec = mma_c(l, r);
                a16[r][l] = (uint16_t)(ea.row * 16 + ea.col);
                a32[r][l] = (uint16_t)(ea.row * 32 + ea.col);
                c[r][l] = (uint16_t)(ec.row * 8 + ec.col);
                if (r < 2) {
                    const Element small = mma_8x8_c(l, r);
                    b[r][l] = mma_b(l, r, 0);
                    c_small[r][l] = (uint16_t)(small.row * 8 + small.col);
                }
            }
        }
    }
};
const Places g_places;

void load_matrix(Exec &x, const Instr &i)
{
    x.need_whole_warp(i);
    const int matrices = i.vec;
    uint8_t *row[32]; // the addresses of the other lanes are not used
    x.resolve(i, i.ops[1], (uint32_t)((1ull << 8 * matrices) - 1), 16, Access::Read, row);
    uint32_t values[4][32];
    for (int r = 0; r < matrices; r++) {
        if (!i.flag) { // four bytes a lane, four lanes a row: the rows one after the other
            for (int k = 0; k < 8; k++) {
                memcpy(&values[r][4 * k], row[ldmatrix_byte(4 * k, r, 0, false).row_lane], 16);
            }
            continue;
        }
        for (int l = 0; l < 32; l++) { // two bytes of each of two rows
            const MatrixByte lo = ldmatrix_byte(l, r, 0, true), hi = ldmatrix_byte(l, r, 2, true);
            uint16_t half[2];
            memcpy(&half[0], row[lo.row_lane] + lo.byte, 2);
            memcpy(&half[1], row[hi.row_lane] + hi.byte, 2);
            values[r][l] = half[0] | (uint32_t)half[1] << 16;
        }
    }
    for (int r = 0; r < matrices; r++) {
        const bool scalar = matrices == 1 && i.ops[0].kind == Operand::Reg;
        uint64_t *d = x.dest(scalar ? i.ops[0] : i.ops[0].elems[r]);
        for (int l = 0; l < 32; l++) {
            d[l] = values[r][l];
        }
    }
}

// A register list of one element may be written without braces.
const Operand &element(const Operand &o, int k)
{
    return o.elems.empty() ? o : o.elems[k];
}

// d = c + product; all of c is read before d is written, for they may share registers.
void accumulate(Exec &x, const Instr &i, int registers, const int32_t *product,
                const uint16_t (*places)[32])
{
    uint32_t sums[4][32];
    for (int r = 0; r < registers; r++) {
        Source c = x.source(element(i.ops[3], r));
        for (int l = 0; l < 32; l++) { // without .satfinite the sum wraps
            sums[r][l] = (uint32_t)c[l] + (uint32_t)product[places[r][l]];
        }
        for (int l = 0; i.sat && l < 32; l++) {
            const int64_t sum = (int64_t)(int32_t)c[l] + product[places[r][l]];
            sums[r][l] = (uint32_t)(sum > INT32_MAX   ? INT32_MAX
                                    : sum < INT32_MIN ? INT32_MIN
                                                      : sum);
        }
    }
    for (int r = 0; r < registers; r++) {
        uint64_t *d = x.dest(element(i.ops[0], r));
        for (int l = 0; l < 32; l++) {
            d[l] = sums[r][l];
        }
    }
}

// m16n8k32 and m16n8k16
template <int kK> void multiply_16x8(Exec &x, const Instr &i)
{
    x.need_whole_warp(i);
    (kK == 32 ? g_counters.mma_m16n8k32 : g_counters.mma_m16n8k16)++;
    g_counters.multiply_adds += 16 * 8 * kK;
    const bool sa = is_signed(i.type), sb = is_signed(i.type2);
    alignas(32) int16_t a[16][kK];
    ColumnPairs<kK> b;
    for (int r = 0; r < kK / 8; r++) {
        Source reg = x.source(element(i.ops[1], r));
        for (int l = 0; l < 32; l++) {
            // The four bytes are consecutive in k.
            widen4((uint32_t)reg[l], sa, &a[0][0] + (kK == 32 ? g_places.a32 : g_places.a16)[r][l]);
        }
    }
    for (int r = 0; r < kK / 16; r++) {
        Source reg = x.source(element(i.ops[2], r));
        for (int l = 0; l < 32; l++) {
            const Element first = g_places.b[r][l];
            b.set4(first.row, first.col, (uint32_t)reg[l], sb);
        }
    }
    int32_t product[16][8];
    multiply(a, b, product);
    accumulate(x, i, 4, &product[0][0], g_places.c);
}

void multiply_8x8(Exec &x, const Instr &i)
{
    x.need_whole_warp(i);
    g_counters.mma_m8n8k16++;
    g_counters.multiply_adds += 8 * 8 * 16;
    alignas(32) int16_t a[8][16];
    ColumnPairs<16> b;
    Source ra = x.source(element(i.ops[1], 0)), rb = x.source(element(i.ops[2], 0));
    for (int l = 0; l < 32; l++) {
        const Element first = mma_8x8_ab(l, 0);
        widen4((uint32_t)ra[l], is_signed(i.type), &a[first.row][first.col]);
        b.set4(first.row, first.col, (uint32_t)rb[l], is_signed(i.type2));
    }
    int32_t product[8][8];
    multiply(a, b, product);
    accumulate(x, i, 2, &product[0][0], g_places.c_small);
}

void bind_ldmatrix(Instr &i, Mods &m)
{
    if (!m.take("sync") || !m.take("aligned") || !m.take("m8n8")) {
        throw Unsupported("shape");
    }
    i.vec = m.take("x4") ? 4 : m.take("x2") ? 2 : m.take("x1") ? 1 : 0;
    i.flag = m.take("trans");
    i.space = m.space();
    i.type = m.need_type();
    need_operands(i, 2);
    if (!i.vec || size_of(i.type) != 2) {
        throw Unsupported("shape");
    }
    i.sync = WarpSync::WholeWarp;
    i.exec = load_matrix;
}

void need_registers(const Instr &i, size_t operand, size_t count)
{
    const Operand &o = i.ops[operand];
    const size_t have = o.kind == Operand::Vector ? o.elems.size() : 1;
    if (have != count) {
        throw Unsupported("number of registers");
    }
}

void bind_mma(Instr &i, Mods &m)
{
    if (!m.take("sync") || !m.take("aligned")) {
        throw Unsupported("form");
    }
    const bool k32 = m.take("m16n8k32"), k16 = !k32 && m.take("m16n8k16");
    const bool small = !k32 && !k16 && m.take("m8n8k16");
    if ((!k32 && !k16 && !small) || !m.take("row") || !m.take("col")) {
        throw Unsupported("shape");
    }
    i.sat = m.take("satfinite");
    const Type d = m.need_type();
    i.type = m.need_type();
    i.type2 = m.need_type();
    const Type c = m.need_type();
    if (d != Type::S32 || c != Type::S32 || size_of(i.type) != 1 || size_of(i.type2) != 1) {
        throw Unsupported(
            "types: only 8-bit integers (floating-point sums have no documented order)");
    }
    need_operands(i, 4);
    const size_t sums = small ? 2 : 4;
    need_registers(i, 0, sums);
    need_registers(i, 1, k32 ? 4 : k16 ? 2 : 1);
    need_registers(i, 2, k32 ? 2 : 1);
    need_registers(i, 3, sums);
    i.sync = WarpSync::WholeWarp;
    i.exec = small ? multiply_8x8 : k32 ? multiply_16x8<32> : multiply_16x8<16>;
}

} // namespace

void add_tensor_ops(OpTable &t)
{
    t["ldmatrix"] = bind_ldmatrix;
    t["mma"] = bind_mma;
}

} // namespace ptxrun
