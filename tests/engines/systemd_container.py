"""systemd as PID 1 of a container, with the unit of `examples/`."""
import json
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import debian
from .processes import DEADLINE, eventually

# What systemd needs in a container. `--privileged` would also need what the machine itself may lack.
OPTIONS = [
    "--network=host", "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup", "--cap-add=SYS_ADMIN",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
    "--tmpfs=/run", "--tmpfs=/tmp", "--env=container=docker",
]
# systemd passes credentials through a mount that must reach the service, and only makes the root shared
# itself if it is not in a container.
BOOT = "mount --make-rshared / && exec /lib/systemd/systemd"


class Systemd:
    """A booted container. Use it in a `with`.

    Attributes: `version` of systemd, `root` of the container's files as seen from here, and `entries` of the journal.
    """

    def __init__(self, engine, suite):
        self.engine, self.suite = engine, suite

    def __enter__(self):
        image = f"systemd-{self.suite}"
        with debian.root(self.suite, "systemd", "dbus", "procps", "python3").open("rb") as archive:
            self.engine.docker("import", "-", image, stdin=archive)
        self.container = self.engine.docker("run", "--detach", *OPTIONS, image, "sh", "-c", BOOT).strip()
        pid = self.engine.docker("inspect", "--format", "{{.State.Pid}}", self.container).strip()
        self.root = Path(f"/proc/{pid}/root")
        # Before it listens, systemctl fails. A unit of Debian's that cannot run in a container does no harm.
        states = ["running\n", "degraded\n"]
        try:
            eventually("systemd has started", lambda: self.try_inside("systemctl", "is-system-running", "--wait")[1] in states)
        except AssertionError as error:
            raise RuntimeError(f"{error}\n{self.engine.docker('logs', self.container)}") from error
        self.version = self.inside("systemctl", "--version").split()[1]
        self.follow_journal()
        return self

    def __exit__(self, *_):
        self.journal.kill()
        self.journal.wait()
        self.engine.docker("rm", "--force", "--volumes", self.container)

    def inside(self, *words):
        """Runs a command in the container. It must succeed; returns what it prints."""
        return self.engine.docker("exec", self.container, *words)

    def try_inside(self, *words):
        """Runs a command in the container, and returns its exit status and what it prints."""
        words, environment = self.engine.command("exec", self.container, *words)
        done = subprocess.run(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def copy(self, source, path, mode=0o755):
        """Copies a file to a path of the container."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(source).read_bytes())
        target.chmod(mode)

    def drop_in(self, unit, *lines):
        """Replaces the drop-in file `case.conf` of a unit, and reloads systemd."""
        directory = self.root / f"etc/systemd/system/{unit}.d"
        directory.mkdir(exist_ok=True)
        (directory / "case.conf").write_text("\n".join(lines) + "\n")
        self.inside("systemctl", "daemon-reload")

    def show(self, unit, name):
        """Returns a property of a unit."""
        return self.inside("systemctl", "show", "--property", name, "--value", unit).strip()

    def ask(self, path):
        """Connects to a socket in the container, and returns the JSON that it sends."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(self.root / path.lstrip("/")))
            return json.loads(client.makefile().read())

    def follow_journal(self):
        """Reads the journal from the start of the container into `entries`."""
        words, environment = self.engine.command("exec", self.container, "journalctl", "--follow", "--lines=all", "--output=json")
        self.journal = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        self.entries, self.arrived = [], threading.Condition()

        def read():
            for line in self.journal.stdout:
                with self.arrived:
                    self.entries.append(json.loads(line))
                    self.arrived.notify_all()

        threading.Thread(target=read, daemon=True).start()

    def mark(self):
        """Returns the position in the journal after which `wait_for_entry` looks, as the number of entries before it."""
        # What was logged before is read once this entry is.
        word = f"mark {time.monotonic_ns()}"
        self.inside("systemd-cat", "echo", word)
        return self.wait_for_entry(0, lambda entry: entry.get("MESSAGE") == word)[0]

    def wait_for_entry(self, mark, fits):
        """Waits for an entry after the mark that fits. Returns the position after it, and the entry."""
        until = time.monotonic() + DEADLINE
        with self.arrived:
            while True:
                for position, entry in enumerate(self.entries[mark:], mark + 1):
                    if fits(entry):
                        return position, entry
                if not self.arrived.wait(until - time.monotonic()):
                    raise AssertionError("not in the journal:\n" + "\n".join(str(entry.get("MESSAGE")) for entry in self.entries[mark:]))

    def wait_for_event(self, mark, event):
        """Waits for an event of shopd, and returns its facts."""
        message = self.wait_for_entry(mark, lambda entry: f'"event": "{event}"' in str(entry.get("MESSAGE")))[1]["MESSAGE"]
        return json.loads(message)

    def wait_for_message(self, mark, text):
        """Waits for a message that contains the text, and returns it."""
        return self.wait_for_entry(mark, lambda entry: text in str(entry.get("MESSAGE")))[1]["MESSAGE"]

    def messages(self, mark):
        """Returns the messages after the mark."""
        with self.arrived:
            return [str(entry.get("MESSAGE")) for entry in self.entries[mark:]]
