#!/bin/sh
# Fetch packages of Debian 13 into a folder, unpacked and not installed, whatever release this machine has.
#
#   debian13.sh DIR PACKAGE...
#
# Exit code 0: all are there, their programs in DIR/usr/bin. 3: they cannot be had here; standard error says why. apt takes
# them from the mirror that it is configured with, keeps its lists apart from the system's, and needs no root.
set -eu

mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
shift

missing=""
for package in "$@"; do
    [ -e "$dir/have/$package" ] || missing="$missing $package"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

fail() {
    echo "cannot fetch Debian 13's $missing: $1" >&2
    exit 3
}
command -v dpkg-deb >/dev/null || fail "there is no dpkg-deb"
# shellcheck source=stack/debian_mirror.sh
. "$(dirname "$0")/debian_mirror.sh"
# as root apt works as a user of its own, who has to be let in
chmod 755 "$work"
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/debs"
echo "deb [signed-by=$keyring] $mirror trixie main" >"$work/sources.list"
log="$work/log"

apt() {
    (cd "$work/debs" && apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache::Archives="$work/archives" -o Dir::Cache::PkgCache= \
        -o Dir::Cache::SrcPkgCache= -o Acquire::Languages=none -o Acquire::Retries=2 "$@") >>"$log" 2>&1
}

echo "Fetching Debian 13's $missing" >&2
# the names are package names: splitting at blanks is wanted
# shellcheck disable=SC2086
if ! apt update || ! apt download $missing; then
    tail -n 20 "$log" >&2
    fail "apt could not"
fi
for archive in "$work"/debs/*.deb; do
    dpkg-deb --extract "$archive" "$dir" || fail "$archive is broken"
done
mkdir -p "$dir/have"
for package in $missing; do
    touch "$dir/have/$package"
done
