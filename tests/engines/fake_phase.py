"""The fake Phase server, as a process of its own."""
import subprocess
import tempfile
from pathlib import Path

from . import programs


class FakePhase:
    """A server on loopback, with a directory for its CA certificate and its token. Use it in a `with`.

    `inside` is a command that starts the server, such as nsenter(1). `printed` maps the names that the server
    prints at its start, such as PHASE_HOST, to their values.
    """

    def __init__(self, *arguments, inside=()):
        self.arguments, self.inside = arguments, inside

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="fake-phase-")
        directory = Path(self.directory.name)
        self.ca_file, self.token_file = directory / "ca.pem", directory / "token"
        command = [*self.inside, programs.fake_phase(), "--ca-out", self.ca_file, "--token-out", self.token_file, *self.arguments]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.printed = dict(line.rstrip("\n").split("=", 1) for line in iter(self.server.stdout.readline, "ready\n") if line)
        self.ca_file.chmod(0o444)
        self.host, self.token = self.printed["PHASE_HOST"], self.printed["PHASE_SERVICE_TOKEN"]
        self.app_id = self.printed["APP_ID"]
        return self

    def __exit__(self, *_):
        # The server exits when its standard input is closed.
        self.server.stdin.close()
        self.server.wait(timeout=20)
        self.directory.cleanup()

    def tell(self, *words):
        """Passes a command to the server, such as `set KEY VALUE`, and returns its answer as lines."""
        self.server.stdin.write("\t".join(words) + "\n")
        self.server.stdin.flush()
        lines = []
        for line in self.server.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] in (".", "!"):
                break
        assert lines and lines[-1] == ".", (words, lines)
        return lines[:-1]

    def requests(self):
        """Returns how many requests the server has had."""
        return int(self.tell("requests")[0])

    def variables(self):
        """Returns the variables that lead phase-run to this server, with the token as a file."""
        return {"PHASE_HOST": self.host, "PHASE_CA_FILE": str(self.ca_file), "PHASE_SERVICE_TOKEN_FILE": str(self.token_file)}
