#!/usr/bin/env bash
# tools: shows on the bundled story model what Octet does: quantize, tell a story, measure against FP32.
# Usage: tools/demo.sh        from any folder; installs what it needs (Debian, as root), builds to build/demo
set -eu -o pipefail
exec </dev/null

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/packages.sh

model=models/tales-8m
int8=build/demo/tales-8m-int8
octet=build/demo/octet

heading() {
    printf '\n==== %s\n' "$*"
}
# command_line WORD...: prints a command as one would type it.
command_line() {
    local word
    printf '$'
    for word in "$@"; do
        case $word in
        *' '*) printf ' "%s"' "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
}
show() { # prints a command, then runs it
    command_line "$@"
    "$@"
}
# number KEY <JSON: the first number of that key, "?" if there is none.
number() {
    tr -d '\n' | grep -oE "\"$1\": *[-+0-9.eE]+" | head -n 1 | sed 's/.*: *//' | grep . || echo '?'
}
# bytes FORM <JSON of inspect: the total footprint in that form.
bytes() {
    tr -d '\n' | sed 's/.*"footprint_bytes"//' | grep -oE '"total": *\{[^}]*\}' | head -n 1 | number "$1"
}
# rounded FORMAT NUMBER [DIVISOR]: "?" stays "?".
rounded() {
    awk -v form="$1" -v n="$2" -v by="${3:-1}" 'BEGIN { if (n == "?") print n; else printf form "\n", n / by }'
}
ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN { if (a == "?" || b == "?" || a == 0) print "?"; else printf "%.4f\n", b / a }'
}

heading "Building (build/demo)"
need_packages build-essential cmake pkg-config libjansson-dev libpcre2-dev libmd-dev
need_cmake
mkdir -p build/demo
if ! { cmake -S . -B build/demo -DCMAKE_BUILD_TYPE=Release -DOCT_BUILD_TESTS=OFF -DOCT_WITH_CUDA=OFF &&
    cmake --build build/demo --parallel "${JOBS:-$(nproc)}"; } >build/demo/build.log 2>&1; then
    tail -n 40 build/demo/build.log
    exit 1
fi
show $octet --version

heading "1. Calibrate on real text and quantize to INT8"
show $octet quantize $model -o $int8 --calibration $model/text/valid.txt --force

heading "2. A story, by the FP32 model and by the INT8 model"
show $octet generate $int8 -p "Once upon a time" -n 80 --seed 2 --compare $model

heading "3. Perplexity on text that neither training nor calibration has seen, INT8 against FP32"
measure=("$octet" perplexity "$int8" --text "$model/text/test.txt" --baseline "$model" --json)
command_line "${measure[@]}"
"${measure[@]}" >build/demo/perplexity.json
cat build/demo/perplexity.json

heading "4. Memory footprint and the statistics kept"
show $octet inspect $int8
$octet inspect $int8 --json >build/demo/inspect.json

heading "What INT8 cost and what it saved"
measured=$(cat build/demo/perplexity.json)
footprint=$(cat build/demo/inspect.json)
fp32_perplexity=$(number baseline_perplexity <<<"$measured")
int8_perplexity=$(number perplexity <<<"$measured")
fp32_bytes=$(bytes fp32 <<<"$footprint")
int8_bytes=$(bytes int8 <<<"$footprint")
row='%-12s %12s %12s %12s\n'
# shellcheck disable=SC2059 # the format is one string for all rows
{
    printf "$row" '' FP32 INT8 'INT8 / FP32'
    printf "$row" perplexity "$(rounded %.4f "$fp32_perplexity")" "$(rounded %.4f "$int8_perplexity")" \
        "$(ratio "$fp32_perplexity" "$int8_perplexity")"
    printf "$row" parameters "$(rounded '%.1f MiB' "$fp32_bytes" 1048576)" \
        "$(rounded '%.1f MiB' "$int8_bytes" 1048576)" "$(ratio "$fp32_bytes" "$int8_bytes")"
}
printf '\nMean KL divergence %s nats; the same most likely token at %s of the positions.\n' \
    "$(rounded %.5f "$(number mean_kl <<<"$measured")")" \
    "$(rounded '%.2f %%' "$(number top1_agreement <<<"$measured")" 0.01)"
printf 'The quantized model is in %s; try: %s generate %s -p "The old king"\n' $int8 $octet $int8
