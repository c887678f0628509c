#!/bin/sh
# Build a Debian package of the home agent: deb.sh PROGRAM VERSION ARCHITECTURE OUT.deb
#
# dpkg-deb does it, which every Debian has; the same inputs give the same bytes (SOURCE_DATE_EPOCH dates the files). With
# COMPRESSION=none it is quick.
set -eu
umask 022
program=$1 version=$2 arch=$3 out=$4
here=$(dirname "$0")
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
install -D -m 755 "$program" "$tree/usr/bin/sward-edge"
install -D -m 644 "$here/../edge/install/sward-edge.service" "$tree/usr/lib/systemd/system/sward-edge.service"
doc="$tree/usr/share/doc/sward-edge"
install -D -m 644 "$here/copyright" "$doc/copyright"
{
  printf 'sward-edge (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n' "$version"
  printf ' -- Sward <packages@sward.example>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n > "$doc/changelog.gz"
mkdir -p "$tree/usr/share/man/man1"
gzip -9nc "$here/sward-edge.1" > "$tree/usr/share/man/man1/sward-edge.1.gz"
mkdir -p "$tree/usr/share/lintian/overrides"
echo 'sward-edge: statically-linked-binary [usr/bin/sward-edge]' > "$tree/usr/share/lintian/overrides/sward-edge" # Go, without libc
mkdir "$tree/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$tree/DEBIAN/$script"; done
(cd "$tree" && find usr -type f | LC_ALL=C sort | xargs md5sum) > "$tree/DEBIAN/md5sums"
cat > "$tree/DEBIAN/control" <<END
Package: sward-edge
Version: $version
Architecture: $arch
Maintainer: Sward <packages@sward.example>
Installed-Size: $(du -sk --apparent-size "$tree/usr" | cut -f1)
Depends: passwd, init-system-helpers (>= 1.54)
Recommends: ca-certificates, xdg-utils
Section: net
Priority: optional
Homepage: https://sward.example/
Description: lend this machine's line to the Sward network
 The home agent of Sward shares an Internet line under its owner's rules:
 caps, hours, purposes and sites. It shows its owner everything that left the
 house and what it earned, and never reaches into the home network.
 .
 Nothing is shared before the owner has agreed in words. Give it an
 invitation with: sudo sward-edge install INVITATION
END
# Without the variable's value mkdir's and gzip's times would tell the build's hour.
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --build --root-owner-group "-Z${COMPRESSION:-xz}" "$tree" "$out" >/dev/null
