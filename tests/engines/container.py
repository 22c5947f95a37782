"""A container, and what it prints."""
import itertools
import queue
import subprocess
import threading

from .processes import DEADLINE
from .terminal import Terminal

NUMBERS = itertools.count(1)


class Container:
    """A `docker run` in the foreground. Use it in a `with`: at its end the container is removed.

    `words` are those after `docker run`. `token` becomes PHASE_SERVICE_TOKEN of the client. The output of the
    container is read line by line as it comes; Docker does not keep the order of standard output and standard
    error.
    """

    def __init__(self, engine, *words, token=None, stdin=subprocess.DEVNULL):
        self.engine = engine
        self.name = f"case-{next(NUMBERS)}"
        command, environment = engine.command("run", "--name", self.name, *words)
        if token:
            environment = {**environment, "PHASE_SERVICE_TOKEN": token}
        self.output, self.errors = queue.Queue(), queue.Queue()
        self.start(command, environment, stdin)

    def start(self, command, environment, stdin):
        self.client = subprocess.Popen(command, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for stream, lines in ((self.client.stdout, self.output), (self.client.stderr, self.errors)):
            threading.Thread(target=self.read, args=(stream, lines), daemon=True).start()

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        command, environment = self.engine.command("rm", "--force", "--volumes", self.name)
        # It fails if the container was never created.
        subprocess.run(command, env=environment, capture_output=True)
        self.client.wait(timeout=DEADLINE)

    def wait_for_line(self):
        """Waits for the next line of standard output, and returns it; after the last one, returns nothing."""
        return self.wait_for_next(self.output)

    def wait_for_error(self):
        """Waits for the next line of standard error, and returns it; after the last one, returns nothing."""
        return self.wait_for_next(self.errors)

    @staticmethod
    def wait_for_next(lines):
        line = lines.get(timeout=DEADLINE)
        if line is None:
            # The end stays the end.
            lines.put(None)
        return line

    def wait_for_rest(self):
        """Waits for the end of the container, and returns the lines that are left: first those of standard output."""
        return [*iter(self.wait_for_line, None), *iter(self.wait_for_error, None)]

    def remove_and_read(self):
        """Removes the container, and returns what nobody has read, for a message."""
        self.remove()
        return self.wait_for_rest()

    def wait_until_ready(self):
        """Waits until the command is ready, and returns its PID as the command sees it."""
        line = self.wait_for_line()
        assert line and line.startswith("ready "), [line, *self.remove_and_read()]
        return int(line.removeprefix("ready "))

    def signal(self, name):
        self.engine.docker("kill", "--signal", name, self.name)

    def stop(self, grace=60):
        """Stops the container. A status of 137 says that it had to be killed after the grace."""
        self.engine.docker("stop", "--time", grace, self.name)

    def wait_for_end(self):
        """Waits for the end of `docker run`, and returns the lines that are left, and the status."""
        return self.wait_for_rest(), self.client.wait(timeout=DEADLINE)

    def check_end(self, lines, status):
        """Checks the lines that are left, and the status of `docker run`."""
        found = self.wait_for_end()
        assert found == (lines, status), found

    def check_error(self, text):
        """Checks that the next line of standard error contains a text."""
        line = self.wait_for_error()
        assert line and text in line, [line, *self.remove_and_read()]

    def pid(self):
        """Returns the PID of the container's first process on this machine."""
        return int(self.inspect("{{.State.Pid}}"))

    def logs(self):
        """Returns the lines that Docker has kept."""
        command, environment = self.engine.command("logs", self.name)
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        return done.stdout.splitlines()

    def inspect(self, template):
        return self.engine.docker("inspect", "--format", template, self.name).strip()


class TerminalContainer(Container):
    """A `docker run -it` on a terminal, whose keys the caller presses."""

    def __init__(self, engine, *words):
        super().__init__(engine, "--interactive", "--tty", *words)

    def start(self, command, environment, _):
        self.terminal = Terminal(command, env=environment)
        self.client = self.terminal.process

    def __exit__(self, *_):
        super().__exit__()
        self.terminal.hang_up()
