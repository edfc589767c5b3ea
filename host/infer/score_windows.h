// PREFILL: the windows over which a text is scored, protocol hf (NUMERICS.md section 9).
//
// Window k of a document starts at token k * stride and has at most `context` tokens; it scores the
// tokens that no window before it has scored, all but the document's first. With stride = context
// these are blocks, each of n tokens with n - 1 scored. As in transformers' guide the window that
// reaches the end of the text is the last: a later one would have nothing new to score.
#ifndef OCT_SCORE_WINDOWS_H
#define OCT_SCORE_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct score_window {
    size_t begin;        // first token, counted from the start of the text
    int32_t n_ids;       // at least 2
    int32_t score_begin; // rows score_begin .. n_ids - 2 of the window are scored, at least one
    int64_t score_index; // which scored row of the whole text the first of them is
} score_window;

typedef struct window_walk {
    const size_t *offsets; // [n_documents + 1] borrowed, ascending
    size_t n_documents;
    size_t context, stride;
    size_t document;     // the next one
    bool inside;         // a document has windows left:
    size_t start, end;   // its next window and its end
    size_t scored_end;   // its tokens before this one have been scored
    int64_t score_index; // rows scored so far
} window_walk;

// 2 <= context, 1 <= stride <= context.
void window_walk_begin(window_walk *walk, const size_t *offsets, size_t n_documents,
                       int32_t context, int32_t stride);

// The next window that scores something; false behind the last.
bool window_walk_next(window_walk *walk, score_window *out);

#endif
