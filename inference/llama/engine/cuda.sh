#!/usr/bin/env bash
# Builds llama.cpp's CUDA backend, bin/llama/libggml-cuda.so, out of the source
# of the release whose libraries ship: the engine finds it beside the CPU
# backends at its next start.
#
#   cuda.sh [build|source]
#
# `source` only brings the source into .cache/llama; with that folder and
# bin/llama copied over, `build` works on a machine that has nvcc and neither
# network nor npm. It is built for the architecture of this machine's cards
# alone; CUDA_ARCH=89 (or "75 89") says otherwise, and is needed where there is
# no card. CUDA_HOME says where the toolkit is; NVCC_FLAGS adds flags. An
# interrupted build goes on where it was.
set -euo pipefail

what=${1:-build}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${RXEDGE_ENGINE_CACHE:-$root/.cache/llama}
dest=$root/bin/llama

fail() { printf 'cuda: %s\n' "$*" >&2; exit 1; }
case $what in build | source) ;; *) fail "usage: cuda.sh [build|source]" ;; esac

for tool in sha256sum flock make tar; do
  command -v "$tool" >/dev/null || fail "$tool is missing; install it with: sudo apt install coreutils util-linux make tar"
done

paths="LICENSE ggml/include ggml/src/ggml-cuda ggml/src/ggml-*.h" # part of the key; see fetch
digest() { sha256sum | cut -c1-16; }
source_key=$({ cat "$here/package-lock.json"; echo "$paths"; } | digest)
source_dir=$cache/cuda-source-$source_key

mkdir -p "$cache"
exec 9>"$cache/cuda.lock"
flock -n 9 || { echo "cuda: waiting for another build of it to end"; flock 9; }

# fetch brings ggml's source into $source_dir, whole or not at all.
fetch() {
  local work=$cache/cuda-fetch
  for tool in npm git; do
    command -v "$tool" >/dev/null || fail "$tool is missing, and the source is not in $source_dir. Run 'make cuda-source' on a machine that has npm, git and a network, and copy .cache/llama here."
  done
  rm -rf "$work"
  mkdir -p "$work/npm" "$work/new"
  echo "cuda: fetching llama.cpp's source (once)"
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/npm/"
  (cd "$work/npm" && npm ci --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) ||
    fail "npm could not fetch the package that $here/package-lock.json pins; see its message above"
  git init -q --bare "$work/git"
  git --git-dir="$work/git" fetch -q --no-tags "$work/npm/node_modules/node-llama-cpp/llama/gitRelease.bundle" HEAD:refs/heads/release
  git --git-dir="$work/git" archive release LICENSE ggml/include ggml/src/ggml-cuda ':(glob)ggml/src/ggml-*.h' | tar -x -C "$work/new"
  [ -e "$work/new/ggml/src/ggml-cuda/ggml-cuda.cu" ] || fail "the source bundle holds no ggml/src/ggml-cuda; was llama.cpp updated?"
  rm -rf "$source_dir"
  mv "$work/new" "$source_dir"
  rm -rf "$work"
}

[ -d "$source_dir" ] || fetch
if [ "$what" = source ]; then
  echo "cuda: the source is in ${source_dir#"$root"/}"
  exit 0
fi

[ -e "$dest/libggml-base.so" ] && [ -x "$dest/rxedge-llama" ] ||
  fail "the engine is not in ${dest#"$root"/}: run 'make engine' first, or copy bin/llama from a machine where it was built"

# nvcc: of CUDA_HOME, of the path, or where NVIDIA's packages put it.
nvcc=
for candidate in "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc; do
  if [ -n "$candidate" ] && [ -x "$candidate" ]; then nvcc=$(readlink -f "$candidate"); break; fi
done
[ -n "$nvcc" ] || fail "nvcc is missing. Install NVIDIA's CUDA toolkit (12.4 or newer; its compiler, cudart and cublas parts are enough), or say where it is with CUDA_HOME=. Without it the engine runs on the processor."
toolkit=$(dirname "$(dirname "$nvcc")")
release=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n1)
[ -n "$release" ] || fail "$nvcc does not say its version"
read -r major minor <<<"$release"
version=$((major * 100 + minor))
[ "$version" -ge 1104 ] || fail "CUDA $major.$minor is too old; llama.cpp wants 11.4 or newer"

command -v "${CXX:-g++}" >/dev/null || fail "${CXX:-g++} is missing; install it with: sudo apt install g++"

