#!/usr/bin/env bash
# tests: proof that ptxrun sees what a kernel can do wrong: each fault is planted in a copy of one of the project's
# kernels by replacing one line, and test_tiles_emu, linked again with that copy, must fail with the report expected.
# Usage: tests/planted_faults.sh BUILD_DIR SOURCE_DIR; the build has made test_tiles_emu.
set -eu -o pipefail
export LC_ALL=C

build=$(cd "$1" && pwd)
source=$(cd "$2" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
nvcc=$(cached CUDAToolkit_NVCC_EXECUTABLE)
read -r -a flags < <(sed -n 's/^set(OCT_NVCC_FLAGS //p' "$source/cuda/CMakeLists.txt")
[ ${#flags[@]} -gt 0 ]
ptxrun=$(echo "$build"/tests/ptxrun/lib/libcudart.so.[0-9]*)
kernels=$(find "$build/cuda" -maxdepth 1 -name '*.o' ! -name 'conformance.o')
glue=$(find "$build/tests/CMakeFiles/test_tiles_emu.dir" -name '*.o')
planted=0 found=0

# plant NAME KERNEL CASE MODE REPORT, then the line as it is and as it becomes (both without their indentation). The
# suite's case CASE must fail under MODE, and say REPORT (a basic regular expression).
plant() {
    local name=$1 kernel=$2 case=$3 mode=$4 report=$5 line=$6 fault=$7 said
    planted=$((planted + 1))
    rm -rf "$tmp/kernels"
    cp -r "$source/kernels" "$tmp"
    if ! line="$line" fault="$fault" awk '{ text = $0; sub(/^ +/, "", text) }
        text == ENVIRON["line"] { matches++; print ENVIRON["fault"]; next }
        { print }
        END { exit matches != 1 }' "$source/kernels/$kernel.cu" >"$tmp/kernels/$kernel.cu"; then
        echo "$name: the line to replace is not in kernels/$kernel.cu exactly once: $line" >&2
        exit 1
    fi
    # The copy comes first: launch.h is found beside it.
    "$nvcc" "${flags[@]}" -I"$source" -I"$source/include" -gencode=arch=compute_80,code=compute_80 \
        -Xcompiler=-fPIC,-fvisibility=hidden -c "$tmp/kernels/$kernel.cu" -o "$tmp/$kernel.o"
    # shellcheck disable=SC2046,SC2086 # lists of paths from find
    c++ -o "$tmp/suite" $glue "$tmp/$kernel.o" $(echo "$kernels" | grep -v "/$kernel\.o$") \
        "$build/host/cpu/liboctet_cpu.a" "$build/host/base/liboctet_base.a" -Wl,--wrap=oct_launch_gemm_i8 "$ptxrun" \
        -Wl,-rpath,"$(dirname "$ptxrun")" $(pkg-config --libs check) -lm -ldl
    if env "$mode" CK_RUN_CASE="$case" CK_DEFAULT_TIMEOUT=120 timeout 120 "$tmp/suite" >"$tmp/said" 2>&1; then
        echo "$name in $kernel.cu: NOT found under $mode"
        return
    fi
    said=$(grep -m 1 -- "$report" "$tmp/said" || true)
    if [ -z "$said" ]; then
        echo "$name in $kernel.cu: failed under $mode, but without saying \"$report\":"
        head -n 5 "$tmp/said"
        return
    fi
    found=$((found + 1))
    echo "$name in $kernel.cu: ${said##*/}"
}

plant "removed __syncthreads" gemm_i8 gemm PTXRUN_RACE=1 'ptxrun: shared-memory race' \
    '__syncthreads(); // all sums of the part are there' ''
plant "removed __syncwarp" gemv_i8 gemv PTXRUN_RACE=1 'ptxrun: shared-memory race' \
    '__syncwarp(); // all lanes have read their stages' ''
plant "one cp.async group too few" gemm_i8 gemm PTXRUN_SEED=0 'got .., expected' \
    'cp_async_wait<STAGES - 2>();' 'cp_async_wait<STAGES - 1>();'
plant "shared access out of bounds" gemm_i8 gemm PTXRUN_SEED=0 'ptxrun: shared memory access out of bounds' \
    '__shared__ __align__(128) int8_t memory[STAGES * STAGE_BYTES];' \
    '__shared__ __align__(128) int8_t memory[STAGES * STAGE_BYTES - 128];'
plant "global access out of bounds" gemv_i8 gemv PTXRUN_SEED=0 'ptxrun: cp.async source out of bounds' \
    'cp_async_16_zero_fill(at + i * EIGHT, w + i * stride8, i * 8 < n_rows ? 16 : 0);' \
    'cp_async_16_zero_fill(at + i * EIGHT, w + i * stride8, 16);'
plant "misaligned vector access" gemv_i8 gemv PTXRUN_SEED=0 'ptxrun: misaligned access' \
    'int32_t *tile_sums = partial + COUNTERS + blockIdx.x * tile_cells;' \
    'int32_t *tile_sums = partial + COUNTERS + 1 + blockIdx.x * tile_cells;'
plant "swapped mma operands" gemv_i8 gemv PTXRUN_SEED=0 'got .., expected' \
    'mma_s8_s8(sum[i][j], w[i][0], x[0], x[1]);' 'mma_s8_s8(sum[i][j], w[i][0], x[1], x[0]);'

echo "$planted faults planted, $found found"
[ "$found" -eq "$planted" ]
