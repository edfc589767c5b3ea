// QUANTIZE: frozen steps of activations.
#include "quant/input_steps.h"

#include "octet/numerics.h"
#include "quant/column_factors.h"

input_range input_range_find(const site_ranges *ranges, const float *cs, int32_t k, float amax,
                             bool position_0)
{
    input_range r;
    column_factors_range(ranges->min_0, ranges->max_0, cs, k, &r.lo_0, &r.hi_0);
    column_factors_range(ranges->min, ranges->max, cs, k, &r.lo, &r.hi);
    r.lo = r.lo < -amax ? -amax : r.lo;
    r.hi = r.hi > amax ? amax : r.hi;
    if (!position_0) {
        r.lo = r.lo_0 < r.lo ? r.lo_0 : r.lo;
        r.hi = r.hi_0 > r.hi ? r.hi_0 : r.hi;
        r.lo_0 = r.lo;
        r.hi_0 = r.hi;
    }
    return r;
}

static float step_of(float lo, float hi, bool asymmetric, int32_t *zero)
{
    *zero = 0;
    return asymmetric ? oct_step_asymmetric(lo, hi, zero) : oct_step_symmetric(lo, hi);
}

gpt2_input input_steps_static(const input_range *range, bool asymmetric, bool position_0)
{
    gpt2_input in = {.asymmetric = asymmetric};
    in.step = step_of(range->lo, range->hi, asymmetric, &in.zero);
    in.step_0 = in.step;
    in.zero_0 = in.zero;
    in.rho_0 = 1.0f;
    in.sigma_0 = 1.0f;
    if (position_0) {
        in.step_0 = step_of(range->lo_0, range->hi_0, asymmetric, &in.zero_0);
        in.rho_0 = oct_div(in.step, in.step_0);
        in.sigma_0 = oct_div(in.step_0, in.step); // not 1 / rho_0: each is rounded once
    }
    return in;
}

gpt2_input input_steps_dynamic(void)
{
    return (gpt2_input){
        .dynamic = true, .step = 1.0f, .step_0 = 1.0f, .rho_0 = 1.0f, .sigma_0 = 1.0f};
}

// A product of two floats is exact in double; the quotient is rounded to double, then to float.
float input_quotient(float v, float step, float c)
{
    return (float)((double)v / ((double)step * (double)c));
}

float input_reciprocal(float step, float c)
{
    return input_quotient(1.0f, step, c);
}
