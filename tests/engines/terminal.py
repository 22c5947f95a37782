"""A terminal: a pty whose keys a case presses and whose screen it reads."""
import fcntl
import os
import pty
import select
import subprocess
import termios
import time

from .processes import DEADLINE

CTRL_C, CTRL_Z = "\x03", "\x1a"


class Terminal:
    """Runs a command as the leader of a session on a pty. Use it in a `with`."""

    def __init__(self, command, **more):
        self.master, slave = pty.openpty()
        # The screen shows what programs write: keys are not echoed, and line ends stay as they are.
        settings = termios.tcgetattr(slave)
        settings[1] &= ~termios.OPOST
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        self.screen = ""
        self.read_up_to = 0
        self.command = [str(word) for word in command]

        def lead_session():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(self.command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lead_session, **more)
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def press(self, keys):
        os.write(self.master, keys.encode())

    def until(self, text):
        """Waits for the text, and returns what the screen shows up to its end since the last call."""
        until = time.monotonic() + DEADLINE
        while (found := self.screen.find(text, self.read_up_to)) < 0:
            shown = self.read([], until - time.monotonic())
            assert shown, f"no {text!r} on the screen of {self.command}:\n{self.screen}"
        shown = self.screen[self.read_up_to:found + len(text)]
        self.read_up_to = found + len(text)
        return shown

    def wait(self):
        """Waits for the end of the command, and returns its status."""
        process = os.pidfd_open(self.process.pid)
        until = time.monotonic() + DEADLINE
        while self.read([process], until - time.monotonic()):
            pass
        os.close(process)
        return self.process.wait(timeout=max(0, until - time.monotonic()))

    def read(self, others, left):
        """Adds to the screen. Returns False at its end, if nothing comes in time, or if only others are readable."""
        readable = select.select([self.master, *others], [], [], max(0, left))[0]
        if self.master not in readable:
            return False
        try:
            some = os.read(self.master, 4096)
        except OSError:
            # EIO: nobody has the other side open any more.
            return False
        self.screen += some.decode(errors="replace")
        return bool(some)

    def hang_up(self):
        """Closes the terminal, as closing its window does."""
        if self.master is not None:
            os.close(self.master)
            self.master = None
