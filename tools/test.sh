#!/usr/bin/env bash
# tools: builds and tests everything this machine can run; installs what it needs (Debian, as root) by itself.
# Usage: tools/test.sh [--quick]        from any folder; --quick leaves out the sanitizers and clang-tidy
# The last line is "N passed, N failed, N skipped"; the exit status is 0 if nothing failed. JOBS=n sets the number of
# processes (default: the processors).
set -u -o pipefail
exec </dev/null

quick=0
case ${1:-} in
'') ;;
--quick) quick=1 ;;
*)
    echo "usage: tools/test.sh [--quick]" >&2
    exit 2
    ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
cd "$root" || exit 2
. tools/packages.sh
jobs=${JOBS:-$(nproc)}
export CMAKE_BUILD_PARALLEL_LEVEL=$jobs CTEST_PARALLEL_LEVEL=$jobs

passed=0 failed=0 skipped=0
table= # one line a stage: seconds, result, name
notes= # what was skipped and why

heading() {
    printf '\n==== %s\n' "$*"
}
note() {
    echo "$*"
    notes+="$*"$'\n'
}
# stage NAME COMMAND...: runs a stage, times it, and counts a failure that no test has counted.
stage() {
    local name=$1 begin=$SECONDS failed_before=$failed result=ok
    shift
    heading "$name"
    if ! "$@"; then
        result=FAILED
        [ "$failed" -gt "$failed_before" ] || failed=$((failed + 1))
    fi
    table+=$(printf '%6d s  %-7s %s' $((SECONDS - begin)) "$result" "$name")$'\n'
}

# count_tests FILE: adds the numbers of CTest's JUnit file to the sum.
count_tests() {
    local key n
    declare -A count=()
    for key in tests failures disabled skipped; do
        n=$(sed -nE "s/^[[:space:]]*$key=\"([0-9]+)\".*/\1/p" "$1" | head -n 1)
        count[$key]=${n:-0}
    done
    failed=$((failed + count[failures]))
    skipped=$((skipped + count[disabled] + count[skipped]))
    passed=$((passed + count[tests] - count[failures] - count[disabled] - count[skipped]))
}

# workflow PRESET [WRAPPER...]: configure, build and test a preset.
workflow() {
    local preset=$1 status=0 folder=build/$1 line
    shift
    rm -f "$folder/junit.xml" "$folder/Testing/Temporary/LastTest.log"
    "$@" cmake --workflow --preset "$preset" --fresh || status=1
    if [ -f "$folder/junit.xml" ]; then
        count_tests "$folder/junit.xml"
        # Suites that leave something out say "skipped" and why.
        while IFS= read -r line; do
            note "$preset: $line"
        done < <(grep -hi '\bskipped\b' "$folder/Testing/Temporary/LastTest.log" | grep -v ' 0 rules skipped' | sort -u)
    fi
    return $status
}

# What a user types, in a folder whose name has a space.
plain_build() {
    local folder="build/plain build"
    rm -rf "$folder"
    if ! { cmake -B "$folder" && cmake --build "$folder"; } >build/plain.log 2>&1; then
        tail -n 40 build/plain.log
        return 1
    fi
    [ -x "$folder/octet" ] || {
        echo "$folder/octet does not exist"
        return 1
    }
    "$folder/octet" --version
}

# The assertions are on for it: an invariant that the analyser cannot see is said by an oct_assert.
tidy() {
    local status=0
    find host tools -name '*.c' -print0 | sort -z |
        xargs -0 -P "$jobs" -n 2 clang-tidy -p build/release --quiet --extra-arg=-UNDEBUG --extra-arg=-Wno-unknown-warning-option \
            >build/tidy.log 2>build/tidy.err || status=1
    grep -E 'error:|warning:' build/tidy.log build/tidy.err | sed 's/^build\/tidy\.[a-z]*://' | sort -u
    [ $status = 0 ] && echo "clang-tidy: $(find host tools -name '*.c' | wc -l) files clean"
    return $status
}

# Can a program built with -fsanitize=$1 run here? Prints nothing; the words of a failure are in build/probe.log.
probe() {
    local sanitizer=$1
    shift
    printf 'int main(void)\n{\n    return 0;\n}\n' >build/probe.c
    cc -fsanitize="$sanitizer" build/probe.c -o build/probe >build/probe.log 2>&1 && "$@" build/probe >>build/probe.log 2>&1
}
# sanitizer PRESET FLAG: runs the workflow, without address randomisation where the sanitizer asks for it.
sanitizer() {
    local preset=$1 why
    if probe "$2"; then
        stage "$preset" workflow "$preset"
    elif probe "$2" setarch "$(uname -m)" -R; then
        stage "$preset, fixed addresses" workflow "$preset" setarch "$(uname -m)" -R
    else
        why=$(grep -m1 . build/probe.log)
        heading "$preset"
        note "$preset: skipped, a trivial program with -fsanitize=$2 does not run here: $why"
        skipped=$((skipped + 1))
    fi
}

machine() {
    local set found='' absent='' flags
    flags=" $(grep -m1 -E '^(flags|Features)' /proc/cpuinfo | cut -d: -f2) "
    for set in avx2 fma f16c avx512f avx512bw avx512_vnni avx_vnni amx_tile amx_int8 asimddp i8mm; do
        case $(uname -m)/$set in
        x86_64/asimddp | x86_64/i8mm) continue ;;
        aarch64/asimddp | aarch64/i8mm) ;;
        aarch64/*) continue ;;
        esac
        if [[ $flags == *" $set "* ]]; then found+=" $set"; else absent+=" $set"; fi
    done
    echo "processor: $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) used, $(uname -m)"
    echo "memory: $(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
    echo "instruction sets found:${found:- none of those with a code path}"
    [ -z "$absent" ] || note "instruction sets this machine lacks, their code is compiled only:$absent"
    echo "compiler: $(cc --version | head -n 1); $(cmake --version | head -n 1)"
}

# ---- the run ---------------------------------------------------------------------------------------------------

need_packages build-essential cmake pkg-config check libjansson-dev libpcre2-dev libmd-dev && need_cmake || exit 1
optional=(clang-format)
[ $quick = 1 ] || optional+=(clang-tidy)
if [ "$(id -u)" = 0 ]; then
    need_packages "${optional[@]}" || exit 1
fi

mkdir -p build
heading machine
machine

stage release workflow release
stage "plain build" plain_build
if [ $quick = 1 ]; then
    heading "sanitizers, clang-tidy"
    note "asan, tsan, clang-tidy: skipped, --quick was given"
else
    if command -v clang-tidy >/dev/null; then
        stage clang-tidy tidy
    else
        heading clang-tidy
        note "clang-tidy: skipped, it is not installed"
    fi
    sanitizer asan address,undefined
    sanitizer tsan thread
fi

heading CUDA
if [ -f build/release/liboctet_emu.so ]; then
    echo "CUDA suites: ran in the release stage, the kernels' PTX executed on the CPU (label cuda)"
else
    note "CUDA suites: skipped, no CUDA toolkit on this machine"
fi

heading summary
printf '%s' "$notes"
printf '%s' "$table"
printf '%6d s  in all\n' "$SECONDS"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
