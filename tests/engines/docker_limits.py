"""Containers that may do little, and what Docker keeps of them."""
import subprocess
import tempfile
from pathlib import Path

from .container import Container
from .docker_shop import EXEC_AND_SUPERVISED, MODES, Shop
from .processes import eventually, fields, variables

OTHER_USER = 54321
CONFINED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


def run(report, shop):
    for mode in MODES:
        confined(report, shop, mode)
    limits(report, shop)
    for mode in MODES:
        file(report, shop, mode)
    for mode in EXEC_AND_SUPERVISED:
        standard_input(report, shop, mode)
    docker_keeps_no_secret(report, shop)


def confined(report, shop, mode):
    with report.case(f"{mode}: a read-only container with another user, no capabilities and no-new-privileges"):
        with tempfile.TemporaryDirectory() as parent:
            directory = Path(parent) / "secrets"
            Shop.put_token(directory / "token", shop.phase.token, OTHER_USER)
            directory.parent.chmod(0o755)
            with shop.start(mode, ["/server"], *CONFINED, "--user", f"{OTHER_USER}:{OTHER_USER}", directory=directory) as container:
                container.wait_until_ready()
                pid = shop.command_of(container, mode)
                found = [fields(pid)[name] for name in ("Uid", "CapBnd", "NoNewPrivs", "Seccomp")]
                assert found == ["\t".join([str(OTHER_USER)] * 4), "0" * 16, "1", "2"], found
                assert variables(pid)["SECRET"] == shop.secret
                # Docker itself makes the mount points.
                assert set(shop.engine.docker("diff", container.name).splitlines()) == {"A /ca.pem", "A /run", "A /run/phase"}
                container.stop()
                container.check_end(["signal 15"], 0)


def limits(report, shop):
    # A watching phase-run needs the most while it polls.
    memory, pids = shop.engine.docker("info", "--format", "{{.MemoryLimit}} {{.PidsLimit}}").split()
    for mode, count in zip(MODES, (3, 4, 6)):
        for title, options, possible in (
            ("12 MiB of memory", ["--memory", "12m", "--memory-swap", "12m"], memory),
            (f"{count} processes and threads", ["--pids-limit", count], pids),
        ):
            if possible != "true":
                report.skip(f"{mode}: {title} are enough", "the engine cannot limit them")
                continue
            with report.case(f"{mode}: {title} are enough"):
                with shop.start(mode, ["/server"], *options, *(["--env", "PHASE_WATCH=1"] if mode == "watching" else [])) as container:
                    before = shop.phase.requests()
                    container.wait_until_ready()
                    if mode == "watching":
                        eventually("it has polled", lambda: shop.phase.requests() >= before + 3)
                    container.stop()
                    container.check_end(["signal 15"], 0)
                    assert container.inspect("{{.State.OOMKilled}}") == "false"


def file(report, shop, mode):
    with report.case(f"{mode}: --file gives a read-only container an in-memory file, and no variable"):
        options = [*shop.reach(), *MODES[mode], *CONFINED, "--entrypoint", "/phase-run"]
        with Container(shop.engine, *options, "tools", "--file", "NPM_TOKEN=NPM_TOKEN_FILE", "--", "/server") as container:
            container.wait_until_ready()
            pid = shop.command_of(container, mode)
            given = variables(pid)
            # The path names the process by its PID in the container.
            descriptor = Path(given["NPM_TOKEN_FILE"]).name
            assert Path(f"/proc/{pid}/fd/{descriptor}").read_text() == shop.npm_token
            assert "NPM_TOKEN" not in given and given["SECRET"] == shop.secret
            container.stop()
            container.check_end(["signal 15"], 0)


def standard_input(report, shop, mode):
    with report.case(f"{mode}: with `docker run -i`, --token-file - takes the first line, and the command gets the rest"):
        options = [*shop.network(), *MODES[mode], "--interactive", "--entrypoint", "/phase-run"]
        with Container(shop.engine, *options, "tools", "--token-file", "-", "--", "cat", stdin=subprocess.PIPE) as container:
            with container.client.stdin as stdin:
                stdin.write(f"{shop.phase.token}\nfirst\nlast\n")
            container.check_end(["first", "last"], 0)


def docker_keeps_no_secret(report, shop):
    """Checks what Docker keeps on its disk: logs, settings and health of containers, their files, images, caches."""
    values = [shop.secret, shop.npm_token, shop.phase.token]
    with report.case("no secret, and no token that came as a file, is in anything that Docker keeps: logs, settings, images, caches"):
        containers = [shop.start(mode, ["/server"]) for mode in MODES]
        for container in containers:
            container.wait_until_ready()
        assert files_containing(shop.engine.directory, values) == []
        for container in containers:
            shown = container.inspect("{{json .}}") + "".join(container.logs())
            assert not [value for value in values if value in shown]
            container.stop()
            container.wait_for_end()
        assert files_containing(shop.engine.directory, values) == []
        for container in containers:
            container.remove()
    with report.case("-e PHASE_SERVICE_TOKEN passes the token of your shell. `docker inspect` shows it, and no process has it"):
        for mode in EXEC_AND_SUPERVISED:
            options = [*shop.network(), "--env", "PHASE_SERVICE_TOKEN", *MODES[mode]]
            with Container(shop.engine, *options, "tools", "/server", token=shop.phase.token) as container:
                container.wait_until_ready()
                assert shop.phase.token in container.inspect("{{json .Config.Env}}")
                for pid in {container.pid(), shop.command_of(container, mode)}:
                    assert shop.phase.token.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
                # So the search above would have found it.
                found = files_containing(shop.engine.directory, [shop.phase.token])
                assert [path for path in found if path.endswith("/config.v2.json")], found


def files_containing(directory, values):
    """Returns the files below a directory that contain one of the values."""
    patterns = [word for value in values for word in ("-e", value)]
    found = subprocess.run(["grep", "-rlaF", *patterns, directory], capture_output=True, text=True)
    return found.stdout.splitlines()
