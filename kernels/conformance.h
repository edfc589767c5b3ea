// conformance.h: does this GPU (or ptxrun) do what the kernels believe of it? Every PTX wrapper and
// warp intrinsic, each lane, byte and register, and every function of numerics.h, against plain C.
//
// A part is one instruction or function. Its hash is a sum over its results, so it does not depend
// on scheduling; what plain C expects of the same inputs is oct_conformance_expected.
#ifndef OCT_CONFORMANCE_H
#define OCT_CONFORMANCE_H

#include "launch.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OCT_CONFORMANCE_SCRATCH_BYTES 8192

int oct_conformance_parts(void);
const char *oct_conformance_name(int part);
// Inputs or trials of a part at a given effort: functions take `inputs`, instructions 1 in 256.
uint32_t oct_conformance_inputs(int part, uint32_t inputs);
// *sum (device, zeroed by the caller) += the part's hash. `scratch`: device memory of
// OCT_CONFORMANCE_SCRATCH_BYTES, 16-byte aligned.
int oct_launch_conformance(int part, uint32_t inputs, uint64_t *sum, void *scratch,
                           launch_stream stream);
uint64_t oct_conformance_expected(int part, uint32_t inputs);

#ifdef __cplusplus
}
#endif
#endif
