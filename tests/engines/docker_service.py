"""A service that runs for long: restarts, changed secrets and tokens, `docker exec`, health checks."""
import json
import re
import shutil
import tempfile
from pathlib import Path

from . import programs
from .docker_shop import Shop
from .fake_phase import FakePhase
from .processes import arguments, children, eventually, variables
from .stand_ins import USER


def run(report, shop):
    restart_policy(report, shop)
    docker_restart(report, shop)
    docker_exec(report, shop)
    health_checks(report, shop)
    # These change the secrets and the token.
    with FakePhase() as phase, tempfile.TemporaryDirectory() as directory:
        watch(report, Shop(shop.engine, phase, Path(directory)))
    with FakePhase() as phase, tempfile.TemporaryDirectory() as directory:
        single_file(report, Shop(shop.engine, phase, Path(directory)))


def restart_policy(report, shop):
    with report.case("--restart on-failure:2 with a token that Phase refuses: three starts, each with one error, and 125"):
        token = ["--env", "PHASE_SERVICE_TOKEN_FILE=", "--env", f"PHASE_SERVICE_TOKEN={refused_token(shop.phase.token)}"]
        check_restarts(shop, ["--restart", "on-failure:2", *token], ["/server"], 125, "phase-run: error[token]: ")
    with report.case("--restart on-failure:2 with a command that fails: each start fetches again, and the status is the command's"):
        before = shop.phase.requests()
        check_restarts(shop, ["--restart", "on-failure:2"], ["/inspector", "exit", "7"], 7, None)
        assert shop.phase.requests() == before + 3


def refused_token(token):
    """Returns a token that Phase does not know."""
    kind, version, _, *keys = token.split(":")
    return ":".join([kind, version, "0" * 64, *keys])


def check_restarts(shop, options, command, status, error):
    with shop.start("exec", command, "--detach", *options) as container:
        container.wait_for_end()
        eventually("Docker gives up", lambda: container.inspect("{{.State.Status}} {{.RestartCount}}") == "exited 2")
        assert container.inspect("{{.State.ExitCode}}") == str(status)
        errors = [line for line in container.logs() if line.startswith("phase-run: ")]
        assert len(errors) == (3 if error else 0) and all(line.startswith(error) for line in errors), errors


def docker_restart(report, shop):
    with report.case("`docker restart` starts with the current secrets"):
        with shop.start("exec", ["/server"]) as container:
            container.wait_until_ready()
            shop.phase.tell("set", "COLOUR", "blue", "Production")
            assert "COLOUR" not in variables(container.pid())
            shop.engine.docker("restart", container.name)
            eventually("the server is ready again", lambda: len([line for line in container.logs() if line == "ready 1"]) == 2)
            assert variables(container.pid())["COLOUR"] == "blue"
        shop.phase.tell("unset", "COLOUR", "Production")


def docker_exec(report, shop):
    script = "echo ${SECRET+found}"
    options = ["--env", "PHASE_SNAPSHOT=/var/cache/phase/secrets", "--tmpfs", f"/var/cache/phase:uid={USER}"]
    with shop.start("watching", ["/server"], *options) as container:
        container.wait_until_ready()
        inside = lambda *words: shop.engine.docker("exec", *words)
        with report.case("`docker exec` has no secrets of the service, and has them with phase-run"):
            assert inside(container.name, "sh", "-c", script).strip() == ""
            without = ["-i", "-e", "PHASE_WATCH=", "-e", "PHASE_SNAPSHOT="]
            assert inside(*without, container.name, "/phase-run", "--", "sh", "-c", script).strip() == "found"
        with report.case("`docker exec` with --dry-run shows names, no values, and leaves the snapshot alone"):
            before = snapshot_of(container)
            shown = inside(container.name, "/phase-run", "--dry-run")
            assert "SECRET" in shown and shop.secret not in shown
            assert snapshot_of(container) == before


def snapshot_of(container):
    """Returns what changes if a container writes its snapshot again."""
    found = Path(f"/proc/{container.pid()}/root/var/cache/phase/secrets").stat()
    return found.st_ino, found.st_mtime_ns


