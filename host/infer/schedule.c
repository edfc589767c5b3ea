// PREFILL, DECODE: which rows the next step runs. The choice never changes a bit of any result,
// only who waits for how long.
#include "infer/batch.h"

// Why a row needs logits.
typedef struct row_use {
    bool scored, drawn, shown;
} row_use;

static row_use use_of(const oct_session *session, int32_t position)
{
    const oct_request *request = &session->request;
    return (row_use){
        .scored = request->score_begin >= 0 && position >= request->score_begin &&
                  position <= request->n_ids - 2,
        .drawn = request->n_new > 0 && position == session->n_tokens - 1,
        .shown = request->all_logits,
    };
}

// Adds at most `limit` rows of a session; stops where the logits of the step run out. Returns how
// many it added.
static int32_t add_rows(oct_batch *batch, oct_session *session, int32_t limit)
{
    int32_t n = 0;
    for (; n < limit && session->n_done + n < session->n_tokens; n++) {
        int32_t position = session->n_done + n;
        row_use use = use_of(session, position);
        bool logits = use.scored || use.drawn || use.shown;
        if (logits && batch->n_logits == batch->plan.max_logits) {
            break;
        }
        step_buffer_add_row(&batch->steps, session->ids[position], position, session->slot);
        if (!logits) {
            continue;
        }
        int32_t target = use.scored ? session->ids[position + 1] : -1;
        int64_t index =
            use.scored ? session->request.score_index + (position - session->request.score_begin)
                       : 0;
        int32_t r = step_buffer_add_logits(&batch->steps, target, index, use.drawn);
        batch->owners[r] = (logits_owner){session, position};
        batch->n_logits++;
        if (use.scored) {
            batch->n_scored++;
        }
        if (use.drawn) {
            batch->n_sampled++;
            session->sample_row = r;
        }
    }
    session->n_step_rows = n;
    return n;
}

void batch_schedule(oct_batch *batch)
{
    const batch_plan *plan = &batch->plan;
    step_buffer_begin(&batch->steps);
    batch->n_logits = 0;
    batch->n_scored = 0;
    batch->n_sampled = 0;
    for (int32_t i = 0; i < batch->n_active; i++) {
        batch->active[i]->n_step_rows = 0;
        batch->active[i]->sample_row = -1;
    }

    // There is room for every session that generates: the last of them had its row, and its logits,
    // beside those of all others when its prompt ended.
    int32_t n_rows = 0;
    for (int32_t i = 0; i < batch->n_active; i++) {
        if (session_generates(batch->active[i])) {
            n_rows += add_rows(batch, batch->active[i], 1);
        }
    }

    // Prompts wait while sessions that generate fill the step.
    for (int32_t i = 0; i < batch->n_active && n_rows < plan->max_rows; i++) {
        oct_session *session = batch->active[i];
        if (!session_generates(session)) {
            int32_t room = plan->max_rows - n_rows;
            n_rows += add_rows(batch, session, room < plan->max_chunk ? room : plan->max_chunk);
        }
    }
}
