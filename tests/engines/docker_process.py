"""The command in a container: its PID, what it inherits, its signals, its status, its orphans."""
import os
import re
import socket

from .container import Container
from .docker_shop import EXEC_AND_SUPERVISED, MODES
from .processes import DEADLINE, arguments, children, eventually, only_child

# What an argument may contain without a change by anyone in between.
ARGUMENTS = ["", "two words", "$HOME", "it's", 'a "quoted" word', "naïve", "--path", "line\nbreak"]


def run(report, shop):
    for mode in EXEC_AND_SUPERVISED:
        inherits(report, shop, mode)
        statuses(report, shop, mode)
        signals(report, shop, mode)
        shells(report, shop, mode)
        orphans(report, shop, mode)
    no_handler(report, shop)
    for mode in MODES:
        during_the_fetch(report, shop, mode)


def inherits(report, shop, mode):
    title = {"exec": "PID 1", "supervised": "a child of PID 1"}[mode]
    with report.case(f"{mode}: the command is {title}; all else that it inherits is as without phase-run, but for the secrets"):
        report_words = ["report", *ARGUMENTS]
        options = ["--hostname", "web", "--ulimit", "core=0", "--workdir", "/bin"]
        with Container(shop.engine, *shop.reach(), *MODES[mode], *options, "--entrypoint", "/inspector", "tools", *report_words) as bare:
            expected = facts(bare.wait_for_rest())
        found = facts(shop.run(mode, ["/inspector", *report_words], *options)[0])
        pids = [[fact.pop(name) for name in ("pid", "ppid")] for fact in (expected, found)]
        assert pids[0] == ["1", "0"] and (pids[1] == pids[0] if mode == "exec" else pids[1][1] == "1"), pids
        assert added(expected, found) == [f"NPM_TOKEN={shop.npm_token}", f"SECRET={shop.secret}"]
        assert added(found, expected) == ["PHASE_SERVICE_TOKEN_FILE=/run/phase/token"]
        del expected["environ"], found["environ"]
        if mode == "supervised":
            # The kernel kills the command if phase-run is killed.
            expected["parent_death_signal"] = "9"
        assert found == expected, {name: (expected.get(name), found.get(name)) for name in expected | found if expected.get(name) != found.get(name)}


def facts(lines):
    """Returns what the inspector reports, as a map. Pipes have no number, and variables no order."""
    assert lines[-1] == "end", lines
    found, variables = {}, set()
    for line in lines[:-1]:
        name, _, value = line.partition(" ")
        if name.startswith("environ."):
            variables.add(bytes.fromhex(value).decode())
        else:
            target = re.search(r"(?<=target=)[0-9a-f]+$", value)
            value = value[: target.start()] + re.sub(r"\d+", "", bytes.fromhex(target[0]).decode()) if target else value
            found[name] = value
    return found | {"environ": variables}


def added(before, after):
    return sorted(after["environ"] - before["environ"])


def statuses(report, shop, mode):
    with report.case(f"{mode}: `docker run` returns the status of the command: 0, 7, 125, 255"):
        for status in (0, 7, 125, 255):
            shop.check_status(mode, ["/inspector", "exit", str(status)], status)
    with report.case(f"{mode}: 125, 126 and 127 with an error if no command runs"):
        for command, options, status, error in (
            (["/inspector", "exit", "0"], ["--env", "PHASE_ENV=Prodution"], 125, "not-found"),
            (["/run/phase"], [], 126, "exec"),
            (["/missing"], [], 127, "exec"),
            # Docker makes a directory where a mounted file is missing.
            (["/server"], ["--volume", f"{shop.directory}/missing:/token", "--env", "PHASE_SERVICE_TOKEN_FILE=/token"], 125, "token"),
        ):
            lines, found = shop.run(mode, command, *options)
            assert (found, lines[0].startswith(f"phase-run: error[{error}]: ")) == (status, True), (found, lines)
    with report.case(f"{mode}: 137 if the command is killed"):
        with shop.start(mode, ["/server"]) as container:
            container.wait_until_ready()
            container.signal("KILL")
            container.check_end([], 137)
    if mode == "supervised":
        with report.case("supervised: 128 + N if the command dies by a signal, such as 139 for SEGV"):
            for signal in (6, 9, 11, 15):
                shop.check_status(mode, ["/inspector", "die", str(signal)], 128 + signal)


