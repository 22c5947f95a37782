"""A container, and what it prints."""
import itertools
import queue
import subprocess
import threading

from .processes import DEADLINE

NUMBERS = itertools.count(1)


class Container:
    """A `docker run` in the foreground. Use it in a `with`: at its end the container is removed.

    The words are those after `docker run`. The output of the container, of standard output and of
    standard error, is read line by line as it comes.
    """

    def __init__(self, engine, *words, token=None):
        self.engine = engine
        self.name = f"case-{next(NUMBERS)}"
        command, environment = engine.command("run", "--name", self.name, *words)
        if token:
            environment = {**environment, "PHASE_SERVICE_TOKEN": token}
        self.client = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.client.stdout:
            self.output.put(line.rstrip("\n"))
        self.output.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        command, environment = self.engine.command("rm", "--force", "--volumes", self.name)
        # It fails if the container was never created, or is gone.
        subprocess.run(command, env=environment, capture_output=True)
        self.client.wait(timeout=DEADLINE)

    def line(self):
        """Waits for the next line of output, and returns it; after the last one, returns nothing."""
        return self.output.get(timeout=DEADLINE)

    def rest(self):
        """Returns all lines that are left, up to the end of the container."""
        return list(iter(self.line, None))

    def ready(self):
        """Waits until the command is ready, and returns its PID as the command sees it."""
        line = self.line()
        assert line and line.startswith("ready "), [line, *self.rest()]
        return int(line.removeprefix("ready "))

    def signal(self, name):
        self.engine.docker("kill", "--signal", name, self.name)

    def stop(self, grace=60):
        """Stops the container. A status of 137 says that it had to be killed after the grace."""
        self.engine.docker("stop", "--time", grace, self.name)

    def status(self):
        """Waits for the end of `docker run`, and returns its status."""
        return self.client.wait(timeout=DEADLINE)

    def pid(self):
        """Returns the PID of the container's first process on this machine."""
        return int(self.inspect("{{.State.Pid}}"))

    def inspect(self, template):
        return self.engine.docker("inspect", "--format", template, self.name).strip()
