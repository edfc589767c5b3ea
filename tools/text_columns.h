// tools: two texts side by side in a terminal, wrapped at words.
#ifndef OCT_TEXT_COLUMNS_H
#define OCT_TEXT_COLUMNS_H

typedef struct text_column {
    const char *title; // one line
    const char *text;  // UTF-8, may have line ends
} text_column;

// Writes both to standard output: in two columns if `width` (columns of the terminal, 0 = none)
// leaves room for them, else one below the other.
void text_columns_print(const text_column *left, const text_column *right, int width);

#endif
