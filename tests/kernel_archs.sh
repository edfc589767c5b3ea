#!/usr/bin/env bash
# tests: every kernel compiles for each architecture without a warning and without spilling registers, and uses no
# approximate function. Prints the largest number of registers of each kernel file.
# Usage: tests/kernel_archs.sh NVCC SOURCE_DIR
set -eu -o pipefail
export LC_ALL=C

nvcc=$1
source=$(cd "$2" && pwd)
archs=(80 86 89 90 100 120)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
read -r -a flags < <(sed -n 's/^set(OCT_NVCC_FLAGS //p' "$source/cuda/CMakeLists.txt")
[ ${#flags[@]} -gt 0 ]
bad=0

# compile FILE ARCH: what ptxas says, then the exit status, goes to a log. ARCH ptx: the PTX of sm_80.
compile() {
    local out status=0
    out=$tmp/$(basename "$1" .cu).$2
    if [ "$2" = ptx ]; then
        "$nvcc" "${flags[@]}" -I"$source" -I"$source/include" -arch=sm_80 -ptx "$1" -o "$out" >"$out.log" 2>&1 || status=$?
    else
        "$nvcc" "${flags[@]}" -I"$source" -I"$source/include" -arch="sm_$2" -cubin -Xptxas=-v,-warn-spills "$1" \
            -o "$out" >"$out.log" 2>&1 || status=$?
    fi
    echo "exit status $status" >>"$out.log"
}

for file in "$source"/kernels/*.cu; do
    for arch in "${archs[@]}" ptx; do
        compile "$file" "$arch" &
        while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
            wait -n || true
        done
    done
done
wait

complain() { # TEXT: one fault, with the lines that show it on standard input
    echo "$1:"
    head -n 5
    bad=1
}

{
    printf '%-20s' 'registers'
    printf ' %6s' "${archs[@]/#/sm_}"
    echo
    for file in "$source"/kernels/*.cu; do
        name=$(basename "$file" .cu)
        printf '%-20s' "$name"
        for arch in "${archs[@]}"; do
            printf ' %6s' "$(sed -n 's/.*Used \([0-9]*\) registers.*/\1/p' "$tmp/$name.$arch.log" | sort -n | tail -n 1)"
        done
        echo
    done
}
for file in "$source"/kernels/*.cu; do
    name=$(basename "$file" .cu)
    for arch in "${archs[@]}" ptx; do
        log=$tmp/$name.$arch.log
        grep -qx 'exit status 0' "$log" || complain "$name.cu, $arch: does not compile" <"$log"
        if found=$(grep -i 'warning' "$log"); then
            complain "$name.cu, $arch: a warning" <<<"$found"
        fi
        if found=$(grep -E '[1-9][0-9]* bytes spill (stores|loads)' "$log"); then
            complain "$name.cu, $arch: spilled registers" <<<"$found"
        fi
        [ "$arch" = ptx ] || grep -q 'bytes spill stores' "$log" || complain "$name.cu, $arch: no report" <"$log"
    done
    if found=$(grep -nE '\.approx|ex2|tanh\.|rsqrt\.' "$tmp/$name.ptx" | grep -v '^[0-9]*:[[:space:]]*//'); then
        complain "$name.cu: an approximate function" <<<"$found"
    fi
done
[ "$bad" -eq 0 ] && echo "no warnings, no spills, no approximate functions"
exit "$bad"
