#!/usr/bin/env bash
# Builds dist/rxedge_VERSION_ARCH.deb and, of the same files, the tarball for where there
# is no dpkg, dist/rxedge_VERSION_linux_ARCH.tar.gz: package.sh amd64|arm64.
#
# The same commit, toolchain and engine give the same bytes: all times are
# SOURCE_DATE_EPOCH, which is the commit's unless it is set.
set -euo pipefail

arch=${1:?package.sh amd64|arm64}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go=${GO:-go}
host=$($go env GOHOSTARCH)
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0

fail() { printf 'package: %s\n' "$*" >&2; exit 1; }

# A tag v1.2.3 is version 1.2.3; three commits later it is 1.2.3+3.gHASH. Without a
# tag it is the programs' own number.
if [ -z "${VERSION:-}" ]; then
  if VERSION=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
    VERSION=$(sed -E 's/^v//; s/-([0-9]+)-(g[0-9a-f]+)$/+\1.\2/' <<<"$VERSION")
  else
    VERSION=$(sed -nE 's/^var Version = "(.*)"$/\1/p' daemon/box/box.go)+g$(git rev-parse --short=12 HEAD)
  fi
fi
[[ $VERSION =~ ^[0-9]{1,6}(\.[0-9]{1,6}){1,3}([-+][0-9A-Za-z.-]{1,40})?$ ]] || fail "VERSION is '$VERSION'; it has to be like 1.2.3 or 1.2.3+4.gabc"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export VERSION SOURCE_DATE_EPOCH ARCH=$arch
STAGE=dist/stage/$arch
export STAGE
export GOFLAGS=-buildvcs=false

case $arch in
  "$host") cgo=1 LACKS="" ;;
  arm64) cgo=0 LACKS="This build has no llama.cpp and reads no NVIDIA card: answers are the labels' own sentences. Build it on an arm64 machine for both." ;;
  *) fail "a package for $arch is built on such a machine" ;;
esac
export LACKS

built=$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)
build() { # folder, GOARCH, cgo
  mkdir -p "$1"
  CGO_ENABLED=$3 GOARCH=$2 $go build -trimpath -ldflags "-s -w -buildid= -X rxedge/daemon/box.Version=$VERSION -X rxedge/daemon/box.Built=$built" -o "$1/rxedged" ./daemon
  CGO_ENABLED=$3 GOARCH=$2 $go build -trimpath -ldflags "-s -w -buildid= -X rxedge/daemon/box.Version=$VERSION -X rxedge/daemon/box.Built=$built" -o "$1/rxedge" ./admin
}

rm -rf "$STAGE"
root=$STAGE/root
release=$root/usr/lib/rxedge/package
build "$release" "$arch" "$cgo"
if [ "$cgo" = 1 ]; then
  [ -x bin/llama/rxedge-llama ] || fail "there is no engine in bin/llama; 'make engine' builds it"
  mkdir -p "$release/llama/licenses"
  cp bin/llama/lib*.so bin/llama/rxedge-llama "$release/llama/"
  cp bin/llama/licenses/* "$release/llama/licenses/"
fi

# The manual is what the programs say of themselves; those of another machine can't be
# asked, and those of this one say the same.
if [ "$arch" = "$host" ]; then
  asked=$release
else
  asked=$STAGE/host
  build "$asked" "$host" 1
fi
"$asked/rxedge" manual "$STAGE/manual"
share=$root/usr/share
mkdir -p "$share/man" "$share/bash-completion/completions" "$share/zsh/vendor-completions" "$share/fish/vendor_completions.d" "$share/doc/rxedge" "$share/rxedge"
cp -r "$STAGE/manual/man1" "$STAGE/manual/man8" "$share/man/"
find "$share/man" -type f -exec gzip -9n {} +
cp "$STAGE/manual/bash/rxedge" "$share/bash-completion/completions/"
cp "$STAGE/manual/zsh/_rxedge" "$share/zsh/vendor-completions/"
cp "$STAGE/manual/fish/rxedge.fish" "$share/fish/vendor_completions.d/"
cp systemd/copyright CHANGELOG.md daemon/health/CONDITIONS.md daemon/api/ERRORS.md "$share/doc/rxedge/"
# All lie in one folder there.
for guide in docs/*.md; do
  sed -E 's#\]\(\.\./[a-z/]+/([A-Z]+\.md)\)#](\1)#g' "$guide" >"$share/doc/rxedge/$(basename "$guide")"
  chmod 644 "$share/doc/rxedge/$(basename "$guide")"
done
mkdir -p "$share/rxedge/firmware-profiles"
cp firmware-profiles/*.toml "$share/rxedge/firmware-profiles/"
install -D -m644 systemd/rxedged.service "$root/lib/systemd/system/rxedged.service"
install -D -m644 systemd/rxedge.sysusers "$root/usr/lib/sysusers.d/rxedge.conf"
install -D -m644 systemd/rxedge.tmpfiles "$root/usr/lib/tmpfiles.d/rxedge.conf"
install -m644 systemd/rxedge.toml "$STAGE/rxedge.toml"
# The umask of who builds is no part of the package.
chmod -R u=rwX,go=rX "$root"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

mkdir -p dist
said=$(${NFPM:-$go run $nfpm} package --config systemd/nfpm.yaml --packager deb --target "dist/rxedge_${VERSION}_$arch.deb" 2>&1) || fail "nfpm: $said"
RXEDGE_TEST_DEB=$PWD/dist/rxedge_${VERSION}_$arch.deb $go test -count=1 -run '^TestContents$' ./systemd >"dist/stage/contents.log" || { cat dist/stage/contents.log >&2; fail "it holds something else than systemd/contents.$arch.golden"; }

# 'rxedge service install' (daemon/setup) puts what lies under root/ to the same place
# under /, and what is Debian's own way to where others look.
top=rxedge-$VERSION
tree=$STAGE/tar/$top
mkdir -p "$tree/root/usr/lib"
cp -r "$release" "$tree/release"
cp -r "$share" "$tree/root/usr/share"
cp -r "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$tree/root/usr/lib/"
mv "$tree/root/usr/share/zsh/vendor-completions" "$tree/root/usr/share/zsh/site-functions"
mv "$tree/root/usr/share/fish/vendor_completions.d" "$tree/root/usr/share/fish/completions"
rm "$tree/root/usr/share/doc/rxedge/copyright"
cp LICENSE "$tree/root/usr/share/doc/rxedge/"
cp LICENSE systemd/rxedged.service systemd/rxedge.toml "$tree/"
ln -s release/rxedge "$tree/rxedge"
cat >"$tree/README" <<END
rxedge $VERSION for Linux on $arch

  sudo ./rxedge service install       install it as a service of systemd, or upgrade it
  sudo ./rxedge service uninstall     take it away; documents and settings stay
  sudo ./rxedge service uninstall --purge

It wants glibc 2.34 or newer, libstdc++ and systemd. On Debian and its kin take the .deb.
Without systemd 'release/rxedge service run' runs the daemon. $LACKS
END
chmod -R u=rwX,go=rX "$tree"
tarball=dist/rxedge_${VERSION}_linux_$arch.tar.gz
tar -C "$STAGE/tar" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$top" | gzip -9n >"$tarball"
RXEDGE_TEST_TARBALL=$PWD/$tarball $go test -count=1 -run '^TestTarball$' ./systemd >"dist/stage/tarball.log" || { cat dist/stage/tarball.log >&2; fail "the tarball is not what it should be"; }
echo "dist/rxedge_${VERSION}_$arch.deb"
echo "$tarball"
