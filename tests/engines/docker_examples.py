"""The Dockerfiles and the ECS task of `examples/`, and the lines of docs/deployment.md about them."""
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import programs, stand_ins
from .container import Container
from .fake_phase import FakePhase
from .processes import arguments, fields, only_child, variables
from .stand_ins import USER

COMMANDS = {"Dockerfile.scratch": ["/shop"], "Dockerfile.distroless": ["/nodejs/bin/node", "server.js"]}


def run(report, shop):
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        stand_ins.make_images(shop.engine)
        stand_ins.fill_context(directory, shop.phase)
        builds(report, shop, directory)
    for name in COMMANDS:
        images(report, shop, name)
    documented_lines(report, shop)
    snapshot_on_a_volume(report, shop)
    ecs_task(report, shop)


def tag(name):
    return name.lower().replace("dockerfile.", "shop-")


def builds(report, shop, directory):
    for title, buildkit in (("the classic builder", False), ("BuildKit", True)):
        with report.case(f"the Dockerfiles build with {title}"):
            for name in COMMANDS:
                shop.engine.build(tag(name), directory / name, directory, buildkit=buildkit)
    with report.case(".dockerignore keeps the token out of what the builder reads"):
        (directory / "Dockerfile").write_text("FROM busybox\nCOPY . /context\n")
        shop.engine.build("context", directory / "Dockerfile", directory)
        listed = shop.engine.docker("run", "--rm", "context", "ls", "-a", "/context").split()
        assert "phase-run" in listed and "secrets" not in listed, listed
    with report.case("a build step gets a secret through BuildKit's token mount, and the image holds neither"):
        build_secret(shop, directory)


def build_secret(shop, directory):
    """Builds with the lines of docs/deployment.md, and looks for the values in all layers."""
    text = (programs.ROOT / "docs/deployment.md").read_text()
    block = next(block for block in text.split("```dockerfile\n")[1:] if "--mount=type=secret" in block)
    reach = f"ENV PHASE_HOST={shop.phase.host} PHASE_CA_FILE=/ca.pem\nCOPY ca.pem /ca.pem\nCOPY package*.json ./\n"
    (directory / "ca.pem").write_bytes(shop.phase.ca_file.read_bytes())
    (directory / "Dockerfile").write_text(f"FROM node:22-bookworm-slim\n{reach}{block.split('```')[0]}")
    shop.engine.build("secret", directory / "Dockerfile", directory, "--secret", f"id=token,src={directory}/secrets/token", buildkit=True)
    assert shop.engine.docker("run", "--rm", "secret", "/bin/cat", "/length") == f"{len(shop.npm_token)}\n"
    image = directory / "image.tar"
    shop.engine.docker("save", "--output", image, "secret")
    described = shop.engine.docker("image", "inspect", "secret") + shop.engine.docker("history", "--no-trunc", "secret")
    for value in (shop.npm_token, shop.phase.token):
        assert value.encode() not in image.read_bytes()
        assert value not in described


def images(report, shop, name):
    with report.case(f"{name}: the server is PID 1, has its user and its secrets, and gets TERM itself"):
        before = shop.phase.requests()
        with Container(shop.engine, *shop.reach(), tag(name)) as container:
            assert container.wait_until_ready() == 1
            check_server(shop, container.pid(), COMMANDS[name])
            container.stop()
            container.check_end(["signal 15"], 0)
        # With an app ID and an exact name, one request is enough.
        assert shop.phase.requests() == before + 1
    with report.case(f"{name}: supervised, phase-run is PID 1 and forwards TERM once"):
        with Container(shop.engine, *shop.reach(), "--env", "PHASE_SUPERVISE=1", tag(name)) as container:
            assert container.wait_until_ready() > 1
            assert arguments(container.pid())[0] == "/phase-run"
            check_server(shop, only_child(container.pid()), COMMANDS[name])
            container.stop()
            container.check_end(["signal 15"], 0)


def check_server(shop, pid, command):
    """Checks that a process is the server: its arguments, its user, and that it has secrets but no token."""
    assert arguments(pid) == command, arguments(pid)
    assert fields(pid)["Uid"].split() == [str(USER)] * 4
    given = variables(pid)
    assert given["SECRET"] == shop.secret
    assert not [name for name in given if name.startswith("PHASE_SERVICE_TOKEN")], given


def documented_lines(report, shop):
    """Checks the lines for a terminal in the section on Docker."""
    with report.case("an option after the image's name is a command that does not exist, and is named"):
        with Container(shop.engine, *shop.reach(), "shop-scratch", "--path", "/web", "server") as container:
            (line, _), status = container.wait_for_end()
            assert "cannot run --path: it is an option of phase-run, not a program" in line and status == 127
    with report.case("--entrypoint gives options to an image whose ENTRYPOINT ends them"):
        with Container(shop.engine, *shop.reach(), "--entrypoint", "/phase-run", "shop-scratch", "--dry-run") as container:
            lines, status = container.wait_for_end()
            assert status == 0 and [line for line in lines if line.startswith("SECRET")], lines
        words = ["shop-distroless", "-v", "--", *COMMANDS["Dockerfile.distroless"]]
        with Container(shop.engine, *shop.reach(), "--entrypoint", "/phase-run", *words) as container:
            assert container.wait_until_ready() == 1
            container.stop()
            lines, _ = container.wait_for_end()
            assert [line for line in lines if "the command becomes PID 1" in line], lines


def snapshot_on_a_volume(report, shop):
    with report.case("a read-only container keeps its snapshot on a new named volume, and starts from it during an outage"):
        words = ["--read-only", "--volume", "shop-snapshot:/var/cache/phase", "--env", "PHASE_SNAPSHOT=/var/cache/phase/secrets"]
        with Container(shop.engine, *shop.reach(), *words, "shop-scratch") as container:
            assert container.wait_until_ready() == 1
        shop.phase.tell("down")
        try:
            with Container(shop.engine, *shop.reach(), *words, "--env", "PHASE_MAX_WAIT=0", "shop-scratch") as container:
                container.check_error("using the snapshot /var/cache/phase/secrets")
                assert container.wait_until_ready() == 1
                check_server(shop, container.pid(), ["/shop"])
        finally:
            shop.phase.tell("up")


@contextmanager
def ecs_network(shop):
    """Yields a network with the address at which ECS serves the role's credentials, and what is served there."""
    with Container(shop.engine, "--network", "none", "--entrypoint", "/shop", "shop-scratch") as holder:
        holder.wait_until_ready()
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
            given["PHASE_SERVICE_ACCOUNT_ID"] = phase.printed["PHASE_SERVICE_ACCOUNT_ID"]
            given["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/task"
            given["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = cloud.printed["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
            given |= {"PHASE_HOST": phase.host, "PHASE_CA_FILE": "/ca.pem"}
            options = ["--network", network, "--volume", f"{phase.ca_file}:/ca.pem:ro", "--user", task["user"]]
            options += ["--read-only"] if task["readonlyRootFilesystem"] else []
            options += [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
            with Container(shop.engine, *options, "--entrypoint", entrypoint, "shop-scratch", *words) as container:
                assert container.wait_until_ready() == 1
                check_server(shop, container.pid(), ["/shop"])
                container.stop()
                container.check_end(["signal 15"], 0)
            # One request for the role's key, one that logs in with it, and one for the secrets.
            assert (cloud.requests(), phase.requests()) == (1, 2)
