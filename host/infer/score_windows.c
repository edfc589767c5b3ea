// PREFILL: walks over the windows of a text or of each of its documents.
#include "infer/score_windows.h"

void window_walk_begin(window_walk *walk, const size_t *offsets, size_t n_documents,
                       int32_t context, int32_t stride)
{
    *walk = (window_walk){
        .offsets = offsets,
        .n_documents = n_documents,
        .context = (size_t)context,
        .stride = (size_t)stride,
    };
}

bool window_walk_next(window_walk *walk, score_window *out)
{
    for (;;) {
        if (!walk->inside) {
            if (walk->document == walk->n_documents) {
                return false;
            }
            walk->start = walk->offsets[walk->document];
            walk->end = walk->offsets[walk->document + 1];
            walk->scored_end = walk->start;
            walk->document++;
        }
        size_t begin = walk->start, left = walk->end - begin;
        size_t end = begin + (left < walk->context ? left : walk->context);
        // The first token of a window has nothing before it that could predict it.
        size_t target = walk->scored_end > begin ? walk->scored_end : begin + 1;
        walk->inside = end < walk->end;
        walk->start = begin + walk->stride;
        walk->scored_end = end;
        if (target < end) {
            *out = (score_window){
                .begin = begin,
                .n_ids = (int32_t)(end - begin),
                .score_begin = (int32_t)(target - 1 - begin),
                .score_index = walk->score_index,
            };
            walk->score_index += (int64_t)(end - target);
            return true;
        }
    }
}
