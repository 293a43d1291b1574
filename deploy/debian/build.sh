#!/bin/sh
# Build the Debian package of the service for the release of this machine: deploy/debian/build.sh FOLDER PYTHON
# The package has the service with its dependencies in /opt/idp, where the units look for it, and depends on that release's Python.
# Run it in the root of the sources, with uv in PATH; `make deb` does so.
set -eu
umask 022
out=$1 python=$2
here=$(dirname "$0")
name=scolarite-services
release=$(. /etc/os-release && echo "$ID${VERSION_ID-}") # the names of Debian's releases are not in the order of time
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' idp/__init__.py)~$release
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
architecture=$(dpkg --print-architecture)
root=$(mktemp -d)
chmod 755 "$root"
trap 'rm -rf "$root"' EXIT

deploy/installation/install.sh "$root/opt/idp" "$python" "$root"
install -D -m 755 -t "$root/usr/bin" deploy/idp
install -D -m 644 -t "$root/usr/lib/systemd/system" deploy/*.service deploy/*.timer
install -D -m 644 -t "$root/usr/share/$name" deploy/environment.sample deploy/502.html
install -D -m 644 -t "$root/usr/share/doc/$name" "$here/copyright" CHANGELOG.md # the guides lead to it
install -D -m 644 -t "$root/usr/share/doc/$name/examples" deploy/nginx*.conf deploy/nginx-connections.sed deploy/nftables.conf \
  deploy/prometheus/*.yml deploy/grafana/idp.json
install -D -m 644 -t "$root/usr/share/doc/$name/guides" docs/*.md
for folder in bureau decisions images images/bureau reference; do
  find "docs/$folder" -maxdepth 1 -type f -exec install -D -m 644 -t "$root/usr/share/doc/$name/guides/$folder" {} +
done
gzip -9n <CHANGELOG.md >"$root/usr/share/doc/$name/changelog.gz"

install -d "$root/DEBIAN"
install -m 755 -t "$root/DEBIAN" "$here/postinst" "$here/prerm" "$here/postrm"
cat >"$root/DEBIAN/control" <<CONTROL
Package: $name
Version: $version
Architecture: $architecture
Section: net
Priority: optional
Maintainer: Scolarité Services
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), libc6 (>= 2.28), libgcc-s1, passwd, ca-certificates
Recommends: nginx
Suggests: postgresql
Description: OpenID Connect identity provider for French school sites
 Parents go from the school's letter to the inside of the ENT: activation, sign-in, recovery, and the desk for schools.
CONTROL
(cd "$root" && find opt usr -type f -exec md5sum {} + >DEBIAN/md5sums)
mkdir -p "$out"
# Not xz, which takes minutes for these files.
dpkg-deb --root-owner-group -Zzstd --build "$root" "$out/${name}_${version}_$architecture.deb"
