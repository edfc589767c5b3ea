#!/usr/bin/env bash
# tools: packs what tools/gpu_check.sh needs into one archive, for a GPU machine without network or development packages.
# Usage: tools/gpu_bundle.sh [OUT.tar.gz]     needs nvcc; OCT_CUDA_ARCHS="80;90" chooses the architectures
set -eu -o pipefail
exec </dev/null

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(realpath -m "${1:-build/octet-gpu-bundle.tar.gz}")
build=build/bundle
stage=$build/octet-gpu-bundle

if ! command -v nvcc >/dev/null && [ ! -x /usr/local/cuda/bin/nvcc ]; then
    echo "gpu_bundle: no nvcc on this machine" >&2
    exit 1
fi
mkdir -p $build
cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release "-DOCT_CUDA_ARCHS=${OCT_CUDA_ARCHS:-80;90}" >$build/configure.log
cmake --build $build --parallel "${JOBS:-$(nproc)}" >$build/build.log 2>&1 || {
    tail -n 40 $build/build.log
    exit 1
}

rm -rf $stage
mkdir -p $stage/bin $stage/lib $stage/tools $stage/models $stage/tests
cp $build/octet $build/liboctet_cuda.so $stage/bin/
cp $build/bin/test_ops_emu $build/bin/test_model_emu $build/bin/gpu_conformance $stage/bin/
cp tools/gpu_check.sh $stage/tools/
cp -r models/tales-8m $stage/models/
git rev-parse HEAD >$stage/commit 2>/dev/null || echo unknown >$stage/commit
# What a bare machine lacks: the few shared libraries that are neither libc nor CUDA's driver.
for program in $stage/bin/*; do
    ldd "$program" | awk '/=> \// { print $3 }'
done | sort -u | grep -E '/lib(jansson|pcre2-8|md|bsd|check|subunit)\.so' | xargs -r cp -Lt $stage/lib
# What ptxrun says about the wrappers and functions: a GPU must print the same.
$build/bin/gpu_conformance_emu 65536 >$stage/conformance.expected

tar -C $build -czf "$out" octet-gpu-bundle
ls -l "$out"