def signals(report, shop, mode):
    with report.case(f"{mode}: `docker kill` sends HUP, USR1 and a real-time signal, and the command gets each once"):
        with shop.start(mode, ["/server"]) as container:
            container.wait_until_ready()
            for name, number in (("HUP", 1), ("USR1", 10), ("RTMIN+3", 37)):
                container.signal(name)
                assert container.wait_for_line() == f"signal {number}"
            container.stop()
            container.check_end(["signal 15"], 0)
    with report.case(f"{mode}: `docker stop` sends the image's STOPSIGNAL"):
        with shop.start(mode, ["/server"], "--stop-signal", "QUIT") as container:
            container.wait_until_ready()
            container.stop()
            container.check_end(["signal 3"], 0)


def no_handler(report, shop):
    with report.case("exec: the kernel drops TERM to PID 1 without a handler, and Docker kills the command after the grace (137)"):
        with shop.start("exec", ["/inspector", "sleep"]) as container:
            assert container.wait_until_ready() == 1
            container.stop(grace=1)
            container.check_end([], 137)
    for title, mode, options in (
        ("supervised", "supervised", []),
        ("watching", "watching", []),
        ("exec below `docker run --init`", "exec", ["--init"]),
        ("supervised below `docker run --init`", "supervised", ["--init"]),
    ):
        with report.case(f"{title}: a command without a handler ends by TERM at once (143)"):
            ends_by_term(shop, mode, ["/inspector", "sleep"], *options)
    with report.case("exec: tini as the command ends its child by TERM (143)"):
        ends_by_term(shop, "exec", ["/tini", "--", "/inspector", "sleep"])


def ends_by_term(shop, mode, command, *options):
    with shop.start(mode, command, *options) as container:
        assert container.wait_until_ready() > 1
        container.stop()
        container.check_end([], 143)


def shells(report, shop, mode):
    options = [*shop.reach(), *MODES[mode], "--entrypoint", "/phase-run", "tools", "-c"]
    with report.case(f"{mode}: with -c 'migrate; exec server', the server gets TERM"):
        with Container(shop.engine, *options, "true; exec /server") as container:
            container.wait_until_ready()
            container.stop()
            container.check_end(["signal 15"], 0)
    titles = {"exec": "keeps TERM from the server until Docker kills all (137)", "supervised": "ends by TERM, and the server is killed with it (143)"}
    with report.case(f"{mode}: a shell in between {titles[mode]}"):
        with Container(shop.engine, *options, "/server; true") as container:
            container.wait_until_ready()
            container.stop(grace=1 if mode == "exec" else 60)
            container.check_end([], 137 if mode == "exec" else 143)


def orphans(report, shop, mode):
    # The subshells end at once and leave these processes.
    script = "(/inspector sleep &); (/inspector sleep &); (setsid /inspector sleep &); exec /server"
    title = {"exec": "stay zombies if the command, as PID 1, does not reap them", "supervised": "are reaped by phase-run, and do not end it"}[mode]
    with report.case(f"{mode}: orphans {title}"):
        with shop.start(mode, ["sh", "-c", script]) as container:
            for _ in range(4):
                container.wait_until_ready()
            pid = container.pid()
            orphans = [child for child in children(pid) if arguments(child)[-1] == "sleep"]
            assert len(orphans) == 3, orphans
            for orphan, signal in zip(orphans, (1, 9, 15)):
                os.kill(orphan, signal)
            if mode == "exec":
                eventually("the orphans are zombies", lambda: list(children(pid).values()) == ["Z"] * 3)
            else:
                only_child(pid)
            container.stop()
            container.check_end(["signal 15"], 0)


def during_the_fetch(report, shop, mode):
    with report.case(f"{mode}: `docker stop` ends phase-run at once while Phase does not respond (143)"):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(DEADLINE)
            host = f"https://127.0.0.1:{silent.getsockname()[1]}"
            given = {"PHASE_HOST": host, "PHASE_TIMEOUT": "600", "PHASE_MAX_WAIT": "600"}
            options = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
            with shop.start(mode, ["/server"], *options) as container:
                connection, _ = silent.accept()
                container.stop()
                container.check_end([], 143)
                connection.close()
