// tests: what a test program can ask ptxrun: how much work the kernels did, and to run in another
// mode.
//
// A program that is linked against ptxrun calls these functions. One that may also run on a real
// CUDA runtime declares them weak by defining PTXRUN_WEAK before the include, and asks "if
// (ptxrun_counters)". With dlopen: dlsym. All are safe to call from any thread; work that
// PTXRUN_LAZY holds back counts when it is carried out, so synchronise first.
#ifndef PTXRUN_H
#define PTXRUN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef PTXRUN_WEAK
#define PTXRUN_FUNCTION __attribute__((weak))
#else
#define PTXRUN_FUNCTION __attribute__((visibility("default")))
#endif

// Work since the start of the program or the last ptxrun_reset_counters. Bytes are those that
// kernels move between registers or shared memory and global memory (ld, st, cp.async, TMA),
// counted at each access, so that a byte that is read twice counts twice. Lanes of one warp
// instruction that touch the same byte count it once.
struct ptxrun_counts {
    // Of one allocation, or of all.
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t sectors_read; // aligned pieces of 32 bytes a warp instruction touches; 32 * sectors /
                           // bytes >= 1
    uint64_t sectors_written;
    uint64_t atomics; // atom and red, one a lane; their bytes are in no other number

    // Of the whole process; 0 when one allocation was asked for.
    uint64_t launches; // kernels that ran, those of graphs included
    uint64_t graph_launches;
    uint64_t warp_instructions;
    uint64_t thread_instructions;
    uint64_t mma_m8n8k16; // mma.sync, one a warp
    uint64_t mma_m16n8k16;
    uint64_t mma_m16n8k32;
    uint64_t wgmma; // wgmma.mma_async, one a warp (four make the instruction of a warpgroup)
    uint64_t dp4a;  // one a lane: four multiply-adds
    uint64_t multiply_adds;    // of mma, wgmma and dp4a
    uint64_t allocations;      // cudaMalloc and its kin, host memory included
    uint64_t synchronizations; // calls that wait for the device; a blocking copy is one
    uint64_t copies;           // cudaMemcpy and its kin
    uint64_t bytes_to_device;  // by copies
    uint64_t bytes_from_device;
};

// With NULL the sums over everything, else the counts of the allocation (live, or freed not long
// ago) that holds the address. Returns 0, or 1 if there is no such allocation.
PTXRUN_FUNCTION int ptxrun_counters(const void *device_pointer, struct ptxrun_counts *out);
// Sets all counters to 0, also those of kernels and ranges.
PTXRUN_FUNCTION void ptxrun_reset_counters(void);

// How often each byte of a range was touched. Needs the option TRACK=1 from before the accesses.
struct ptxrun_touches {
    uint64_t bytes;    // touches of all bytes
    uint64_t distinct; // bytes touched at least once
    uint32_t min; // touches of the least and of the most touched byte; 255 stands for 255 and more
    uint32_t max;
};
struct ptxrun_range_counts {
    struct ptxrun_touches read;
    struct ptxrun_touches written;
};
// Returns 0; 1 if the range does not lie inside one live allocation; 2 if TRACK is off.
PTXRUN_FUNCTION int ptxrun_range(const void *device_pointer, size_t bytes,
                                 struct ptxrun_range_counts *out);

// What the launches of one kernel did.
struct ptxrun_kernel_counts {
    const char *name; // demangled, without parameters; lives as long as the process
    uint64_t launches;
    uint64_t warp_instructions;
    uint64_t thread_instructions;
    uint64_t multiply_adds;
    uint64_t bytes_read;
    uint64_t bytes_written;
    double seconds; // of interpretation: says what a test costs, nothing about a GPU
};
// The kernels launched so far, in the order of their first launch. Returns 0, or 1 if there are no
// more.
PTXRUN_FUNCTION int ptxrun_kernel(size_t index, struct ptxrun_kernel_counts *out);
// Launches of all kernels whose name contains the text; of all kernels for NULL.
PTXRUN_FUNCTION uint64_t ptxrun_launches(const char *part_of_name);

// Sets an option of README.md by its name without PTXRUN_, as if the environment had held the
// value; NULL gives it the environment's value again. Waits for the device first. Returns 0, or 1
// if name or value is unknown.
PTXRUN_FUNCTION int ptxrun_set_option(const char *name, const char *value);

// With the option FAULT=status: the report of the last error in a kernel, "" if there was none; and
// the way back to work after it, which a GPU does not have.
PTXRUN_FUNCTION const char *ptxrun_fault(void);
PTXRUN_FUNCTION void ptxrun_clear_fault(void);

#ifdef __cplusplus
}
#endif
#endif
