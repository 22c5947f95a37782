"""Docker: the images of `examples/`, in exec mode and supervised."""
import tempfile
from pathlib import Path

from . import docker_examples, programs
from .docker_engine import DockerEngine
from .fake_phase import FakePhase


class Shop:
    """An engine, a fake Phase with secrets, and a directory with its token that containers mount."""

    # Nothing prints these values. At the end they are looked for in everything that the engine has kept.
    secret = "canary-of-a-secret-0a1b2c3d"
    npm_token = "canary-of-a-build-4e5f6a7b"

    def __init__(self, engine, phase, place):
        self.engine, self.phase = engine, phase
        phase.tell("clear", "Production")
        phase.tell("set", "SECRET", self.secret, "Production")
        phase.tell("set", "NPM_TOKEN", self.npm_token, "Production")
        self.directory = place / "secrets"
        # The line of docs/deployment.md.
        programs.run("install", "-D", "-m", "400", "-o", "65532", "/dev/stdin", self.directory / "token", input=f"{phase.token}\n")

    def network(self):
        """Returns the options of `docker run` with which a container reaches the fake Phase."""
        return ["--network", "host", "--env", f"PHASE_HOST={self.phase.host}", "--volume", f"{self.phase.ca_file}:/ca.pem:ro", "--env", "PHASE_CA_FILE=/ca.pem"]

    def reach(self):
        """Returns the same with the token, as a file."""
        return [*self.network(), "--volume", f"{self.directory}:/run/phase:ro", "--env", "PHASE_SERVICE_TOKEN_FILE=/run/phase/token"]


def run(report):
    with DockerEngine() as engine, FakePhase() as phase, tempfile.TemporaryDirectory() as place:
        report.engine("Docker", engine.version)
        shop = Shop(engine, phase, Path(place))
        docker_examples.run(report, shop)
