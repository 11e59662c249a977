#!/bin/sh
# Make the root folder of a stand-in for the image python:3.13-slim: Debian 13 with its Python and pip, as a tar archive.
#
#   python_image.sh DIR
#
# Exit code 0: DIR/python.tar of this very recipe is there. 3: it cannot be made here; standard error says why. The packages
# come from the mirror that apt is configured with; it takes about 25 s and 150 MB, once.
set -eu

what="an image of Python 3.13"
# shellcheck source=tests/support/debian_image.sh
. "$(dirname "$0")/debian_image.sh"
! is_made python || exit 0

# the names and places are those of the real image; pip there installs without a word about the distribution
# shellcheck disable=SC2016 # $1 is the hook's
make_image python trixie python3,python3-pip,python3-venv,ca-certificates \
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook='ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"'
