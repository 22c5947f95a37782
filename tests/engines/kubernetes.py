"""Kubernetes: the manifests of `examples/` against its schemas, and their Pods run by Docker.

No cluster is needed: the schemas come with kubernetes-validate, and a `Pod` gives Docker what the kubelet
would.
"""
import json
import tempfile
from pathlib import Path

from . import programs, stand_ins
from .docker_engine import DockerEngine
from .fake_phase import FakePhase
from .pod import Pod
from .processes import arguments, fields, only_child, variables

# Its version is that of the Kubernetes whose schemas it has.
VALIDATE = "1.37.0"
MANIFESTS = ["kubernetes.yaml", "kubernetes-init.yaml"]
SECRET = "canary-of-a-secret-0a1b2c3d"
# What the entrypoint of Grafana's image does in the end.
RUN_SH = '#!/bin/sh -eu\nexec grafana server "$@"\n'


def run(report):
    validate = programs.python_package("kubernetes-validate", VALIDATE)
    report.engine("Kubernetes' schemas", VALIDATE)
    schemas(report, validate)
    with DockerEngine() as engine, FakePhase() as phase:
        report.engine("Pods in Docker", engine.version)
        phase.tell("clear", "Production")
        phase.tell("set", "SECRET", SECRET, "Production")
        make_images(engine)
        web, dashboard = [read(validate, name) for name in MANIFESTS]
        deployment(report, engine, phase, web)
        foreign_image(report, engine, phase, dashboard)


def schemas(report, validate):
    for name in MANIFESTS:
        with report.case(f"{name} is valid, and has no field that Kubernetes does not know"):
            programs.run(validate / "kubernetes-validate", "--strict", stand_ins.EXAMPLES / name)
    with report.case("a misspelt field is found"), tempfile.TemporaryDirectory() as directory:
        wrong = Path(directory) / "wrong.yaml"
        wrong.write_text((stand_ins.EXAMPLES / MANIFESTS[0]).read_text().replace("fsGroup", "fsgroup"))
        try:
            programs.run(validate / "kubernetes-validate", "--strict", wrong)
        except AssertionError as error:
            assert "fsgroup" in str(error), error
        else:
            raise AssertionError("it was not found")
    with report.case("the startup probe outlasts --max-wait, 30 seconds by default"):
        probe = read(validate, MANIFESTS[0])["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] > 30


def read(validate, name):
    """Returns the data of a manifest. The validator brings a parser of YAML."""
    convert = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)"
    return json.loads(programs.run(validate / "python", "-c", convert, stand_ins.EXAMPLES / name))


def make_images(engine):
    engine.image_from("shop", {"/phase-run": programs.phase_run(), "/shop": programs.server()})
    files, changes = stand_ins.images()["busybox"]
    engine.image_from("busybox", files, *changes)
    # The lines of docs/install.md.
    words = ["build", "--tag", "registry.example/phase-run:0.1.0", "--file", "-", programs.phase_run().parent]
    engine.docker(*words, input="FROM busybox\nCOPY phase-run /phase-run\n")
    grafana = {**stand_ins.shell("touch"), "/bin/grafana": programs.server(), "/run.sh": RUN_SH}
    engine.image_from("grafana/grafana:12.2.0", grafana, "USER 472", "ENV PATH=/bin", 'ENTRYPOINT ["/run.sh"]')


def check_server(pod, pid, command, secret=SECRET):
    """Checks that a process is the server, with the Pod's user and restrictions, and has secrets but no token."""
    assert arguments(pid) == command, arguments(pid)
    status, user = fields(pid), str(pod.spec["securityContext"]["runAsUser"])
    assert status["Uid"].split() == status["Gid"].split() == [user] * 4, status
    assert (status["CapEff"], status["NoNewPrivs"]) == ("0" * 16, "1"), status
    given = variables(pid)
    assert given["SECRET"] == secret
    assert not [name for name in given if name.startswith("PHASE_SERVICE_TOKEN")], given


def starts_and_stops(pod, command, extra):
    """Starts the Pod's container, checks the server, and stops it as the kubelet does, with TERM."""
    with pod.container(extra) as container:
        inner = container.wait_until_ready()
        supervised = bool(extra)
        assert (inner > 1) == supervised
        check_server(pod, only_child(container.pid()) if supervised else container.pid(), command)
        container.stop()
        assert container.wait_for_end() == (["signal 15"], 0)


def deployment(report, engine, phase, manifest):
    for mode, extra in programs.MODES.items():
        with report.case(f"{MANIFESTS[0]}: a read-only container has its secrets and stops gracefully, {mode}"):
            with Pod(engine, phase, manifest) as pod:
                before = phase.requests()
                starts_and_stops(pod, ["/shop"], extra)
                # With an app ID and an exact name, one request is enough.
                assert phase.requests() == before + 1
    with report.case(f"{MANIFESTS[0]}: a container that restarts during an outage starts from the snapshot"):
        with Pod(engine, phase, manifest) as pod:
            restarts_from_snapshot(pod, phase)
    with report.case(f"{MANIFESTS[0]}: --watch uses a token that the kubelet has replaced"):
        with Pod(engine, phase, manifest) as pod:
            uses_replaced_token(pod, phase)


def restarts_from_snapshot(pod, phase):
    starts_and_stops(pod, ["/shop"], {})
    phase.tell("down")
    try:
        with pod.container({"PHASE_MAX_WAIT": "0"}) as container:
            assert "using the snapshot /var/cache/phase/secrets" in container.wait_for_error()
            assert container.wait_until_ready() == 1
            check_server(pod, container.pid(), ["/shop"])
    finally:
        phase.tell("up")


def uses_replaced_token(pod, phase):
    with pod.container({"PHASE_WATCH": "1"}) as container:
        container.wait_until_ready()
        phase.tell("rotate")
        pod.replace_token()
        phase.tell("set", "SECRET", "changed-canary", "Production")
        try:
            # The server that is stopped first.
            assert container.wait_for_line() == "signal 15"
            container.wait_until_ready()
            check_server(pod, only_child(container.pid()), ["/shop"], "changed-canary")
            container.stop()
        finally:
            phase.tell("set", "SECRET", SECRET, "Production")


def foreign_image(report, engine, phase, manifest):
    for mode, extra in programs.MODES.items():
        with report.case(f"{MANIFESTS[1]}: the image of another project starts with its secrets, {mode}"):
            with Pod(engine, phase, manifest) as pod:
                assert pod.run_init_container() == []
                starts_and_stops(pod, ["grafana", "server"], extra)
    with report.case(f"{MANIFESTS[1]}: the container cannot change the phase-run that it starts with"):
        with Pod(engine, phase, manifest) as pod:
            pod.run_init_container()
            with pod.container({}) as container:
                container.wait_until_ready()
                for path in ("/phase/phase-run", "/phase/new", "/etc/phase/new"):
                    line = f"touch /dev/shm/new && ! touch {path} 2>/dev/null && echo refused"
                    assert engine.docker("exec", container.name, "sh", "-c", line) == "refused\n"
