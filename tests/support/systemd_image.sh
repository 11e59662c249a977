#!/bin/sh
# Make the root folder of a Debian machine with systemd as a tar archive, for containers of tests/support/systemd_machine.py.
#
#   systemd_image.sh DIR RELEASE...        RELEASE: bookworm (Debian 12) or trixie (Debian 13)
#
# Exit code 0: DIR/RELEASE.tar of this very recipe are there. 3: they cannot be made here; standard error says why. The
# packages come from the mirror that apt is configured with; each archive takes about 30 s and 210 MB, once.
set -eu

what="a Debian machine with systemd"
# shellcheck source=tests/support/debian_image.sh
. "$(dirname "$0")/debian_image.sh"
shift

packages=systemd,systemd-sysv,dbus,openssh-server,python3,python3-venv,sudo,iproute2,iputils-ping,ca-certificates,procps,e2fsprogs,libnss-systemd
# a machine under test does nothing by itself, and gets its id at its first start
units="apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
systemd-tmpfiles-clean.timer getty.target console-getty.service"
for release in "$@"; do
    # shellcheck disable=SC2016 # $1 is the hooks'
    is_made "$release" || make_image "$release" "$release" "$packages" \
        --customize-hook='chroot "$1" systemctl mask '"$units" \
        --customize-hook='rm -f "$1/etc/machine-id" "$1/var/lib/dbus/machine-id" && touch "$1/etc/machine-id"'
done
