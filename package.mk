# The .deb and the tarball, in dist/. Included by the Makefile; what is done and why stands in
# systemd/package.sh and systemd/DESIGN.md.
.PHONY: package package-test

package: engine ## build the .deb and the tarball for amd64 and arm64 into dist/ (VERSION=1.2.3)
	@systemd/package.sh amd64
	@systemd/package.sh arm64

package-test: engine ## install, upgrade, remove and purge .deb and tarball in a Debian of its own (root, mmdebstrap, systemd-container)
	@systemd/package-test.sh
