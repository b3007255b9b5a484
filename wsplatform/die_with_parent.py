"""`python -m wsplatform.die_with_parent PARENT SIGNAL PROGRAM ARGUMENT…`: a program that ends with its parent.

Linux sends the signal to the child when the *thread* that made it ends, so the child must be started from a thread that
lives as long as the parent: the main one. The request survives exec, but for set-user-id programs. It is made here,
in a process of its own, because code between fork and exec (preexec_fn) may deadlock when other threads exist.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def command(number: signal.Signals, program: Sequence[str]) -> list[str]:
    """The command line that starts `program` (path and arguments) so that it gets the signal when this process ends."""
    return [sys.executable, "-m", __name__, str(os.getpid()), str(int(number)), *program]


def die_with_parent(parent: int, number: int) -> None:
    """Have the kernel send the signal `number` to this process when its parent, of that id, ends.

    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if os.getppid() != parent:  # it ended before the kernel was asked
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - no shell is what is wanted