def health_checks(report, shop):
    blocks = re.findall(r"```dockerfile\n(.*?)```", (programs.ROOT / "docs/deployment.md").read_text(), re.DOTALL)
    lines, without_env = [block for block in blocks if "HEALTHCHECK" in block]
    with report.case("HEALTHCHECK as documented: healthy with the secrets, and unhealthy but running while Phase is unreachable"):
        with_check(shop, "checked", "tools", lines)
        options = ["--health-interval", "200ms", "--health-retries", "1", "--env", "PHASE_SNAPSHOT=/none/secrets"]
        with shop.start("watching", ["/server"], *options, image="checked") as container:
            container.wait_until_ready()
            wait_for_health(container, "healthy")
            shop.phase.tell("down")
            try:
                wait_for_health(container, "unhealthy")
            finally:
                shop.phase.tell("up")
            results = json.loads(container.inspect("{{json .State.Health.Log}}"))
            assert results[0]["Output"] == "" and "phase-run: error[unreachable]: " in results[-1]["Output"], results
            assert container.inspect("{{.State.Running}} {{.RestartCount}}") == "true 0"
    with report.case("HEALTHCHECK as documented for an image without env(1): healthy, and the service keeps its snapshot"):
        with_check(shop, "checked-scratch", "shop-scratch", without_env)
        with shop.start("exec", ["/shop"], "--health-interval", "200ms", image="checked-scratch") as container:
            container.wait_until_ready()
            before = snapshot_of(container)
            wait_for_health(container, "healthy")
            assert snapshot_of(container) == before


def with_check(shop, tag, base, lines):
    """Makes an image with a health check, and with a program /check that fails without secrets."""
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        shutil.copy(programs.busybox(), directory / "busybox")
        (directory / "check").write_text("#!/busybox sh\n[ -n \"$SECRET\" ]\n")
        (directory / "check").chmod(0o755)
        (directory / "Dockerfile").write_text(f"FROM {base}\nCOPY busybox /busybox\nCOPY check /check\n{lines}")
        shop.engine.build(tag, directory / "Dockerfile", directory)


def wait_for_health(container, status):
    eventually(f"the container is {status}", lambda: container.inspect("{{.State.Health.Status}}") == status)


def watch(report, shop):
    with shop.start("watching", ["/server"], "--env", "PHASE_WATCH=1") as container:
        container.wait_until_ready()
        pid = container.pid()
        with report.case("watching: a changed secret restarts the command inside the container, which Docker does not count"):
            shop.phase.tell("set", "SECRET", "changed-" + shop.secret, "Production")
            wait_for_restart(container)
            assert variables(server_of(pid))["SECRET"] == "changed-" + shop.secret
            assert (container.pid(), container.inspect("{{.RestartCount}}")) == (pid, "0")
        with report.case("watching: a token that is replaced in the mounted directory is used by the next poll"):
            shop.phase.tell("rotate")
            Shop.put_token(shop.directory / "token", shop.phase.token_file.read_text())
            shop.phase.tell("set", "SECRET", "again-" + shop.secret, "Production")
            wait_for_restart(container)
        with report.case("watching: `docker stop` reaches the restarted command once"):
            container.stop()
            lines, status = container.wait_for_end()
            # Between the old token and the new one, a poll may have failed with a warning.
            assert (lines[0], lines.count("signal 15"), status) == ("signal 15", 1, 0), lines


def server_of(pid):
    """Returns the PID of the server below a watching phase-run, whose polls are children, too."""
    return next(child for child in children(pid) if arguments(child) == ["/server"])


def wait_for_restart(container):
    assert any("the secrets have changed" in line for line in iter(container.wait_for_error, None))
    assert container.wait_for_line() == "signal 15"
    container.wait_until_ready()


def single_file(report, shop):
    with report.case("watching: a token that is mounted as a single file stays the old one, and a warning says so"):
        options = ["--volume", f"{shop.directory}/token:/run/token:ro", "--env", "PHASE_SERVICE_TOKEN_FILE=/run/token", "--env", "PHASE_WATCH=1"]
        with shop.start("watching", ["/server"], *options) as container:
            container.wait_until_ready()
            Shop.put_token(shop.directory / "token", shop.phase.token)
            container.check_error("so polls still read the old one: mount its directory, not the file alone")
            container.stop()
