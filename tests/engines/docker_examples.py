"""The Dockerfiles and the ECS task of `examples/`, and the lines of docs/deployment.md about them."""
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import programs, stand_ins
from .container import Container
from .fake_phase import FakePhase
from .processes import arguments, fields, only_child, variables

USER = "65532"
COMMANDS = {"Dockerfile.scratch": ["/shop"], "Dockerfile.distroless": ["/nodejs/bin/node", "server.js"]}


def run(report, shop):
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        stand_ins.make_images(shop.engine)
        stand_ins.fill_context(place, shop.phase)
        builds(report, shop, place)
    for name in COMMANDS:
        images(report, shop, name)
    documented_lines(report, shop)
    snapshot_on_a_volume(report, shop)
    ecs_task(report, shop)


def tag(name):
    return name.lower().replace("dockerfile.", "shop-")


def builds(report, shop, place):
    for title, buildkit in (("the classic builder", False), ("BuildKit", True)):
        with report.case(f"the Dockerfiles build with {title}"):
            for name in COMMANDS:
                shop.engine.build(tag(name), place / name, place, buildkit=buildkit)
    with report.case(".dockerignore keeps the token out of what the builder reads"):
        (place / "Dockerfile").write_text("FROM busybox\nCOPY . /context\n")
        shop.engine.build("context", place / "Dockerfile", place)
        listed = shop.engine.docker("run", "--rm", "context", "ls", "-a", "/context").split()
        assert "phase-run" in listed and "secrets" not in listed, listed
    with report.case("a build step has the secret that BuildKit's mount of the token leads to; the image has neither"):
        build_secret(shop, place)


def build_secret(shop, place):
    """Builds with the lines of docs/deployment.md, and looks for the values in all layers."""
    text = (programs.ROOT / "docs/deployment.md").read_text()
    block = next(block for block in text.split("```dockerfile\n")[1:] if "--mount=type=secret" in block)
    reach = f"ENV PHASE_HOST={shop.phase.host} PHASE_CA_FILE=/ca.pem\nCOPY ca.pem /ca.pem\nCOPY package*.json ./\n"
    (place / "ca.pem").write_bytes(shop.phase.ca_file.read_bytes())
    (place / "Dockerfile").write_text(f"FROM node:22-bookworm-slim\n{reach}{block.split('```')[0]}")
    shop.engine.build("secret", place / "Dockerfile", place, "--secret", f"id=token,src={place}/secrets/token", buildkit=True)
    assert shop.engine.docker("run", "--rm", "secret", "/bin/cat", "/length") == f"{len(shop.npm_token)}\n"
    image = place / "image.tar"
    shop.engine.docker("save", "--output", image, "secret")
    described = shop.engine.docker("image", "inspect", "secret") + shop.engine.docker("history", "--no-trunc", "secret")
    for value in (shop.npm_token, shop.phase.token):
        assert value.encode() not in image.read_bytes()
        assert value not in described


def images(report, shop, name):
    with report.case(f"{name}: the server is PID 1, has its user and its secrets, and gets TERM itself"):
        before = shop.phase.requests()
        with Container(shop.engine, *shop.reach(), tag(name)) as container:
            assert container.ready() == 1
            check(shop, container.pid(), COMMANDS[name])
            container.stop()
            container.check_end(["signal 15"], 0)
        # With an app ID and an exact name, one request is enough.
        assert shop.phase.requests() == before + 1
    with report.case(f"{name}: supervised, phase-run is PID 1 and forwards TERM once"):
        with Container(shop.engine, *shop.reach(), "--env", "PHASE_SUPERVISE=1", tag(name)) as container:
            assert container.ready() > 1
            assert arguments(container.pid())[0] == "/phase-run"
            check(shop, only_child(container.pid()), COMMANDS[name])
            container.stop()
            container.check_end(["signal 15"], 0)


def check(shop, pid, command):
    """Checks that a process is the server: its arguments, its user, and that it has secrets but no token."""
    assert arguments(pid) == command, arguments(pid)
    assert fields(pid)["Uid"].split() == [USER] * 4
    given = variables(pid)
    assert given["SECRET"] == shop.secret
    assert not [name for name in given if name.startswith("PHASE_SERVICE_TOKEN")], given


