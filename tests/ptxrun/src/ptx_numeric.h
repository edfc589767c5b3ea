// Bits of registers as C++ values and back, IEEE half precision, rounding modes.
#pragma once
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "ptx_module.h"

namespace ptxrun {

// A register holds its value in the low bits of 64; the rest is don't-care.
template <class T> inline T from_bits(uint64_t bits)
{
    if constexpr (std::is_floating_point<T>::value) {
        T value;
        memcpy(&value, &bits, sizeof value); // little endian
        return value;
    } else {
        return (T)bits;
    }
}
template <class T> inline uint64_t to_bits(T value)
{
    if constexpr (std::is_floating_point<T>::value) {
        uint64_t bits = 0;
        memcpy(&bits, &value, sizeof value);
        return bits;
    } else {
        return (uint64_t)(std::make_unsigned_t<T>)value;
    }
}

// The GPU's float arithmetic gives one NaN, 0x7fffffff; a host may give any. f64 keeps the host's.
inline uint64_t canonical(float v)
{
    return std::isnan(v) ? 0x7fffffffu : to_bits(v);
}
inline uint64_t canonical(double v)
{
    return to_bits(v);
}

template <class T> inline T flush(T v)
{
    return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(T(0), v) : v;
}

constexpr uint16_t kHalfNaN = 0x7fff;
double half_to_double(uint16_t h);                          // exact
uint16_t double_to_half(double v, Round round = Round::RN); // one rounding

// Sets the host's rounding mode while a handler runs. (This project is built without any option
// that lets the compiler assume a rounding mode: see CMakeLists.txt.)
class RoundingMode {
  public:
    explicit RoundingMode(Round r) : changed_(r != Round::None && r != Round::RN && r != Round::RNI)
    {
        if (!changed_) {
            return;
        }
        const bool zero = r == Round::RZ || r == Round::RZI,
                   down = r == Round::RM || r == Round::RMI;
        fesetround(zero ? FE_TOWARDZERO : down ? FE_DOWNWARD : FE_UPWARD);
    }
    ~RoundingMode()
    {
        if (changed_) {
            fesetround(FE_TONEAREST);
        }
    }
    RoundingMode(const RoundingMode &) = delete;
    RoundingMode &operator=(const RoundingMode &) = delete;

  private:
    bool changed_;
};

} // namespace ptxrun
