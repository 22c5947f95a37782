"""What the kernel says about processes of this machine, those in containers included."""
import time
from pathlib import Path

# Far longer than anything takes, also on a machine with much load.
DEADLINE = 60


def eventually(what, look):
    """Calls a function until it returns something true, and returns that."""
    until = time.monotonic() + DEADLINE
    while not (found := look()):
        assert time.monotonic() < until, f"not after {DEADLINE} s: {what}"
        time.sleep(0.02)
    return found


def variables(pid):
    """Returns the environment of a process, as a map from names to values."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def arguments(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def fields(pid):
    """Returns the fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def parent(pid):
    return int(fields(pid)["PPid"])


def children(pid):
    """Returns the children of a process with their states, such as `S` or, for a zombie, `Z`."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid:
            found[int(path.parent.name)] = state
    return found


def only_child(pid):
    """Waits until a process has exactly one child, and returns its PID."""
    return eventually(f"{pid} has one child", lambda: len(children(pid)) == 1 and next(iter(children(pid)), None))
