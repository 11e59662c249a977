#!/bin/sh
# Make the root folder of a Debian machine with systemd as a tar archive, for containers of tests/support/systemd_machine.py.
#
#   systemd_image.sh DIR RELEASE...        RELEASE: bookworm (Debian 12) or trixie (Debian 13)
#
# Exit code 0: DIR/RELEASE.tar of this very recipe are there. 3: they cannot be made here; standard error says why. The
# packages come from the mirror that apt is configured with; each archive takes about 30 s and 210 MB, once.
set -eu

recipe=$(sha256sum <"$0" | cut -c -64)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
shift

fail() {
    echo "cannot make a machine with systemd: $1" >&2
    exit 3
}

missing=""
for release in "$@"; do
    [ "$(cat "$dir/$release.recipe" 2>/dev/null || true)" = "$recipe" ] || missing="$missing $release"
done
[ -n "$missing" ] || exit 0

[ "$(id -u)" -eq 0 ] || fail "that takes root"
for program in apt-get mmdebstrap; do
    command -v "$program" >/dev/null || fail "there is no $program"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "there is no $keyring"
# shellcheck disable=SC2016 # $(REPO_URI) is apt's
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$mirror" ] || fail "apt has no mirror"

work=$(mktemp -d "$dir/making-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

packages=systemd,systemd-sysv,dbus,openssh-server,python3,python3-venv,sudo,iproute2,iputils-ping,ca-certificates,procps,e2fsprogs,libnss-systemd
# a machine under test does nothing by itself, and gets its id at its first start
units="apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
systemd-tmpfiles-clean.timer getty.target console-getty.service"
# shellcheck disable=SC2016 # $1 is the hooks'
for release in $missing; do
    echo "Making a Debian machine with systemd ($release), about half a minute" >&2
    mmdebstrap --mode=root --variant=minbase --keyring="$keyring" --include="$packages" \
        --aptopt='Acquire::Retries "3"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='chroot "$1" systemctl mask '"$units" \
        --customize-hook='rm -f "$1/etc/machine-id" "$1/var/lib/dbus/machine-id" && touch "$1/etc/machine-id"' \
        "$release" "$work/$release.tar" "$mirror" >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; fail "mmdebstrap could not"; }
    mv "$work/$release.tar" "$dir/$release.tar"
    echo "$recipe" >"$dir/$release.recipe"
done
