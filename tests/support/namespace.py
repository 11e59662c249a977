"""Run a command as process 1 of namespaces of its own, with a FUSE mount in them: python namespace.py FD DIR COMMAND...

FD is an open /dev/fuse, whose daemon is elsewhere. Says "process PID" on standard error and passes the exit code on.
"""

import ctypes
import os
import sys

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(result, f"mount {kind} on {target}")


def main() -> int:
    fd, directory, *command = int(sys.argv[1]), sys.argv[2], *sys.argv[3:]
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWPID), "unshare")
    _mount("none", "/", "none", MS_REC | MS_PRIVATE, "")
    pid = os.fork()
    if pid == 0:
        _mount("proc", "/proc", "proc", 0, "")
        _mount(
            "hwtest", directory, "fuse", 0, f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,subtype=hwtest"
        )
        os.close(fd)
        os.execv(command[0], command)
    os.close(fd)
    print(f"process {pid}", file=sys.stderr, flush=True)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
