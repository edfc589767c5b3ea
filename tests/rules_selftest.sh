#!/usr/bin/env bash
# tests: proof that each rule of rules.sh fires: a clean tree must give no violation, and the same tree with one
# fault planted for each rule exactly these. Usage: tests/rules_selftest.sh, from anywhere.
set -eu -o pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tree="$tmp/a tree"
expected=$tmp/expected
: >"$expected"

put() { # FILE: the text comes on standard input
    mkdir -p "$(dirname "$tree/$1")"
    cat >"$tree/$1"
}
expect() { # PATH:LINE RULE
    echo "$1: [$2]" >>"$expected"
}
header() { # FILE GUARD
    put "$1" <<END
// tests: a header of the clean tree, as the rules want it.
#ifndef $2
#define $2
#endif
END
}
# build FOLDER: libraries of the tree's host/base and host/cpu, as CMake would name the objects.
build() {
    local folder=$1 part file
    for part in base cpu; do
        mkdir -p "$folder/$part"
        for file in "$tree/host/$part"/*.c; do
            ${CC:-cc} -std=c11 -O1 -fPIC -c -I"$tree/include" -I"$tree/host" "$file" \
                -o "$folder/$part/$(basename "$file").o"
        done
        ar rcs "$folder/liboctet_$part.a" "$folder/$part"/*.o
    done
}
# check NAME: runs the rules and compares what they found, without its words, with what was expected.
check() {
    local status=0
    "$here/rules.sh" --root "$tree" "$tmp/build_$1" >"$tmp/out" || status=$?
    grep -oE '^[^:]+:[0-9]+: \[[a-z-]+\]' "$tmp/out" | sort >"$tmp/got" || true
    sort "$expected" >"$tmp/want"
    if ! diff "$tmp/want" "$tmp/got" >"$tmp/diff"; then
        echo "rules_selftest: $1 tree: '<' was expected and not reported, '>' was reported and not expected:"
        cat "$tmp/diff" "$tmp/out"
        exit 1
    fi
    if [ "$status" != "$([ -s "$tmp/want" ] && echo 1 || echo 0)" ]; then
        echo "rules_selftest: $1 tree: exit status $status with $(wc -l <"$tmp/want") violations"
        exit 1
    fi
    echo "rules_selftest: $1 tree: $(wc -l <"$tmp/want") violations, as expected"
}

# ---- a clean tree, with what comes close to a violation --------------------------------------------------------

mkdir -p "$tree/.ci" "$tree/build/release"
cp "$here/../.clang-format" "$tree/"
echo 'set(X "a comment may say") # why -march=native is not here' | sed 's/ # /\n# /' | put CMakeLists.txt
header include/octet/types.h OCT_TYPES_H
header include/octet/octet.h OCT_OCTET_H
header host/base/base.h OCT_BASE_H
header host/model/model.h OCT_MODEL_H
header host/infer/forward.h OCT_FORWARD_H
header host/infer/engine.h OCT_ENGINE_H
header kernels/launch.h OCT_LAUNCH_H
put include/octet/backend.h <<'END'
// backend.h: the contract of the devices, CPU and CUDA; only prose may say so.
#ifndef OCT_BACKEND_H
#define OCT_BACKEND_H
int oct_rows(void); /* a CUDA graph keeps this value */
#endif
END
put include/octet/numerics.h <<'END'
// numerics.h: arithmetic shared by gcc and nvcc, with the one switch between them.
#ifndef OCT_NUMERICS_H
#define OCT_NUMERICS_H
#if defined(__CUDACC__)
#define OCT_FN static __forceinline__
#else
#define OCT_FN static inline
#endif
#endif
END
put host/base/check.c <<'END'
// base: the last error of a thread and constants, which may live at file scope.
#include <stdio.h>
#include <string.h>

#include "octet/types.h"

void fill(char *text, size_t size);
const char *name(int i);

static _Thread_local char last_error[64];
static const char *const names[] = {"exit(1)", "it's"};

void fill(char *text, size_t size)
{
    snprintf(text, size, "printf( and abort( in a string"); // exit(1) in a comment
    memcpy(last_error, text, 1);
}

const char *name(int i)
{
    return names[i];
}
END
put host/cpu/cpu_ok.c <<'END'
// cpu: exact functions may come from libm. TODO(12): an open task with its issue.
#include <math.h>

#include "base/base.h"
#include "octet/backend.h"

float ok(float a);

float ok(float a)
{
    return fmaf(a, a, floorf(a));
}
END
put host/quant/fold.c <<'END'
// QUANTIZE: includes what its arrows allow and nothing more.
#include "infer/forward.h"
#include "model/model.h"
END
put tools/octet.c <<'END'
// tools: the command line may print, exit and include the public API.
#include <stdio.h>

#include "octet/octet.h"

int main(void)
{
    printf("octet\n");
    return 0;
}
END
put kernels/norm.cu <<'END'
// kernels: a kernel with its seven lines.
// Computes: y = x
// Shapes: x f32 [T, C]
// Grid: one block a row
// Shared memory: 0
// Bound: 8 * T * C bytes
// Numerics: exact
// Limits: none
#include "launch.h"
END
printf '#!/bin/sh\n# tools: a script that says in its second line what it does.\n' | put tools/run.sh
printf 'cuda is welcome here, and so is "make_path(/%s_dir)"\n' work | put README.md
printf 'the same name as the other, which is fine here\n' | put tools/README.md
# A generated build folder is no part of the tree.
printf 'int bad; // /%s/x\n' work | put 'out/bad.c'
: >"$tree/out/CMakeCache.txt"
build "$tmp/build_clean"
check clean

# ---- one fault for each rule -----------------------------------------------------------------------------------

{
    echo '// tests: a file that is too long.'
    seq -f '// filler %g' 600
} | put host/base/long.c
expect host/base/long.c:601 length
{
    printf '// tests: a function that is too long.\nint f(void);\n\nint f(void)\n{\n'
    seq -f '    (void)%g;' 118
    printf '    return 0;\n}\n'
} | put host/base/long_function.c
expect host/base/long_function.c:5 length

put host/base/word.c <<'END'
// base: names the other device, CUDA, where it must not.
END
expect host/base/word.c:1 cuda-words
printf 'int oct_cuda_rows(void);\n' >>"$tree/include/octet/backend.h"
expect include/octet/backend.h:6 cuda-words
printf '#ifdef __CUDACC__\n#endif\n' >>"$tree/include/octet/numerics.h"
expect include/octet/numerics.h:10 cuda-words

put host/base/console.c <<'END'
// base: ends the program and writes to its terminal.
#include <stdio.h>
#include <stdlib.h>

void leave(void);

void leave(void)
{
    printf("bye\n");
    fprintf(stderr, "bye\n");
    exit(1);
}
END
expect host/base/console.c:9 console
expect host/base/console.c:10 console
expect host/base/console.c:11 console

put include/octet/lonely.h <<'END'
// lonely.h: needs a header it does not include, and a word that C++ keeps for itself.
#ifndef OCT_LONELY_H
#define OCT_LONELY_H
void oct_lonely(int64_t class);
#endif
END
expect include/octet/lonely.h:1 header-alone
expect include/octet/lonely.h:1 header-alone
put host/base/twice.h <<'END'
// base: a header without a guard, so that it cannot be included twice.
enum { OCT_TWICE = 1 };
END
expect host/base/twice.h:1 header-alone

put host/quant/calibrate.c <<'END'
// CALIBRATE: reaches into the engine, where only forward.h is open to it.
#include "../infer/engine.h"
END
expect host/quant/calibrate.c:2 arrows
put host/serve/http.c <<'END'
// STREAM: takes a short cut past the public API.
#include "base/base.h"
END
expect host/serve/http.c:2 arrows
put tools/cmd_bad.c <<'END'
// tools: a subcommand that includes what only the library may.
#include "model/model.h"
END
expect tools/cmd_bad.c:2 arrows
printf '#include "launch.h"\n' | sed '1i // base: host code that knows a kernel.' | sed 's|"launch.h"|"../../kernels/launch.h"|' |
    put host/base/kernel.c
expect host/base/kernel.c:2 arrows

put tests/fold.c <<'END'
// tests: a second file of this name in the tree.
END
expect tests/fold.c:1 unique-names

put kernels/gemm.cu <<'END'
// kernels: a kernel that does not say how large its shared memory is.
// Computes: y = W x
// Shapes: W i8 [N, K]
// Grid: one block a row
// Bound: N * K bytes
// Numerics: exact
// Limits: none
END
expect kernels/gemm.cu:1 kernels
printf 'void oct_launch_gemm(void);\n' >>"$tree/kernels/launch.h"
mkdir -p "$tree/benchmarks"
printf '// benchmarks: times each operation against its limit.\n' >"$tree/benchmarks/bench_ops.c"
expect kernels/launch.h:5 kernels
expect kernels/launch.h:5 kernels

put host/base/counter.c <<'END'
// base: remembers between calls, at file scope and in a function.
int next(void);

static int calls;

int next(void)
{
    static int last = 7;
    last += ++calls;
    return last;
}
END
expect host/base/counter.c:4 globals
expect host/base/counter.c:8 globals

put host/cpu/cpu_libm.c <<'END'
// cpu: takes a function from libm whose bits differ from machine to machine.
#include <math.h>

float bad(float x);

float bad(float x)
{
    return expf(x);
}
END
expect host/cpu/cpu_libm.c:8 libm

if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    printf '// base: indented by hand.\nint   spaced(void);\n' | put host/base/spaced.c
    expect host/base/spaced.c:2 format
fi

printf '// base: leaves work for later. %s: some day\n' 'TO''DO' | put host/base/later.c
expect host/base/later.c:1 todo

printf 'add_compile_options(%smarch=native)\n' - >>"$tree/CMakeLists.txt"
expect CMakeLists.txt:3 flags
printf '// cpu: asks for reordered floats behind the back of the build.\n#pragma GCC optimize("fast-math")\n' |
    put host/cpu/cpu_pragma.c
expect host/cpu/cpu_pragma.c:2 flags

printf '#include <stddef.h>\n' | put host/base/silent.c
expect host/base/silent.c:1 first-line
printf '#!/bin/sh\nset -e\n' | put tools/silent.sh
expect tools/silent.sh:2 first-line

printf 'see /%s/notes and /%s/x.txt\n' work home/someone | put NOTES.md
expect NOTES.md:1 paths

build "$tmp/build_faulty"
check faulty

# Every rule has a fault here.
grep -oE '(report|say) [a-z-]+' "$here/rules.sh" | cut -d' ' -f2 | sort -u | while read -r rule; do
    grep -q "\[$rule\]" "$expected" || case $rule in
    format) echo "rules_selftest: [format] not tried: clang-format 14 is not installed" ;;
    *) echo "rules_selftest: rule $rule has no fault planted" && exit 1 ;;
    esac
done
