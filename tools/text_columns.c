// tools: two texts side by side in a terminal, wrapped at words.
#include "text_columns.h"

#include "console.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define MIN_COLUMN 30
#define GAP        " | "

// One line of a column: bytes [begin, end) of the text, `width` cells wide.
typedef struct piece {
    const char *begin, *end;
    int width;
} piece;

// Bytes of the character at `s` and the cells it takes; bytes that are no UTF-8 take one.
static size_t measure(const char *s, int *cells)
{
    wchar_t c;
    mbstate_t state;
    memset(&state, 0, sizeof state);
    size_t n = mbrtowc(&c, s, strlen(s), &state);
    if (n == 0 || n > 4) {
        *cells = 1;
        return 1;
    }
    int width = wcwidth(c);
    *cells = width >= 0 ? width : 1;
    return n;
}

static void trim_spaces(piece *line)
{
    while (line->end > line->begin && line->end[-1] == ' ') {
        line->end--;
        line->width--;
    }
}

// Cuts the next line of at most `width` cells off *text: at a line end, else behind the last space
// that fits, else where it is full.
static piece next_line(const char **text, int width)
{
    piece line = {*text, *text, 0};
    const char *space_end = NULL, *at = *text;
    int space_width = 0;
    while (*at != 0 && *at != '\n') {
        int cells;
        size_t n = measure(at, &cells);
        if (line.width + cells > width && *at != ' ') {
            if (space_end != NULL) {
                line.end = space_end;
                line.width = space_width;
                at = space_end;
            }
            while (*at == ' ') {
                at++;
            }
            *text = at;
            trim_spaces(&line);
            return line;
        }
        if (line.width + cells <= width) {
            line.width += cells;
            line.end = at + n;
        }
        at += n;
        if (at[-1] == ' ') {
            space_end = line.end;
            space_width = line.width;
        }
    }
    *text = *at == '\n' ? at + 1 : at;
    return line;
}

// Control characters would move the cursor.
static void print_piece(const piece *line)
{
    for (const char *c = line->begin; c < line->end; c++) {
        char byte = (unsigned char)*c < 0x20 || *c == 0x7F ? ' ' : *c;
        output_bytes(&byte, 1);
    }
}

static void print_side_by_side(const char *left, const char *right, int width)
{
    while (*left != 0 || *right != 0) {
        piece l = next_line(&left, width);
        piece r = next_line(&right, width);
        print_piece(&l);
        if (r.end > r.begin) {
            output_format("%*s" GAP, width - l.width, "");
            print_piece(&r);
        } else {
            output_format("%*s |", width - l.width, "");
        }
        output_bytes("\n", 1);
    }
}

void text_columns_print(const text_column *left, const text_column *right, int width)
{
    setlocale(LC_CTYPE, "C.UTF-8"); // for mbrtowc and wcwidth
    int column = (width - 1 - (int)strlen(GAP)) / 2;
    if (column < MIN_COLUMN) {
        output_format("%s\n%s\n\n%s\n%s\n", left->title, left->text, right->title, right->text);
        return;
    }
    char rule[512];
    size_t n = (size_t)column < sizeof rule ? (size_t)column : sizeof rule - 1;
    memset(rule, '-', n);
    rule[n] = 0;
    print_side_by_side(left->title, right->title, column);
    print_side_by_side(rule, rule, column);
    print_side_by_side(left->text, right->text, column);
}
