// The CPU backend: rows of activations to INT8 codes (NUMERICS.md section 2).
#ifndef OCT_CPU_ROUND_H
#define OCT_CPU_ROUND_H

#include "octet/backend.h"
#include "octet/numerics.h"

// The pair of row factors and the zero point of one row: q = requant(y * rho, z).
typedef struct cpu_row {
    float rho, sigma;
    int32_t zero;
} cpu_row;

// A static row: position 0 has a step and zero point of its own.
static inline cpu_row cpu_row_static(const oct_quant *quant, int32_t position)
{
    if (position == 0) {
        return (cpu_row){quant->rho_0, quant->sigma_0, quant->zero_0};
    }
    return (cpu_row){1.0f, 1.0f, quant->zero};
}

// A dynamic row: 127 / a and a / 127 with a = max |y| over the full row, taken over bit patterns.
static inline cpu_row cpu_row_dynamic(const float *y, int32_t n)
{
    uint32_t top = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t bits = oct_bits(y[i]) & 0x7FFFFFFFu;
        top = bits > top ? bits : top;
    }
    float a = oct_absmax_or_127(oct_float(top));
    return (cpu_row){oct_div(127.0f, a), oct_div(a, 127.0f), 0};
}

// codes[i] = requant(y[i] * rho, z).
static inline void cpu_round_row(int8_t *codes, const float *y, int32_t n, const oct_quant *quant,
                                 cpu_row row)
{
    int32_t lo = quant->lo, hi = quant->hi;
    for (int32_t i = 0; i < n; i++) {
        codes[i] = (int8_t)oct_requant(oct_mul(y[i], row.rho), row.zero, lo, hi);
    }
}

#endif
