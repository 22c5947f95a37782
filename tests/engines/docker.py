"""Docker: the images of `examples/`, in exec mode and supervised."""
from . import programs
from .docker_engine import DockerEngine
from .fake_phase import FakePhase


def run(report):
    with DockerEngine() as engine, FakePhase() as phase:
        report.engine("Docker", engine.version)
        phase.tell("clear", "Production")
        phase.tell("set", "SECRET", "canary of the root", "Production")
        statuses(report, engine, phase)


def statuses(report, engine, phase):
    engine.image_from("bare", {"/phase-run": programs.phase_run(), "/inspector": programs.inspector()})
    reach = ["--network", "host", "--volume", f"{phase.ca_file}:/ca.pem:ro"]
    variables = {"PHASE_HOST": phase.host, "PHASE_CA_FILE": "/ca.pem", "PHASE_SERVICE_TOKEN": phase.token, "PHASE_APP": phase.app_id, "PHASE_ENV": "Production"}
    for name, value in variables.items():
        reach += ["--env", f"{name}={value}"]
    with report.case("the command gets the secret"):
        assert engine.docker("run", "--rm", *reach, "bare", "/phase-run", "--", "/inspector", "cat-env", "SECRET") == "canary of the root"
