#!/usr/bin/env bash
# tests: the rules of style that a script can check; one line for each violation, exit 1 if there is any.
# Usage: tests/rules.sh [--root TREE] [BUILD]. BUILD is a release build of TREE; without it the rules that read the
# compiled libraries are skipped. Needs bash, awk, grep, a C and a C++ compiler (CC, CXX) and binutils.
set -u -o pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
if [ "${1:-}" = --root ]; then
    root=$2
    shift 2
fi
build=
if [ $# -gt 0 ]; then
    build=$(cd "$1" && pwd) || exit 2
fi
cd "$root" || exit 2
awk_dir=$here/rules
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
: >"$tmp/found"
: >"$tmp/skipped"

# ---- what is checked -------------------------------------------------------------------------------------------

# Every file of the tree; build folders (they hold CMakeCache.txt) and hidden folders but .ci are left out.
prune=(-type d -path './.*' ! -name .ci)
while IFS= read -r cache; do
    prune+=(-o -path "${cache%/CMakeCache.txt}")
done < <(find . -name CMakeCache.txt)
find . \( "${prune[@]}" -o -path ./build -o -name __pycache__ \) -prune -o -type f -print |
    sed 's|^\./||' | sort >"$tmp/files"

pick() { grep -E "$1" "$tmp/files" || true; }
pick '\.(c|h|cu|cuh|cc|cpp)$' >"$tmp/c_files"
pick '\.(sh|awk|py)$|^\.ci/run$' >"$tmp/scripts"
pick '(^|/)CMakeLists\.txt$|\.cmake$|^CMakePresets\.json$' >"$tmp/build_files"
cat "$tmp/c_files" "$tmp/scripts" "$tmp/build_files" >"$tmp/sources"

# on LIST COMMAND...: runs the command over the files of a list (nothing if the list is empty).
on() {
    local list=$1
    shift
    tr '\n' '\0' <"$tmp/$list" | xargs -0 -r "$@"
}
on c_files awk -f "$awk_dir/strip.awk" >"$tmp/code"

# report RULE: reads "path:line:text" and writes "path:line: [rule] text".
report() {
    sed -E "s|^([^:]*):([0-9]+): *|\1:\2: [$1] |" | tee -a "$tmp/found"
}
# say RULE TEXT: the same for lines of which only "path:line" matters.
say() {
    sed -E "s|^([^:]*:[0-9]+):.*|\1:$2|" | report "$1"
}
skip() {
    echo "rules: [$1] skipped: $2" | tee -a "$tmp/skipped"
}

# ---- the rules -------------------------------------------------------------------------------------------------

rule_length() {
    on sources awk -f "$awk_dir/length.awk" >"$tmp/length"
    sed -n 's/^warn:/warning: /p' "$tmp/length"
    grep -v '^warn:' "$tmp/length" | report length
}

# CUDA stays out of host/ and include/, but for prose in backend.h and the compiler switch of numerics*.h.
rule_cuda_words() {
    local words='cuda|cublas|nccl|__global__' switch='^[^:]*:[0-9]+:# *(if|ifdef|elif|else|endif).*__CUDA(CC|_ARCH)__'
    {
        pick '^(host|include)/' | grep -vE '^include/octet/(backend|numerics[a-z_]*)\.h$' |
            tr '\n' '\0' | xargs -0 -r grep -IHniE "$words"
        grep '^include/octet/backend\.h:' "$tmp/code" | grep -iE "^[^:]*:[0-9]+:.*($words)"
        pick '^include/octet/numerics[a-z_]*\.h$' | tr '\n' '\0' | xargs -0 -r grep -HniE "$words" >"$tmp/numerics"
        grep -vE "$switch" "$tmp/numerics"
        # One switch in all: a second #if on the compiler is one too many.
        grep -E ':[0-9]+:# *if.*__CUDACC__' "$tmp/numerics" | tail -n +2
    } | say cuda-words 'no CUDA word in host/ and include/, but prose in backend.h and the switch of numerics*.h'
}

# Libraries return an oct_status and log through the callback. snprintf and its kin, and fprintf to a file, are fine.
rule_console() {
    grep -E '^(host|include|cuda|kernels)/' "$tmp/code" |
        grep -E ':[0-9]+:.*\b((_?exit|_Exit|quick_exit|abort|v?printf|perror|puts|putchar) *\(|stdout\b|stderr\b)' |
        say console 'exit, abort, printf, stdout and stderr are for tools/, tests/ and benchmarks/'
}

compile_header() { # HEADER LANGUAGE: compiled twice in one unit, which also tries its guard
    local header=$1 language=$2 said compiler=${CC:-cc} flags=(-D_GNU_SOURCE -Ihost)
    case $header in
    include/*) flags=() ;; # public: strict C11 and C++17, nothing but include/
    tests/*) flags+=(-Itests '-DOCT_SOURCE_DIR="."') ;;
    esac
    [ "$language" = c++17 ] && compiler=${CXX:-c++}
    case $language in
    c11) flags+=(-x c) ;;
    *) flags+=(-x c++) ;;
    esac
    # shellcheck disable=SC2086 # the flags of pkg-config are a list
    said=$(printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
        $compiler -std="$language" -fsyntax-only -Wall -Werror -Iinclude "${flags[@]}" $package_flags -I. - 2>&1) ||
        echo "$header:1:does not compile alone as $language: $(grep -m1 -E 'error' <<<"$said" | tr ':' ' ')"
}
rule_header_alone() {
    package_flags=
    local package
    for package in jansson libpcre2-8 check; do
        package_flags+=" $(pkg-config --cflags "$package" 2>/dev/null)"
    done
    export package_flags
    export -f compile_header
    # shellcheck disable=SC2016 # expanded by the inner shell
    {
        pick '^include/.*\.h$' | sed 's/$/ c11/'
        pick '^include/.*\.h$' | sed 's/$/ c++17/'
        pick '^(host|tools|benchmarks|tests)/.*\.h$' | grep -v '^tests/ptxrun/' | sed 's/$/ c11/'
    } | xargs -r -P 2 -L 1 bash -c 'compile_header "$@"' _ | sort | report header-alone
}

rule_arrows() {
    {
        pick '\.(h|cuh)$'
        on c_files grep -HnE '^ *# *include *"'
    } | awk -f "$awk_dir/arrows.awk" | report arrows
}

# One name, one file, so that a name alone says which file is meant. Data and documents keep their usual names.
rule_unique_names() {
    grep -vE '^(tests/golden|models|benchmarks/results|tests/ptxrun)/' "$tmp/files" |
        grep -vE '(^|/)(README\.md|CMakeLists\.txt|SOURCES\.md|LICENSE|\.gitignore)$' |
        awk '{ name = tolower($0); sub(/.*\//, "", name)
               if (name in first) print $0 ":1:the name is taken by " first[name]; else first[name] = $0 }' |
        report unique-names
}

# The header comment of a kernel has seven lines; a launcher has a row in the operator tests and benchmarks.
rule_kernels() {
    local file word launcher where
    while IFS= read -r file; do
        for word in Computes Shapes Grid 'Shared memory' Bound Numerics Limits; do
            head -n 40 "$file" | grep -qE "^(//| \*|/\*) *$word\b" ||
                echo "$file:1:the header comment lacks its line \"$word\""
        done
    done < <(pick '^kernels/.*\.cu$') | report kernels
    if [ -f kernels/launch.h ]; then
        grep '^kernels/launch\.h:' "$tmp/code" | grep -oE '^[^:]*:[0-9]+:|oct_launch_[a-z0-9_]+' |
            while IFS= read -r word; do
                case $word in
                *:) where=$word ;;
                *)
                    launcher=$word
                    grep -qsE "\b$launcher\b" tests/test_ops* || # in a table, as text
                        echo "$where$launcher has no row in test_ops"
                    # bench_ops comes with the first speeds measured on a GPU.
                    if grep -q '^benchmarks/bench_ops' "$tmp/files"; then
                        grep -qE "^benchmarks/bench_ops[^:]*:.*\b$launcher\b" "$tmp/code" || echo "$where$launcher has no row in bench_ops"
                    fi
                    ;;
                esac
            done | report kernels
    fi
}

# locate OBJECT SYMBOL: "path:line:" of the first line of the object's source that names the symbol.
locate() {
    local source line
    source=$(pick "(^|/)${1%.o}$" | head -n 1)
    line=$(grep -E "^${source:-$1}:[0-9]+:.*\b${2%%.*}\b" "$tmp/code" | head -n 1 | cut -d: -f2)
    echo "${source:-$1}:${line:-1}:"
}
libraries() { # NAME: the static libraries of the build folder
    [ -n "$build" ] && find "$build" -name "$1" | sort
}

# Two variables may change: the text of a thread's last error and where the log goes.
rule_globals() {
    local object symbol
    [ -n "$build" ] || { skip globals 'no build folder given' && return; }
    [ -n "$(libraries 'liboctet_*.a')" ] || echo "CMakeLists.txt:1:no liboctet_*.a in the build folder" | report globals
    libraries 'liboctet_*.a' | tr '\n' '\0' | xargs -0 -r objdump -t | awk -f "$awk_dir/globals.awk" | sort -u |
        grep -vxE 'check\.c\.o last_error|logging\.c\.o sink' |
        while read -r object symbol; do
            echo "$(locate "$object" "$symbol")$symbol: no mutable variable at file scope but last_error and the log's sink"
        done | report globals
}

# Every float operation of the CPU backend is one of numerics.h; libm differs from machine to machine.
rule_libm() {
    local object symbol functions='a?(sin|cos|tan)h?|atan2|sincos|exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|erfc?|[lt]?gamma|cbrt|hypot'
    [ -n "$build" ] || { skip libm 'no build folder given' && return; }
    libraries 'liboctet_cpu.a' | tr '\n' '\0' | xargs -0 -r nm -A -u |
        sed -nE "s/^.*:([^: ]+): +U ((__)?($functions)[fl]?(_finite)?|_ZGV[^ ]*)(@.*)?$/\1 \2/p" | sort -u |
        while read -r object symbol; do
            echo "$(locate "$object" "$symbol")$symbol is imported from libm; host/cpu computes with numerics.h alone"
        done | report libm
}

rule_format() {
    local version
    if ! command -v clang-format >/dev/null; then
        skip format 'clang-format is not installed'
        return
    fi
    version=$(clang-format --version | grep -oE 'version [0-9]+' | grep -oE '[0-9]+')
    if [ "$version" != 14 ]; then
        skip format "this is clang-format $version, the tree is formatted by version 14 (Debian 12)"
        return
    fi
    # Data of tests/ptxrun and kernels' PTX are not C; all else is.
    on c_files clang-format --dry-run -Werror --ferror-limit=1 2>&1 | tee "$tmp/format" |
        grep -E ': error: code should be clang-formatted' | sed -E 's|^([^:]+:[0-9]+):.*|\1:not formatted, run clang-format -i|' |
        report format
    grep -E 'unknown key|Error reading' "$tmp/format" | head -n 1 | sed 's/^/.clang-format:1:/' | report format
}

rule_todo() {
    on sources grep -HnE '\b(T[O]DO|F[I]XME)\b' | grep -vE '\b(T[O]DO|F[I]XME)\((issue )?#?[0-9]+\)' |
        say todo 'a note of open work names its issue: T''ODO(12)'
}

# Results must not depend on the machine that compiled or on reordered floats.
rule_flags() {
    local words='[-]march=native|[-]mtune=native|[-]ffast-math|[-]Ofast|[-]funsafe-math|[-]fassociative-math|[-]use_fast_math'
    {
        grep -vxE 'tests/rules(_selftest)?\.sh' "$tmp/scripts" | cat - "$tmp/build_files" | tr '\n' '\0' |
            xargs -0 -r grep -HnE -- "$words" | grep -vE '^[^:]*:[0-9]+: *#'
        on c_files grep -HnE 'fast-math|_fast_math|Ofast' | grep -E 'pragma|attribute'
    } | say flags 'no -march=native and no fast math'
}

rule_first_line() {
    on c_files awk 'FNR == 1 && !(/^(\/\/|\/\*)/ && NF > 4) { print FILENAME ":1:" }' |
        say first-line "the first line is a comment that says the file's stage and role"
    on scripts awk 'FNR == 1 { want = /^#!/ ? 2 : 1 }
        FNR == want && !(/^# / && NF > 4) { print FILENAME ":" FNR ":" }' |
        say first-line "the first line is a comment that says the file's stage and role"
}

rule_paths() {
    grep -vE '^(models|tests/golden)/.*\.(json|txt)$' "$tmp/files" | tr '\n' '\0' |
        xargs -0 -r grep -IHnE "(^|[^A-Za-z0-9_.})>-])/(work|root|home/[a-z]+)(/|\$|[^A-Za-z0-9_/*|(])" |
        say paths "no path of a developer's machine"
}

for rule in length cuda_words console header_alone arrows unique_names kernels globals libm format todo flags \
    first_line paths; do
    rule_$rule
done

echo "rules: $(wc -l <"$tmp/found") violations in $(wc -l <"$tmp/files") files, $(wc -l <"$tmp/skipped") rules skipped"
[ ! -s "$tmp/found" ]
