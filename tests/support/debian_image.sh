#!/bin/sh
# Sourced, by what makes root folders of Debian as tar archives: DIR is the script's first argument, `dir` becomes where they are.
#
# `is_made NAME` is true where DIR/NAME.tar of this very recipe is there; `make_image NAME RELEASE PACKAGES OPTION...` makes
# it from apt's mirror, OPTION being mmdebstrap's. The script exits with 3 where that cannot be; standard error says why.
parts=$(dirname "$0")
recipe=$(cat "$0" "$parts/debian_image.sh" | sha256sum | cut -c -64)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)

fail() {
    echo "cannot make ${what:?}: $1" >&2
    exit 3
}

is_made() {
    [ "$(cat "$dir/$1.recipe" 2>/dev/null || true)" = "$recipe" ]
}

make_image() {
    name=$1 release=$2 packages=$3
    shift 3
    if [ -z "${work:-}" ]; then
        [ "$(id -u)" -eq 0 ] || fail "that takes root"
        command -v mmdebstrap >/dev/null || fail "there is no mmdebstrap"
        WORK_IN=$dir
        # shellcheck source=stack/debian_mirror.sh
        . "$parts/../../stack/debian_mirror.sh"
    fi
    echo "Making $what ($release), about half a minute" >&2
    mmdebstrap --mode=root --variant=minbase --keyring="$keyring" --include="$packages" --aptopt='Acquire::Retries "3"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$@" "$release" "$work/$name.tar" "$mirror" >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log" >&2; fail "mmdebstrap could not"; }
    mv "$work/$name.tar" "$dir/$name.tar"
    echo "$recipe" >"$dir/$name.recipe"
}
