// base: the thread team. Members spin a little, then sleep on a condition variable.
#include "thread_team.h"

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// The next op of a decode step follows at once: spin a little before paying for a sleep and a wake.
// The number is a guess, not measured.
#define SPIN_COUNT 4000

struct oct_team {
    int n;              // members, the caller included
    pthread_t *threads; // [n - 1], owned
    int n_started;
    oct_team_fn *fn;
    void *user;
    _Atomic uint32_t generation; // grows by one with each run
    _Atomic int n_running;       // members that have not finished this run, the caller excluded
    _Atomic int barrier_count;
    _Atomic uint32_t barrier_generation;
    _Atomic bool stop;
    pthread_mutex_t mutex; // guards nothing but the sleep
    pthread_cond_t wake;
};

typedef struct member {
    oct_team *team;
    int rank;
} member;

static void cpu_relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#endif
}

// Subnormals are kept (NUMERICS.md section 1): FTZ and DAZ off in this thread.
static void keep_subnormals(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
}

static void *member_main(void *arg)
{
    member *self = arg;
    oct_team *team = self->team;
    int rank = self->rank;
    free(self);
    keep_subnormals();
    uint32_t seen = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&team->generation, memory_order_acquire) == seen) {
            if (++spins < SPIN_COUNT) {
                cpu_relax();
                continue;
            }
            pthread_mutex_lock(&team->mutex);
            while (atomic_load(&team->generation) == seen) {
                pthread_cond_wait(&team->wake, &team->mutex);
            }
            pthread_mutex_unlock(&team->mutex);
        }
        seen++;
        if (atomic_load(&team->stop)) {
            return NULL;
        }
        team->fn(team->user, rank, team->n);
        atomic_fetch_sub_explicit(&team->n_running, 1, memory_order_release);
    }
}

static int usable_processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}

oct_status oct_team_open(oct_team **out, int n_threads)
{
    *out = NULL;
    OCT_REQUIRE(n_threads >= 0 && n_threads <= 1024, OCT_ERR_ARG,
                "number of threads: expected 0 to 1024, got %d", n_threads);
    int n = n_threads > 0 ? n_threads : usable_processors();
    oct_team *team = calloc(1, sizeof *team);
    OCT_REQUIRE(team != NULL, OCT_ERR_NOMEM, "out of memory: thread team");
    team->n = n;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->wake, NULL);
    team->threads = calloc((size_t)n, sizeof *team->threads);
    oct_status status = OCT_OK;
    if (team->threads == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %d threads", n);
        goto fail;
    }
    for (int rank = 1; rank < n; rank++) {
        member *self = malloc(sizeof *self);
        if (self == NULL) {
            status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: thread %d", rank);
            goto fail;
        }
        *self = (member){team, rank};
        if (pthread_create(&team->threads[rank - 1], NULL, member_main, self) != 0) {
            free(self);
            status = OCT_FAIL(OCT_ERR_NOMEM, "thread %d of %d could not be started", rank, n);
            goto fail;
        }
        team->n_started++;
    }
    *out = team;
    return OCT_OK;
fail:
    oct_team_close(team);
    return status;
}

static void start_generation(oct_team *team)
{
    // Under the mutex, so that a member between its check and its wait cannot miss the wake.
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add_explicit(&team->generation, 1, memory_order_release);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->mutex);
}

void oct_team_close(oct_team *team)
{
    if (team == NULL) {
        return;
    }
    atomic_store(&team->stop, true);
    start_generation(team);
    for (int i = 0; i < team->n_started; i++) {
        pthread_join(team->threads[i], NULL);
    }
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->mutex);
    free(team->threads);
    free(team);
}

int oct_team_size(const oct_team *team)
{
    return team->n;
}

void oct_team_run(oct_team *team, oct_team_fn *fn, void *user)
{
    keep_subnormals();
    if (team->n == 1) {
        fn(user, 0, 1);
        return;
    }
    team->fn = fn;
    team->user = user;
    atomic_store(&team->n_running, team->n - 1);
    start_generation(team);
    fn(user, 0, team->n);
    int spins = 0;
    while (atomic_load_explicit(&team->n_running, memory_order_acquire) != 0) {
        if (++spins < SPIN_COUNT) {
            cpu_relax();
        } else {
            sched_yield();
        }
    }
}

void oct_team_barrier(oct_team *team)
{
    uint32_t generation = atomic_load(&team->barrier_generation);
    if (atomic_fetch_add(&team->barrier_count, 1) + 1 == team->n) {
        atomic_store(&team->barrier_count, 0);
        atomic_fetch_add(&team->barrier_generation, 1);
        return;
    }
    int spins = 0;
    while (atomic_load(&team->barrier_generation) == generation) {
        if (++spins < SPIN_COUNT) {
            cpu_relax();
        } else {
            sched_yield();
        }
    }
}
