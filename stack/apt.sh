#!/bin/sh
# Install distribution packages that are missing, through apt, as root or by a sudo that asks for no password.
#
#   apt.sh PACKAGE...
#
# Exit code 0: all are there. 3: they cannot be installed here; standard error says which command to type.
# Their services are neither started nor enabled: the ports stay free, and nothing runs that nobody asked for. No
# recommended packages: prometheus recommends node_exporter.
set -eu

policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f "$log"' EXIT

missing=""
for package in "$@"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing, and there is no apt-get to install it with: $missing" >&2
    exit 3
fi

if [ "$(id -u)" -eq 0 ]; then
    root() { "$@"; }
elif sudo -n true 2>/dev/null; then
    root() { sudo -n "$@"; }
else
    echo "missing: $missing. Type: sudo apt-get install --no-install-recommends $missing" >&2
    exit 3
fi

# invoke-rc.d and deb-systemd-invoke ask this file; 101 means: do not
saved="$policy.before-hostwatch"
restore() {
    root rm -f "$policy"
    if [ -e "$saved" ]; then
        root mv "$saved" "$policy"
    fi
    rm -f "$log"
}
# one that is saved already was left by a run that was killed: what stands in its place is ours
if [ -e "$policy" ] && [ ! -e "$saved" ]; then
    root mv "$policy" "$saved"
fi
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
# shellcheck disable=SC2016 # $0 is for the shell that root starts
root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$0" && chmod 755 "$0"' "$policy"

apt() {
    # the names are package names: splitting at blanks is wanted
    # shellcheck disable=SC2086
    root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" >>"$log" 2>&1
}

echo "Installing $missing (apt, services stay off)" >&2
# lists that are there are tried first: bringing them up to date takes longer than all the rest
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $missing; then
    apt update || true
    if ! apt install -y --no-install-recommends $missing; then
        tail -n 20 "$log" >&2
        echo "apt could not install: $missing. Type: sudo apt-get update && sudo apt-get install --no-install-recommends $missing" >&2
        exit 3
    fi
fi

# Debian enables what it installs; only what was installed just now is touched
for package in $missing; do
    units=$(dpkg -L "$package" | sed -n 's#^\(/usr\)\{0,1\}/lib/systemd/system/\([^/@]*\.\(service\|timer\|socket\)\)$#\2#p')
    for unit in $units; do
        if command -v systemctl >/dev/null; then
            root systemctl disable "$unit" >>"$log" 2>&1 || true
        fi
        if command -v deb-systemd-helper >/dev/null; then
            root deb-systemd-helper disable "$unit" >>"$log" 2>&1 || true
        fi
    done
    for script in $(dpkg -L "$package" | sed -n 's,^/etc/init\.d/\([^/]*\)$,\1,p'); do
        if command -v update-rc.d >/dev/null; then
            root update-rc.d "$script" disable >>"$log" 2>&1 || true
        fi
    done
done