def documented_lines(report, shop):
    """The lines for a terminal in the section on Docker."""
    with report.case("an option after the image's name is a command that does not exist, and is named"):
        with Container(shop.engine, *shop.reach(), "shop-scratch", "--path", "/web", "server") as container:
            (line, _), status = container.end()
            assert "cannot run --path: it is an option of phase-run, not a program" in line and status == 127
    with report.case("--entrypoint gives options to an image whose ENTRYPOINT ends them"):
        with Container(shop.engine, *shop.reach(), "--entrypoint", "/phase-run", "shop-scratch", "--dry-run") as container:
            lines, status = container.end()
            assert status == 0 and [line for line in lines if line.startswith("SECRET")], lines
        with Container(shop.engine, *shop.reach(), "--entrypoint", "/phase-run", "shop-distroless", "-v", "--", "/nodejs/bin/node", "server.js") as container:
            assert container.ready() == 1
            container.stop()
            lines, _ = container.end()
            assert [line for line in lines if "the command becomes PID 1" in line], lines


def snapshot_on_a_volume(report, shop):
    with report.case("a read-only container keeps its snapshot on a new named volume, and starts from it during an outage"):
        words = ["--read-only", "--volume", "shop-snapshot:/var/cache/phase", "--env", "PHASE_SNAPSHOT=/var/cache/phase/secrets"]
        with Container(shop.engine, *shop.reach(), *words, "shop-scratch") as container:
            assert container.ready() == 1
        shop.phase.tell("down")
        try:
            with Container(shop.engine, *shop.reach(), *words, "--env", "PHASE_MAX_WAIT=0", "shop-scratch") as container:
                container.check_error("using the snapshot /var/cache/phase/secrets")
                assert container.ready() == 1
                check(shop, container.pid(), ["/shop"])
        finally:
            shop.phase.tell("up")


@contextmanager
def ecs_network(shop):
    """Yields a network with the address at which ECS serves the role's credentials, and what is served there."""
    with Container(shop.engine, "--network", "none", "--entrypoint", "/shop", "shop-scratch") as holder:
        holder.ready()
        enter = ["nsenter", f"--net=/proc/{holder.pid()}/ns/net"]
        programs.run(*enter, programs.need("ip", "iproute2"), "address", "add", "169.254.170.2/32", "dev", "lo")
        endpoint = ["--plain", "--cloud", "--ip", "169.254.170.2", "--port", "80"]
        with FakePhase(inside=enter) as phase, FakePhase(*endpoint, inside=enter) as cloud:
            yield f"container:{holder.name}", phase, cloud


def ecs_task(report, shop):
    """Runs the container of the task as ECS does: with its settings, and with the endpoint of its role."""
    with report.case("ecs-task.json: the task authenticates with its role at ECS's own address, and has no stored token"):
        task = json.loads((stand_ins.EXAMPLES / "ecs-task.json").read_text())["containerDefinitions"][0]
        with ecs_network(shop) as (network, phase, cloud):
            phase.tell("clear", "Production")
            phase.tell("set", "SECRET", shop.secret, "Production")
            entrypoint, *words = task["entryPoint"] + task["command"]
            given = {variable["name"]: variable["value"] for variable in task["environment"]}
            # The fake Phase has a service account of its own.
            given["PHASE_SERVICE_ACCOUNT_ID"] = phase.said["PHASE_SERVICE_ACCOUNT_ID"]
            given |= {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/task", "AWS_CONTAINER_AUTHORIZATION_TOKEN": cloud.said["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
            given |= {"PHASE_HOST": phase.host, "PHASE_CA_FILE": "/ca.pem"}
            options = ["--network", network, "--volume", f"{phase.ca_file}:/ca.pem:ro", "--user", task["user"]]
            options += ["--read-only"] if task["readonlyRootFilesystem"] else []
            options += [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
            with Container(shop.engine, *options, "--entrypoint", entrypoint, "shop-scratch", *words) as container:
                assert container.ready() == 1
                check(shop, container.pid(), ["/shop"])
                container.stop()
                container.check_end(["signal 15"], 0)
            # One request for the role's key, one that logs in with it, and one for the secrets.
            assert (cloud.requests(), phase.requests()) == (1, 2)
