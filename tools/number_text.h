// tools: numbers as people read them.
#ifndef OCT_NUMBER_TEXT_H
#define OCT_NUMBER_TEXT_H

#include <stdint.h>

typedef struct number_text {
    char text[40];
} number_text;

// "1,234,567"
number_text number_count(int64_t value);

// "4.2 s", "3:05" from a minute on, "1:02:03" from an hour on
number_text number_seconds(double seconds);

// "1,234" from 100 on, else one decimal: for rates
number_text number_rate(double rate);

#endif
