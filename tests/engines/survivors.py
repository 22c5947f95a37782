"""The processes that a case leaves behind."""
import contextlib
import ctypes
import os
import select
import signal
import time

from .processes import DEADLINE, arguments, children

PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def nothing_left_behind():
    """Checks that every process that the block starts has ended soon after the block.

    This process adopts those whose parent has ended, so none escapes. The survivors are killed.
    """
    adopt_orphans(True)
    before = set(children(os.getpid()))
    try:
        yield
        survivors = wait_for_end(before)
        assert not survivors, f"left behind: {survivors}"
    finally:
        kill_all(before)
        adopt_orphans(False)


def adopt_orphans(whether):
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0) == 0


def wait_for_end(before):
    """Reaps children until only those of `before` are left, and returns what still runs at the deadline."""
    until = time.monotonic() + DEADLINE
    while left := set(children(os.getpid())) - before:
        pid = min(left)
        process = os.pidfd_open(pid)
        ended = select.select([process], [], [], max(0, until - time.monotonic()))[0]
        os.close(process)
        if not ended:
            return {pid: arguments(pid) for pid in left}
        reap(pid)
    return {}


def kill_all(before):
    """Kills and reaps children until only those of `before` are left."""
    while left := set(children(os.getpid())) - before:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            reap(pid)


def reap(pid):
    # Popen may have done so.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
