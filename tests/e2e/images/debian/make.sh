#!/bin/sh
# A small Debian as one archive: make.sh SUITE ROOT TAR. Needs root and debootstrap; the mirror is debootstrap's own.
set -eu
suite=$1 root=$2 tar=$3

debootstrap --variant=minbase "$suite" "$root" ${DEBIAN_MIRROR:-}

# What Debian's own slim image leaves out, now and in every package that is installed later.
cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'END'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-include /usr/share/locale/locale.alias
END
cat >"$root/etc/apt/apt.conf.d/docker" <<'END'
Acquire::Languages "none";
APT::Install-Recommends "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
# No service may be started inside a container that is being built.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"

find "$root/usr/share/doc" -type f ! -name copyright -delete
find "$root/usr/share/doc" -type d -empty -delete
find "$root/usr/share/locale" -mindepth 1 -maxdepth 1 ! -name locale.alias -exec rm -rf {} +
rm -rf "$root/usr/share/man" "$root/usr/share/info" "$root"/var/cache/apt/archives/*.deb \
  "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/cache/debconf/*-old "$root"/var/cache/apt/*.bin
mkdir -p "$root/usr/share/man/man1" "$root/usr/share/man/man8"
rm -rf "$root"/dev/* "$root"/proc/* "$root"/sys/* "$root/etc/resolv.conf" "$root/etc/hostname"

tar --numeric-owner -C "$root" -cf "$tar" .
