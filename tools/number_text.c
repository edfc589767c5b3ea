// tools: numbers as people read them.
#include "number_text.h"

#include <inttypes.h>
#include <stdio.h>

number_text number_count(int64_t value)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%" PRId64, value);
    number_text out;
    int length = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && digits[i - 1] != '-' && (n - i) % 3 == 0) {
            out.text[length++] = ',';
        }
        out.text[length++] = digits[i];
    }
    out.text[length] = 0;
    return out;
}

number_text number_seconds(double seconds)
{
    number_text out;
    if (seconds < 60) {
        snprintf(out.text, sizeof out.text, "%.1f s", seconds);
        return out;
    }
    int64_t whole = seconds < 1e9 ? (int64_t)(seconds + 0.5) : 1000000000;
    if (whole < 3600) {
        snprintf(out.text, sizeof out.text, "%" PRId64 ":%02d", whole / 60, (int)(whole % 60));
    } else {
        snprintf(out.text, sizeof out.text, "%" PRId64 ":%02d:%02d", whole / 3600,
                 (int)(whole / 60 % 60), (int)(whole % 60));
    }
    return out;
}

number_text number_rate(double rate)
{
    if (rate >= 99.95) {
        return number_count(rate < 1e15 ? (int64_t)(rate + 0.5) : (int64_t)1e15);
    }
    number_text out;
    snprintf(out.text, sizeof out.text, "%.1f", rate);
    return out;
}
