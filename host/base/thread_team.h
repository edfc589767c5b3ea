// base: a persistent team of threads that runs one function at a time on all members, with a
// barrier at its end.
#ifndef OCT_THREAD_TEAM_H
#define OCT_THREAD_TEAM_H

#include "octet/types.h"

typedef struct oct_team oct_team;

// fn(user, rank, n): rank in [0, n); called once on every member, the caller being rank 0.
typedef void oct_team_fn(void *user, int rank, int n);

// Starts n_threads - 1 threads (n_threads >= 1; 0 = the processors this process may use). Every
// member, the caller of oct_team_run included, runs with flush-to-zero and denormals-are-zero off,
// as NUMERICS.md section 1 asks. *out is owned by the caller. Errors: OCT_ERR_ARG, OCT_ERR_NOMEM.
oct_status oct_team_open(oct_team **out, int n_threads);

// Stops and frees; accepts NULL.
void oct_team_close(oct_team *team);

int oct_team_size(const oct_team *team);

// Runs fn on all members and returns when all have finished. One caller at a time.
void oct_team_run(oct_team *team, oct_team_fn *fn, void *user);

// Inside fn: waits until all members have come here. What was written before is visible to all
// after.
void oct_team_barrier(oct_team *team);

// The part [*begin, *end) of n items, in whole multiples of `grain`, that belongs to `rank` of
// `size`.
static inline void oct_team_range(int64_t n, int64_t grain, int rank, int size, int64_t *begin,
                                  int64_t *end)
{
    int64_t units = (n + grain - 1) / grain;
    int64_t b = units * rank / size * grain, e = units * (rank + 1) / size * grain;
    *begin = b < n ? b : n;
    *end = e < n ? e : n;
}

#endif
