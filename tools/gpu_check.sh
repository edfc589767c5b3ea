#!/usr/bin/env bash
# tools: on a machine with a GPU: every CUDA suite on the device, compute-sanitizer, conformance, logits hashes CPU against
# GPU, first speeds. Writes benchmarks/results/<gpu>-<date>.md and .json (in a bundle: results/).
# Usage: tools/gpu_check.sh [--quick]     inside an unpacked bundle (tools/gpu_bundle.sh), or in the source tree (builds)
set -u -o pipefail
exec </dev/null

quick=0
[ "${1:-}" = --quick ] && quick=1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
cd "$root" || exit 2

if [ -f commit ]; then
    bin=$root/bin results=${OUT:-$root/results}
    export LD_LIBRARY_PATH=$root/bin:$root/lib:${LD_LIBRARY_PATH:-}
    commit=$(cat commit)
else
    bin=build/gpu/bin results=${OUT:-benchmarks/results}
    cmake -S . -B build/gpu -DCMAKE_BUILD_TYPE=Release >/dev/null && cmake --build build/gpu --parallel "$(nproc)" || exit 1
    cp build/gpu/octet build/gpu/liboctet_cuda.so build/gpu/bin/
    export LD_LIBRARY_PATH=$root/build/gpu:${LD_LIBRARY_PATH:-}
    commit=$(git rev-parse HEAD)
fi
mkdir -p "$results"
octet=$bin/octet
model=models/tales-8m
export OCTET_TEST_TALES=$root/$model
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v nvidia-smi >/dev/null || ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1); then
    echo "gpu_check: no NVIDIA GPU here" >&2
    exit 1
fi
name=$(echo "$gpu" | tr ' /' '--' | tr -cd 'A-Za-z0-9.-')-$(date +%Y-%m-%d)
md=$results/$name.md
json=$results/$name.json
passed=0 failed=0
rows=

# check NAME COMMAND...: one row of the record; the log of a failure is shown.
check() {
    local what=$1 begin=$SECONDS result=ok
    shift
    if ! "$@" >"$work/log" 2>&1; then
        result=FAILED
        tail -n 25 "$work/log"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
    printf '%-52s %-7s %4d s\n' "$what" $result $((SECONDS - begin))
    rows+="| $what | $result | $((SECONDS - begin)) |"$'\n'
}

# Every suite on the device itself.
check "ops: GPU = oracle, bit for bit" env OCTET_TEST_DEVICE=cuda "$bin/test_ops_emu"
check "models: GPU = CPU, bit for bit" env OCTET_TEST_DEVICE=cuda "$bin/test_model_emu"
conformance() {
    "$bin/gpu_conformance" 65536 >"$work/conformance" || return 1
    [ ! -f conformance.expected ] || diff conformance.expected "$work/conformance"
}
check "conformance of every PTX wrapper" conformance

# Hashes: FP32 and INT8, quantized on the CPU and on the GPU.
text=$work/text
head -c $([ $quick = 1 ] && echo 20000 || echo 120000) $model/text/test.txt >"$text"
hash_of() { # DEVICE MODEL
    "$octet" perplexity "$2" --text "$text" --device "$1" --json | tee "$work/$1.json" |
        sed -n 's/.*"logits_hash": *"\([0-9a-f]*\)".*/\1/p'
}
same_hash() { # MODEL
    local cpu gpu_hash
    cpu=$(hash_of cpu "$1") && gpu_hash=$(hash_of cuda "$1") && echo "cpu $cpu, gpu $gpu_hash" && [ -n "$cpu" ] && [ "$cpu" = "$gpu_hash" ]
}
quantize() { # DEVICE
    "$octet" quantize $model -o "$work/int8-$1" --calibration $model/text/valid.txt --blocks $([ $quick = 1 ] && echo 4 || echo 32) --device "$1"
}
check "FP32 logits hash: GPU = CPU" same_hash $model
check "quantize on the CPU" quantize cpu
check "quantize on the GPU" quantize cuda
check "quantized files: GPU = CPU" cmp "$work/int8-cpu/model.safetensors" "$work/int8-cuda/model.safetensors"
check "INT8 logits hash: GPU = CPU" same_hash "$work/int8-cpu"

if command -v compute-sanitizer >/dev/null; then
    tools_to_run="memcheck racecheck synccheck initcheck"
    [ $quick = 1 ] && tools_to_run="memcheck racecheck"
    for tool in $tools_to_run; do
        check "compute-sanitizer $tool" env OCTET_TEST_DEVICE=cuda OCT_TEST_QUICK=1 \
            timeout 200 compute-sanitizer --tool "$tool" --error-exitcode 9 "$bin/test_ops_emu"
    done
else
    rows+="| compute-sanitizer | not found | |"$'\n'
fi

# First speeds, of whole perplexity runs: FP32 against INT8 on the device.
speed() { # MODEL
    "$octet" perplexity "$1" --text "$text" --device cuda --json | sed -n 's/.*"tokens_per_second": *\([0-9.e+]*\).*/\1/p'
}
fp32=$(speed $model) int8=$(speed "$work/int8-cpu")
driver=$(nvidia-smi --query-gpu=driver_version,clocks.sm,clocks.mem --format=csv,noheader | head -n 1)
{
    echo "# $gpu, $(date +%Y-%m-%d)"
    echo
    echo "Commit $commit; driver, clocks: $driver; $passed checks passed, $failed failed."
    echo
    echo "| check | result | seconds |"
    echo "|---|---|---|"
    printf '%s' "$rows"
    echo
    echo "Prefill of tales-8m with scoring, tokens/s: FP32 ${fp32:-?}, INT8 ${int8:-?} (simple kernels; no limit measured in this run)."
} >"$md"
printf '{"gpu": "%s", "commit": "%s", "passed": %d, "failed": %d, "fp32_tokens_per_second": %s, "int8_tokens_per_second": %s}\n' \
    "$gpu" "$commit" "$passed" "$failed" "${fp32:-null}" "${int8:-null}" >"$json"
echo "record: $md"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
