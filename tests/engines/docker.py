"""Docker: the images of `examples/`, and phase-run as PID 1 of containers, in exec mode and supervised."""
import tempfile
from pathlib import Path

from . import docker_examples, docker_limits, docker_process, docker_service, docker_terminal
from .docker_engine import DockerEngine
from .docker_shop import Shop
from .fake_phase import FakePhase


def run(report):
    with DockerEngine() as engine, FakePhase() as phase, tempfile.TemporaryDirectory() as directory:
        report.engine("Docker", engine.version)
        shop = Shop(engine, phase, Path(directory))
        shop.make_tools()
        docker_examples.run(report, shop)
        docker_process.run(report, shop)
        docker_terminal.run(report, shop)
        docker_service.run(report, shop)
        docker_limits.run(report, shop)
