"""A service whose life a case follows: that it is ready, the signals that it gets, and its end."""
import os
import select
import sys
import time
from pathlib import Path

from . import service_program
from .processes import DEADLINE, variables
from .service_program import CRASH


class Service:
    """The service as an executable at a path, and what it reports.

    It reports to a FIFO, because a terminal or the log of a process manager may be gone before it is.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fifo = self.path.with_name(self.path.name + ".fifo")
        os.mkfifo(fifo)
        # Opened for writing too, so that reading never meets its end.
        self.reports = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.unread = b""
        self.path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -IS '{service_program.__file__}' '{fifo}'\n")
        self.path.chmod(0o755)
        self.pid = None
        self.process = None

    def wait_for_line(self):
        """Waits for the next report."""
        until = time.monotonic() + DEADLINE
        while b"\n" not in self.unread:
            left = until - time.monotonic()
            assert left > 0 and select.select([self.reports], [], [], left)[0], f"{self.path.name} reports nothing"
            self.unread += os.read(self.reports, 4096)
        line, self.unread = self.unread.split(b"\n", 1)
        return line.decode()

    def wait_until_ready(self):
        """Waits until the service is started, once more if it was before."""
        word, pid = self.wait_for_line().split()
        assert word == "ready", word
        self.pid = int(pid)
        if self.process is not None:
            os.close(self.process)
        self.process = os.pidfd_open(self.pid)
        return self.pid

    def wait_until_stopped(self):
        """Waits until it has stopped gracefully, and returns the signals that it got before."""
        signals = []
        while (line := self.wait_for_line()) != "stopped":
            signals.append(line.removeprefix("signal "))
        self.wait_until_gone()
        return signals

    def wait_until_gone(self):
        assert select.select([self.process], [], [], DEADLINE)[0], f"{self.path.name} still runs"

    def crash(self):
        """Makes it end with CRASH_STATUS."""
        os.kill(self.pid, CRASH)
        assert self.wait_for_line() == f"signal {CRASH.name}"
        self.wait_until_gone()

    def variables(self):
        """Returns the environment with which it was started."""
        return variables(self.pid)

    def close(self):
        for descriptor in (self.reports, self.process):
            if descriptor is not None:
                os.close(descriptor)
