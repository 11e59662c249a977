#!/bin/sh
# Make the root folder of a stand-in for the image python:3.13-slim: Debian 13 with its Python and pip, as a tar archive.
#
#   python_image.sh DIR
#
# Exit code 0: DIR/python.tar of this very recipe is there. 3: it cannot be made here; standard error says why. The packages
# come from the mirror that apt is configured with; it takes about 25 s and 150 MB, once.
set -eu

recipe=$(sha256sum <"$0" | cut -c -64)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
[ "$(cat "$dir/python.recipe" 2>/dev/null || true)" != "$recipe" ] || exit 0

fail() {
    echo "cannot make an image of Python: $1" >&2
    exit 3
}

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

echo "Making an image of Python 3.13, about half a minute" >&2
# the names and places are those of the real image; pip there installs without a word about the distribution
# shellcheck disable=SC2016 # $1 is the hook's
mmdebstrap --mode=root --variant=minbase --keyring="$keyring" --include=python3,python3-pip,python3-venv,ca-certificates \
    --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook='ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"' \
    trixie "$work/python.tar" "$mirror" >"$work/log" 2>&1 ||
    { tail -n 20 "$work/log" >&2; fail "mmdebstrap could not"; }
mv "$work/python.tar" "$dir/python.tar"
echo "$recipe" >"$dir/python.recipe"
