#!/usr/bin/env bash
# The package and the tarball in a Debian of their own, under its own systemd; see lifecycle_test.go and
# lifecycle_tarball_test.go.
# It wants root, mmdebstrap and systemd-container, and fetches the Debian once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'package-test: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "it starts a Debian in namespaces of its own, which root alone may: sudo make package-test"
for need in "mmdebstrap mmdebstrap" "systemd-nspawn systemd-container" "dpkg-deb dpkg"; do
  command -v "${need% *}" >/dev/null || fail "${need% *} is missing; install it with: apt-get install ${need#* }"
done

debian=${RXEDGE_TEST_DEBIAN:-$PWD/.cache/debian-bookworm.tar}
if ! [ -e "$debian" ]; then
  echo "package-test: fetching a Debian (once)"
  mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,libstdc++6 bookworm "$debian.new.tar"
  mv "$debian.new.tar" "$debian"
fi
arch=$(${GO:-go} env GOHOSTARCH)
for v in 0.9.0 0.9.1; do
  [ -e "dist/rxedge_${v}_$arch.deb" ] && [ -n "${RXEDGE_TEST_KEEP:-}" ] || VERSION=$v systemd/package.sh "$arch"
done
RXEDGE_TEST_DEBIAN=$debian RXEDGE_TEST_OLDER=$PWD/dist/rxedge_0.9.0_$arch.deb RXEDGE_TEST_NEWER=$PWD/dist/rxedge_0.9.1_$arch.deb \
  RXEDGE_TEST_OLDER_TARBALL=$PWD/dist/rxedge_0.9.0_linux_$arch.tar.gz RXEDGE_TEST_NEWER_TARBALL=$PWD/dist/rxedge_0.9.1_linux_$arch.tar.gz \
  ${GO:-go} test -count=1 -v -timeout 20m -run "${RXEDGE_TEST_RUN:-Lifecycle}" ./systemd
