#!/bin/sh
# Sourced, by what fetches from Debian: sets `keyring` and `mirror`, the one that apt is configured with, and `work`, a
# folder that goes when the script ends. Takes fail() of who sources it, and WORK_IN, where `work` is made.
# shellcheck disable=SC2034 # they are for who sources it
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
command -v apt-get >/dev/null || fail "there is no apt-get"
[ -r "$keyring" ] || fail "there is no $keyring"
# shellcheck disable=SC2016 # $(REPO_URI) is apt's
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$mirror" ] || fail "apt has no mirror"

work=$(mktemp -d "${WORK_IN:-${TMPDIR:-/tmp}}/making-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
