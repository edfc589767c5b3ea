// TOKENIZE: UTF-8 as Unicode's table 3-7 defines it: no overlong forms, no surrogates, no code
// point above U+10FFFF.
#ifndef OCT_UTF8_H
#define OCT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes (1..4) of the well-formed character at text[0]; 0 if there is none (ill-formed, cut short,
// or n is 0).
size_t utf8_length(const unsigned char *text, size_t n);

// Where utf8_length is 0 and n >= 1: the bytes (1..3) of the longest part that one U+FFFD stands
// for. *cut_short = all n bytes are the beginning of a well-formed character.
size_t utf8_ill_formed(const unsigned char *text, size_t n, bool *cut_short);

// Bytes of the longest prefix that is all well-formed.
size_t utf8_valid_prefix(const unsigned char *text, size_t n);

// Bytes (1..4) of the well-formed character that ends at text[n - 1]; 0 if there is none.
size_t utf8_last_length(const unsigned char *text, size_t n);

// The code point of a well-formed character of `length` bytes.
uint32_t utf8_code_point(const unsigned char *text, size_t length);

// Whether Unicode gives the code point the property White_Space.
bool utf8_is_space(uint32_t code_point);

#endif
