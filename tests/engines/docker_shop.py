"""What the cases with Docker share: the engine, the fake Phase, and images to start."""
from pathlib import Path

from . import programs, stand_ins
from .container import Container
from .processes import only_child
from .stand_ins import USER

# The variables that choose each mode.
MODES = {"exec": [], "supervised": ["--env", "PHASE_SUPERVISE=1"], "watching": ["--env", "PHASE_WATCH=60"]}
EXEC_AND_SUPERVISED = ["exec", "supervised"]


class Shop:
    """An engine, a fake Phase with secrets, and a directory with its token that containers mount."""

    # Nothing prints these values. They are looked for in everything that the engine keeps.
    secret = "canary-of-a-secret-0a1b2c3d"
    npm_token = "canary-of-a-build-4e5f6a7b"

    def __init__(self, engine, phase, parent):
        self.engine, self.phase = engine, phase
        phase.tell("clear", "Production")
        phase.tell("set", "SECRET", self.secret, "Production")
        phase.tell("set", "NPM_TOKEN", self.npm_token, "Production")
        self.directory = parent / "secrets"
        self.put_token(self.directory / "token", phase.token)

    @staticmethod
    def put_token(path, token, user=USER):
        """Writes a token to a file that only this user may read."""
        programs.run("install", "-D", "-m", "400", "-o", user, "/dev/stdin", path, input=f"{token}\n")

    def network(self):
        """Returns the options of `docker run` with which a container reaches the fake Phase."""
        variables = ["--env", f"PHASE_HOST={self.phase.host}", "--env", "PHASE_CA_FILE=/ca.pem"]
        return ["--network", "host", *variables, "--volume", f"{self.phase.ca_file}:/ca.pem:ro"]

    def reach(self, directory=None):
        """Returns the same with the token, as a file in a directory that is mounted."""
        return [*self.network(), "--volume", f"{directory or self.directory}:/run/phase:ro", "--env", "PHASE_SERVICE_TOKEN_FILE=/run/phase/token"]

    def make_tools(self):
        """Makes the image `tools`, whose entrypoint is phase-run, with the programs that the cases run."""
        files = {"/phase-run": programs.phase_run(), "/inspector": programs.inspector(), "/server": programs.server()}
        files["/tini"] = Path(programs.need("tini-static", "tini"))
        files |= stand_ins.shell("cat", "env", "ls", "setsid", "true")
        changes = [f"ENV PHASE_APP={self.phase.app_id} PHASE_ENV=Production PATH=/bin", f"USER {USER}", 'ENTRYPOINT ["/phase-run", "--"]']
        self.engine.image_from("tools", files, *changes)

    def start(self, mode, command, *options, kind=Container, image="tools", directory=None):
        """Starts a command with phase-run, with these further options of `docker run`."""
        return kind(self.engine, *self.reach(directory), *MODES[mode], *options, image, *command)

    def run(self, mode, command, *options):
        """Runs a command to its end, and returns its lines and the status of `docker run`."""
        with self.start(mode, command, *options) as container:
            return container.wait_for_end()

    def check_status(self, mode, command, status):
        """Checks that a command prints nothing, and ends with a status."""
        with self.start(mode, command) as container:
            container.check_end([], status)

    @staticmethod
    def command_of(container, mode):
        """Returns the PID of the command on this machine."""
        return container.pid() if mode == "exec" else only_child(container.pid())
