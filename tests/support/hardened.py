"""Run what `hostwatch serve` becomes, as a hardened unit would: MODULE confined|free LISTEN [NAME=VALUE...].

As root, it becomes nobody who can gain nothing (NoNewPrivileges); `confined` sees every file system but /dev, /proc and
/sys read-only (ProtectSystem=strict), in a mount namespace of its own.
"""

import ctypes
import os
import pkgutil
import sys
from importlib import import_module

import exporter

NOBODY = 65534
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 0x4000, 1 << 18
PR_SET_NO_NEW_PRIVS = 38
WRITABLE = ("/dev", "/proc", "/sys")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    result = _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), None)
    _check(result, f"mount on {target}")


def _mount_points() -> list[str]:
    with open("/proc/self/mountinfo") as table:
        return [line.split()[4].encode().decode("unicode_escape") for line in table]


def confine() -> None:
    """Take the ways to write from this process."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _mount("none", "/", "none", MS_REC | MS_PRIVATE)
    for point in _mount_points():
        if not point.startswith(WRITABLE):
            try:
                _mount("none", point, "none", MS_REMOUNT | MS_BIND | MS_RDONLY)
            except OSError as err:  # hidden beneath another mount
                print(err, file=sys.stderr)


def give_up() -> None:
    """Become nobody."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def main() -> None:
    mode, listen, *arguments = sys.argv[1:]
    # nobody may be kept from this tree, which an installed package never is: what is needed is imported before
    for module in pkgutil.walk_packages(exporter.__path__, "exporter."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    if mode == "confined":
        confine()
    give_up()
    # what `hostwatch serve` becomes: nobody could not start the interpreter anew where it is kept from that, too
    import_module("exporter.start").main([f"listen={listen}", *arguments])


if __name__ == "__main__":
    main()
