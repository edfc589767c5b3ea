// The CPU backend: the table of ops of one instruction set (compiled once for each).
#include "cpu/cpu_device.h"

const oct_ops CPU_FN(cpu_ops) = {
    .abi = OCT_BACKEND_ABI,
    .size = sizeof(oct_ops),
    .linear_bytes = cpu_linear_bytes,
    .linear_pack = cpu_linear_pack,
    .linear_plan = CPU_FN(cpu_linear_plan),
    .linear_force = cpu_linear_force,
    .embed = CPU_FN(cpu_embed),
    .norm = CPU_FN(cpu_norm),
    .linear = CPU_FN(cpu_linear),
    .attend = CPU_FN(cpu_attend),
    .score = CPU_FN(cpu_score),
    .sample = cpu_sample,
    .observe = cpu_observe,
};
