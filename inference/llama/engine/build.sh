#!/usr/bin/env bash
# Builds the llama.cpp engine into bin/llama: rxedge-llama and its libraries.
#
#   build.sh [server|tools]
#
# The libraries are prebuilt and come from npm, pinned by package-lock.json;
# the source of the same release lies as a git bundle in node-llama-cpp. Only
# the server is compiled here, once: objects are cached in .cache/llama under a
# key of everything that goes into them. `tools` adds llama-bench,
# llama-quantize, llama-imatrix and llama-perplexity.
set -euo pipefail

what=${1:-server}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${RXEDGE_ENGINE_CACHE:-$root/.cache/llama}
dest=$root/bin/llama
: "${CXX:=g++}" "${CC:=gcc}"
export CXX CC

fail() { printf 'engine: %s\n' "$*" >&2; exit 1; }

need() { # program, Debian package
  command -v "$1" >/dev/null || fail "$1 is missing; install it with: sudo apt install $2"
}

for tool in "$CXX g++" "$CC gcc" "make make" "git git" "flock util-linux" "sha256sum coreutils"; do
  # shellcheck disable=SC2086
  need $tool
done

[ "$(uname -s)" = Linux ] || fail "it is built on Linux only; this is $(uname -s)"
case $(uname -m) in
  x86_64) package=linux-x64 ;;
  aarch64 | arm64) package=linux-arm64 ;;
  *) fail "llama.cpp's prebuilt libraries exist for x86-64 and arm64; this machine is $(uname -m)" ;;
esac

# The parts of llama.cpp that are compiled or included.
paths="LICENSE licenses common include ggml/include src vendor
  tools/server tools/mtmd tools/llama-bench tools/quantize tools/imatrix tools/perplexity"

digest() { sha256sum | cut -c1-16; }
lock_key=$({ cat "$here/package-lock.json"; echo "$paths"; } | digest)
object_key=$({ cat "$here/package-lock.json" "$here/objects.mk" "$here/ui.h"; "$CXX" --version | head -n1; uname -m; } | digest)
key=$({ echo "$object_key"; cat "$here/build.sh"; } | digest)

server_current() { [ -x "$dest/rxedge-llama" ] && [ "$(cat "$dest/.key" 2>/dev/null)" = "$key" ]; }
tools_current() { [ -x "$dest/llama-perplexity" ] && [ "$(cat "$dest/.tools-key" 2>/dev/null)" = "$key" ]; }

if server_current && { [ "$what" = server ] || tools_current; }; then
  exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
if ! flock -n 9; then
  echo "engine: waiting for another build of it to end"
  flock 9
  if server_current && [ "$what" = server ]; then exit 0; fi
fi

upstream=$cache/upstream-$lock_key-$package # lib/ and src/
objects=$cache/objects-$object_key

# fetch brings the libraries and the source into $upstream, whole or not at all.
fetch() {
  need npm npm
  local work=$cache/fetch
  rm -rf "$work"
  mkdir -p "$work/npm" "$work/new/lib" "$work/new/src"
  echo "engine: fetching llama.cpp (42 MB, once)"
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$work/npm/"
  (cd "$work/npm" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) ||
    fail "npm could not fetch the packages that $here/package-lock.json pins; see its message above"
  local modules=$work/npm/node_modules
  local libs=$modules/@node-llama-cpp/$package/bins/$package
  [ -e "$libs/libllama-common.so" ] || fail "npm did not install @node-llama-cpp/$package; is this a Linux with glibc?"
  cp "$libs"/lib*.so "$work/new/lib/"
  git init -q --bare "$work/git"
  git --git-dir="$work/git" fetch -q --no-tags "$modules/node-llama-cpp/llama/gitRelease.bundle" HEAD:refs/heads/release
  # shellcheck disable=SC2086
  git --git-dir="$work/git" archive release $paths | tar -x -C "$work/new/src"
  rm -rf "$upstream"
  mv "$work/new" "$upstream"
  rm -rf "$work"
}

# jobs is the number of compilers to run: one a core, and 1 GB of memory each.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  if [ "$memory" -lt "$cores" ]; then cores=$memory; fi
  if [ "$cores" -lt 1 ]; then cores=1; fi
  echo "$cores"
}

compile() { # make target
  mkdir -p "$objects"
  # The caller's make flags (-n, -j, its job server) are not for this build.
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -rs --no-print-directory -f "$here/objects.mk" -j "$(jobs)" \
    SRC="$upstream/src" LIB="$upstream/lib" OBJ="$objects" OUT="$objects" "$1" ||
    fail "llama.cpp did not compile; see the compiler's message above"
}

[ -d "$upstream" ] || fetch
if ! [ -x "$objects/rxedge-llama" ]; then
  echo "engine: compiling llama.cpp's server (about 90 s on 2 cores, once)"
fi
compile server

if ! server_current; then
  rm -rf "$dest.new" "$dest.old"
  mkdir -p "$dest.new/licenses"
  cp "$upstream"/lib/lib*.so "$dest.new/"
  cp "$objects/rxedge-llama" "$dest.new/"
  cp "$upstream/src/LICENSE" "$dest.new/licenses/llama.cpp"
  cp "$upstream/src/vendor/cpp-httplib/LICENSE" "$dest.new/licenses/cpp-httplib"
  cp "$upstream/src/licenses/LICENSE-jsonhpp" "$dest.new/licenses/nlohmann-json"
  # A library that is missing or too new for this system shows now, not at the first question.
  "$dest.new/rxedge-llama" --version >/dev/null 2>"$objects/version" ||
    { cat "$objects/version" >&2; fail "the engine was built but does not start; it wants glibc 2.34 or newer (Debian 12, Ubuntu 22.04)"; }
  echo "$key" >"$dest.new/.key"
  if [ -e "$dest" ]; then mv "$dest" "$dest.old"; fi
  mv "$dest.new" "$dest"
  rm -rf "$dest.old"
  echo "engine: installed in ${dest#"$root"/}"
fi

if [ "$what" = tools ] && ! tools_current; then
  compile tools
  cp "$objects"/llama-{bench,quantize,imatrix,perplexity} "$dest/"
  echo "$key" >"$dest/.tools-key"
  echo "engine: tools installed in ${dest#"$root"/}"
fi

# What earlier pins left behind.
find "$cache" -maxdepth 1 \( -name 'upstream-*' -o -name 'objects-*' \) \
  ! -path "$upstream" ! -path "$objects" -exec rm -rf {} +