# Debian's own package has the libraries with the system's; NVIDIA's beside nvcc.
library() { # file: prints the first folder that has it
  local d
  for d in "$toolkit"/lib64 "$toolkit"/lib "$toolkit"/targets/*/lib /usr/lib/"$(uname -m)"-linux-gnu; do
    if [ -e "$d/$1" ]; then echo "$d"; return; fi
  done
}
cuda_lib=$(library libcublas.so)
[ -n "$cuda_lib" ] || fail "the toolkit in $toolkit has no libcublas.so; install its cublas development part"
stubs=$(library stubs/libcuda.so)
if [ -n "$stubs" ]; then stubs=$stubs/stubs; else stubs=$(library libcuda.so); fi
[ -n "$stubs" ] || echo "cuda: no libcuda.so to link against; memory is then managed the older way (GGML_CUDA_NO_VMM)"

# The architectures: as asked for, or of the cards here.
archs=${CUDA_ARCH:-}
if [ -z "$archs" ] && command -v nvidia-smi >/dev/null; then
  archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -xE '[0-9]+\.[0-9]' | tr -d . | sort -un | tr '\n' ' ') || archs=
fi
if [ -z "$archs" ] && grep -qs Orin /proc/device-tree/model; then archs=87; fi
archs=$(echo "$archs" | tr ',;.' '   ' | xargs)
[ -n "$archs" ] || fail "no card was found here to build for; name the architecture of the one it is meant for: CUDA_ARCH=75 (T4), 87 (Orin), 89 (L4, RTX Ada), 90 (H100, H200)"
# shellcheck disable=SC2001
archs=$(echo "$archs" | sed -E 's/\b(12[0-9])\b/\1a/g') # Blackwell's matrix units are for the exact card
for a in $archs; do
  [[ $a =~ ^[0-9]{2,3}a?$ ]] || fail "CUDA_ARCH=$a: an architecture is two or three digits, such as 89"
  "$nvcc" --list-gpu-arch | grep -qx "compute_${a%a}" || fail "CUDA $major.$minor does not know the architecture $a; update the toolkit"
done

key=$({ echo "$source_key $version $archs ${NVCC_FLAGS:-} $stubs $(uname -m)"; cat "$here/cuda-objects.mk"; sha256sum <"$dest/libggml-base.so"; } | digest)
objects=$cache/cuda-objects-$key
mkdir -p "$objects"

# One compiler a core, and 2 GB of memory each.
cores=$(nproc)
room=$(awk '/MemAvailable/ {print int($2 / 2097152)}' /proc/meminfo)
jobs=$((room < cores ? room : cores))
[ "$jobs" -ge 1 ] || jobs=1

echo "cuda: building for architecture $archs with CUDA $major.$minor, $jobs at a time (minutes on 16 cores, an hour on 2; once)"
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -rs --no-print-directory -f "$here/cuda-objects.mk" -j "$jobs" \
  SRC="$source_dir/ggml" LIB="$dest" OBJ="$objects" NVCC="$nvcc" ARCHS="$archs" CUDA_LIB="$cuda_lib" STUBS="$stubs" \
  NVCC_VERSION="$version" NVCC_FLAGS="${NVCC_FLAGS:-}" "$objects/libggml-cuda.so" ||
  fail "the CUDA backend did not compile; see the compiler's message above (a host compiler that nvcc does not know: NVCC_FLAGS=-allow-unsupported-compiler, or -ccbin with an older one)"

# Installed under another name and renamed: an engine that runs keeps its own.
mkdir -p "$dest/licenses"
cp "$objects/libggml-cuda.so" "$dest/libggml-cuda.so.new"
mv "$dest/libggml-cuda.so.new" "$dest/libggml-cuda.so"
cp "$source_dir/LICENSE" "$dest/licenses/llama.cpp"
echo "cuda: installed ${dest#"$root"/}/libggml-cuda.so for architecture $archs"

# What earlier builds left behind.
find "$cache" -maxdepth 1 -name 'cuda-source-*' ! -path "$source_dir" -exec rm -rf {} +
find "$cache" -maxdepth 1 -name 'cuda-objects-*' ! -path "$objects" -exec rm -rf {} +

devices=$("$dest/rxedge-llama" --list-devices 2>/dev/null | sed -n 's/^ *\(CUDA[0-9]*: .*\)/\1/p')
if [ -n "$devices" ]; then
  echo "cuda: the engine finds $devices"
elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
  ldd "$dest/libggml-cuda.so" | grep 'not found' >&2 || true
  fail "the backend was built, but the engine finds no card with it; 'rxedge gpu' says why (a driver older than CUDA $major.$minor is the usual reason)"
else
  echo "cuda: there is no card here to try it on"
fi
