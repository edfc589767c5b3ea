// LOAD: F16, BF16 and F32 elements as they lie in a file (any alignment) become f32.
#include "widen.h"

#include "base/check.h"

#include <string.h>

#define CHECK_ELEMENTS 4096 // elements whose largest magnitude is found before it is looked at
#define TILE           32   // rows and columns of a transposed tile: 4 KiB in and 4 KiB out

float widen_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 31u, fraction = bits & 0x3FFu;
    uint32_t out;
    if (exponent == 0) {
        // Zero or subnormal: fraction * 2^-24, exact in f32.
        float magnitude = (float)fraction * 0x1p-24f;
        memcpy(&out, &magnitude, 4);
    } else if (exponent == 31) {
        out = 0x7F800000u | fraction << 13;
    } else {
        out = (exponent + 112) << 23 | fraction << 13;
    }
    out |= sign;
    float value;
    memcpy(&value, &out, 4);
    return value;
}

float widen_bf16(uint16_t bits)
{
    uint32_t out = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &out, 4);
    return value;
}

static uint16_t load_16(const unsigned char *data, size_t i)
{
    uint16_t bits;
    memcpy(&bits, data + 2 * i, 2);
    return bits;
}

static float load_f32(const unsigned char *data, size_t i)
{
    float value;
    memcpy(&value, data + 4 * i, 4);
    return value;
}

static float element(const safetensors_tensor *tensor, size_t i)
{
    switch (tensor->dtype) {
    case OCT_DTYPE_F16:
        return widen_f16(load_16(tensor->data, i));
    case OCT_DTYPE_BF16:
        return widen_bf16(load_16(tensor->data, i));
    default:
        return load_f32(tensor->data, i);
    }
}

// Largest magnitude bits of elements [begin, end); written so that the compiler vectorises it.
static uint32_t largest_bits(const safetensors_tensor *tensor, size_t begin, size_t end)
{
    uint32_t largest = 0;
    if (tensor->dtype == OCT_DTYPE_F32) {
        for (size_t i = begin; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, tensor->data + 4 * i, 4);
            bits &= 0x7FFFFFFFu;
            largest = bits > largest ? bits : largest;
        }
    } else {
        for (size_t i = begin; i < end; i++) {
            uint32_t bits = load_16(tensor->data, i) & 0x7FFFu;
            largest = bits > largest ? bits : largest;
        }
    }
    return largest;
}

oct_status widen_check_finite(const safetensors_tensor *tensor)
{
    uint32_t infinity = tensor->dtype == OCT_DTYPE_F32   ? 0x7F800000u
                        : tensor->dtype == OCT_DTYPE_F16 ? 0x7C00u
                                                         : 0x7F80u;
    for (size_t begin = 0; begin < tensor->count; begin += CHECK_ELEMENTS) {
        size_t end =
            tensor->count - begin < CHECK_ELEMENTS ? tensor->count : begin + CHECK_ELEMENTS;
        if (largest_bits(tensor, begin, end) < infinity) {
            continue;
        }
        for (size_t i = begin; i < end; i++) {
            OCT_REQUIRE(largest_bits(tensor, i, i + 1) < infinity, OCT_ERR_FORMAT,
                        "%s: tensor %s: expected finite numbers, element %zu is %g", tensor->path,
                        tensor->name, i, (double)element(tensor, i));
        }
    }
    return OCT_OK;
}

void widen_copy(float *out, const safetensors_tensor *tensor)
{
    if (tensor->dtype == OCT_DTYPE_F32) {
        if (tensor->bytes > 0) {
            memcpy(out, tensor->data, tensor->bytes);
        }
        return;
    }
    for (size_t i = 0; i < tensor->count; i++) {
        out[i] = element(tensor, i);
    }
}

// Writes are contiguous and reads strided within a tile: the other way round takes 1.35 times as
// long, tiles of 16 1.08 times (two layers of C = 1024, F32, Xeon).
void widen_transpose(float *out, const safetensors_tensor *tensor, size_t rows, size_t columns)
{
    for (size_t r0 = 0; r0 < rows; r0 += TILE) {
        size_t r1 = rows - r0 < TILE ? rows : r0 + TILE;
        for (size_t c0 = 0; c0 < columns; c0 += TILE) {
            size_t c1 = columns - c0 < TILE ? columns : c0 + TILE;
            for (size_t c = c0; c < c1; c++) {
                for (size_t r = r0; r < r1; r++) {
                    out[c * rows + r] = element(tensor, r * columns + c);
                }
            }
        }
    }
}
