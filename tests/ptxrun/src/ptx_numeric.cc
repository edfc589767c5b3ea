// Half precision to double and back, with one rounding.
#include "ptx_numeric.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace ptxrun {

double half_to_double(uint16_t h)
{
#ifdef __F16C__
    return (h & 0x7fff) > 0x7c00 ? std::nan("") : (double)_cvtsh_ss(h);
#endif
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    double v;
    if (exponent == 31) {
        v = mantissa ? std::nan("") : HUGE_VAL;
    } else if (exponent == 0) {
        v = std::ldexp((double)mantissa, -24);
    } else {
        v = std::ldexp((double)(mantissa | 1024), exponent - 25);
    }
    return h & 0x8000 ? -v : v;
}

uint16_t double_to_half(double v, Round round)
{
    if (std::isnan(v)) {
        return kHalfNaN;
    }
#ifdef __F16C__
    // The host's instruction rounds a float; a double must not be rounded twice.
    if ((round == Round::RN || round == Round::None) && (double)(float)v == v) {
        return _cvtss_sh((float)v, _MM_FROUND_TO_NEAREST_INT);
    }
#endif
    const uint16_t sign = std::signbit(v) ? 0x8000 : 0;
    const double magnitude = std::fabs(v);
    if (std::isinf(v)) {
        return sign | 0x7c00;
    }
    if (magnitude == 0) {
        return sign;
    }

    // Scale so that the last bit a half can hold becomes the units digit, then round to an integer.
    int exponent;
    std::frexp(magnitude, &exponent); // magnitude in [2^(exponent-1), 2^exponent)
    const int unit = exponent - 11 > -24 ? exponent - 11 : -24;
    const double scaled = std::ldexp(magnitude, -unit); // exact: at most 2^11 plus a fraction
    double integer = std::floor(scaled);
    const double fraction = scaled - integer;
    const bool away = round == Round::RP ? !sign : round == Round::RM ? sign != 0 : false;
    const bool nearest = round == Round::RN || round == Round::None;
    if (nearest ? fraction > 0.5 || (fraction == 0.5 && std::fmod(integer, 2) != 0)
                : away && fraction > 0) {
        integer += 1;
    }
    const double rounded = std::ldexp(integer, unit);
    if (rounded >= 65536) {
        return sign | (nearest || away ? 0x7c00 : 0x7bff);
    }
    if (rounded < std::ldexp(1.0, -14)) {
        return sign | (uint16_t)std::ldexp(rounded, 24); // subnormal
    }
    std::frexp(rounded, &exponent);
    return sign | (uint16_t)((exponent + 14) << 10) |
           ((uint16_t)std::ldexp(rounded, 11 - exponent) & 1023);
}

} // namespace ptxrun
