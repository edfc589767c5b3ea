// TOKENIZE: UTF-8: lengths, ill-formed parts, code points.
#include "text/utf8.h"

#include <string.h>

// Bytes at text[0] that begin a well-formed character (at most all of it), and in *whole how many
// bytes that character has; *whole is 0 where no character begins with this byte.
static size_t scan(const unsigned char *text, size_t n, size_t *whole)
{
    unsigned char lead = text[0];
    unsigned char low = 0x80, high = 0xBF; // range of the second byte
    *whole = 1;
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4) {
        *whole = 0;
        return 0;
    }
    *whole = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead == 0xE0) {
        low = 0xA0; // below: overlong
    } else if (lead == 0xED) {
        high = 0x9F; // above: surrogates
    } else if (lead == 0xF0) {
        low = 0x90; // below: overlong
    } else if (lead == 0xF4) {
        high = 0x8F; // above: beyond U+10FFFF
    }
    size_t have = 1;
    while (have < *whole && have < n && text[have] >= low && text[have] <= high) {
        have++;
        low = 0x80;
        high = 0xBF;
    }
    return have;
}

size_t utf8_length(const unsigned char *text, size_t n)
{
    if (n == 0) {
        return 0;
    }
    size_t whole;
    size_t have = scan(text, n, &whole);
    return have == whole ? whole : 0;
}

size_t utf8_ill_formed(const unsigned char *text, size_t n, bool *cut_short)
{
    size_t whole;
    size_t have = scan(text, n, &whole);
    *cut_short = whole != 0 && have == n;
    return have != 0 ? have : 1;
}

size_t utf8_valid_prefix(const unsigned char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        while (n - i >= sizeof eight) { // eight ASCII bytes at a time
            memcpy(&eight, text + i, sizeof eight);
            if ((eight & 0x8080808080808080u) != 0) {
                break;
            }
            i += sizeof eight;
        }
        size_t length = utf8_length(text + i, n - i);
        if (length == 0) {
            break;
        }
        i += length;
    }
    return i;
}

size_t utf8_last_length(const unsigned char *text, size_t n)
{
    for (size_t length = 1; length <= 4 && length <= n; length++) {
        if (utf8_length(text + n - length, length) == length) {
            return length;
        }
    }
    return 0;
}

uint32_t utf8_code_point(const unsigned char *text, size_t length)
{
    static const unsigned char lead_mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code_point = (uint32_t)(text[0] & lead_mask[length]);
    for (size_t i = 1; i < length; i++) {
        code_point = code_point << 6 | (text[i] & 0x3Fu);
    }
    return code_point;
}

bool utf8_is_space(uint32_t code_point)
{
    switch (code_point) {
    case 0x20:
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
        return true;
    default:
        return (code_point >= 0x9 && code_point <= 0xD) ||
               (code_point >= 0x2000 && code_point <= 0x200A);
    }
}
