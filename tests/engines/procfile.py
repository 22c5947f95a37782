"""Procfile managers: `examples/Procfile` in each of them, and one fetch for all processes.

A manager stops at Ctrl-C in a terminal, at TERM, and at the end of one of its processes. All processes
have to stop gracefully then, and none may stay behind.
"""
import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path

from . import programs
from .fake_phase import FakePhase
from .processes import DEADLINE, parent
from .service import Service
from .service_program import CRASH_STATUS
from .survivors import nothing_left_behind
from .terminal import CTRL_C, Terminal

HONCHO = "2.0.0"
NPM_FOREMAN = "3.0.1"
# What the FAQ shows for one fetch: the manager runs below phase-run.
BARE_PROCFILE = "web: exec bin/web\nworker: exec bin/worker\n"
ONE_FETCH = {"PHASE_APP": "shop", "PHASE_ENV": "Production", "PHASE_PATH": "/"}
PHASE_RUN_FAILS = 125


@dataclasses.dataclass
class Manager:
    """What a manager does, with and without phase-run.

    The pairs are the first signal that each process gets, and the manager's own status.
    """
    name: str
    version: str
    program: Path
    at_interrupt: tuple
    # None if TERM ends the manager alone.
    at_term: tuple | None
    at_crash: tuple
    # Its status if phase-run fails in one of the lines.
    at_failure: int
    # Whether it signals the process group of each process, not the process alone.
    signals_group: bool = False
    # Whether it takes the end of any child for the end of one of its processes.
    waits_for_any_child: bool = False

    @property
    def command(self):
        return [self.program.name, "start"]


def run(report):
    with FakePhase() as phase:
        run_cases(report, phase, honcho())
        if not report.gate:
            foreman = ruby_foreman()
            run_cases(report, phase, foreman)
            export(report, phase, foreman)
            run_cases(report, phase, npm_foreman())


def honcho():
    program = programs.python_package("honcho", HONCHO) / "honcho"
    return Manager("honcho", HONCHO, program, ("SIGTERM", 130), ("SIGTERM", 143), ("SIGTERM", CRASH_STATUS), PHASE_RUN_FAILS, signals_group=True)


def ruby_foreman():
    program = Path(programs.need("foreman", "ruby-foreman"))
    version = programs.run(program, "version").strip()
    # A terminal signals the processes too, because they share foreman's process group.
    return Manager("foreman", version, program, ("SIGINT", 0), ("SIGTERM", 0), ("SIGTERM", CRASH_STATUS), PHASE_RUN_FAILS, waits_for_any_child=True)


def npm_foreman():
    program = programs.node_package("foreman", NPM_FOREMAN) / "nf"
    return Manager("npm's foreman", NPM_FOREMAN, program, ("SIGINT", 0), None, ("SIGINT", 0), 0)


def example():
    return (programs.ROOT / "examples/Procfile").read_text()


def run_cases(report, phase, manager):
    report.engine(manager.name, manager.version)

    def cases(procfile, *checks):
        for title, check, variables in checks:
            with report.case(title), project(phase, manager, procfile) as made:
                check(made, variables)

    for mode, variables in programs.MODES.items():
        cases(example(),
              (f"each process gets its folders, {mode}", gets_its_folders, variables),
              (f"Ctrl-C stops both, {mode}", stops_at_interrupt, variables),
              (f"the end of one stops the other, {mode}", stops_at_crash, variables))
        if manager.signals_group:
            cases(example(), (f"TERM reaches a child of the command, {mode}", stops_child, variables))
    cases(example(),
          ("a line in which phase-run fails stops the other", stops_at_failure, {}),
          ("--watch in each line restarts the commands", each_line_watches, {"PHASE_WATCH": "1"}))
    cases(BARE_PROCFILE,
          ("one fetch for all processes", one_fetch, ONE_FETCH),
          ("one fetch with a token that is read once", one_fetch_with_token_read_once, ONE_FETCH),
          ("one fetch with --watch restarts the manager", one_watch, {**ONE_FETCH, "PHASE_WATCH": "1"}))


class Project:
    """A directory with a Procfile, a `.env` and two services, and a shell's variables."""

    def __init__(self, phase, manager, procfile, directory):
        self.phase, self.manager = phase, manager
        self.directory = Path(directory)
        (self.directory / "Procfile").write_text(procfile)
        (self.directory / ".env").write_text("IN_BOTH=from-file\n")
        self.web, self.worker = [Service(self.directory / "bin" / name) for name in ("web", "worker")]
        path = self.directory / "path"
        path.mkdir()
        (path / "phase-run").symlink_to(programs.phase_run())
        self.variables = {"PATH": f"{path}:{manager.program.parent}:{os.environ['PATH']}", "HOME": directory, **phase.variables()}

    def start(self, command, variables):
        with (self.directory / "log").open("wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            return subprocess.Popen(command, cwd=self.directory, env={**self.variables, **variables}, **streams)

    def terminal(self, command, variables):
        return Terminal(command, cwd=self.directory, env={**self.variables, **variables})

    def wait_until_ready(self):
        for service in (self.web, self.worker):
            service.wait_until_ready()

    def stop(self, running):
        """Stops the manager by TERM, and the services too if it leaves them behind."""
        running.terminate()
        at_term = self.manager.at_term
        if at_term is None:
            at_term = ("SIGTERM", -signal.SIGTERM)
            assert wait(running) == -signal.SIGTERM
            for service in (self.web, self.worker):
                os.kill(service.pid, signal.SIGTERM)
        self.both_stop(*at_term, running)

    def both_stop(self, first_signal, status, running):
        for service in (self.web, self.worker):
            assert service.wait_until_stopped()[0] == first_signal
        assert wait(running) == status


def wait(running):
    return running.wait() if isinstance(running, Terminal) else running.wait(timeout=DEADLINE)


@contextlib.contextmanager
def project(phase, manager, procfile):
    phase.tell("clear", "Production")
    for key, folder in [("SECRET", "/"), ("IN_BOTH", "/"), ("QUEUE", "/backend")]:
        phase.tell("set", key, f"canary of {folder}", "Production", folder)
    phase.tell("set", "PORT", "7000", "Production", "/")
    with tempfile.TemporaryDirectory(prefix="procfile-") as directory, nothing_left_behind():
        made = Project(phase, manager, procfile, directory)
        try:
            yield made
        except Exception as error:
            log = made.directory / "log"
            error.add_note(f"log: {log.read_text()}" if log.exists() else "no log")
            raise
        finally:
            made.web.close()
            made.worker.close()


def gets_its_folders(made, variables):
    running = made.start(made.manager.command, variables)
    made.wait_until_ready()
    for service in (made.web, made.worker):
        seen = service.variables()
        assert not any(name.startswith("PHASE_SERVICE_TOKEN") for name in seen)
        # In exec mode neither phase-run nor a shell stays between the manager and the command.
        supervised = Path(f"/proc/{parent(service.pid)}/exe").resolve() == programs.phase_run()
        assert supervised == bool(variables)
        values = {key: seen.get(key) for key in ("SECRET", "IN_BOTH", "PORT", "QUEUE")}
        queue = "canary of /backend" if service is made.worker else None
        assert values == {"SECRET": "canary of /", "IN_BOTH": "canary of /", "PORT": "7000", "QUEUE": queue}
    made.stop(running)


def stops_at_interrupt(made, variables):
    with made.terminal(made.manager.command, variables) as terminal:
        made.wait_until_ready()
        terminal.press(CTRL_C)
        made.both_stop(*made.manager.at_interrupt, terminal)


def stops_at_crash(made, variables):
    running = made.start(made.manager.command, variables)
    made.wait_until_ready()
    made.worker.crash()
    first_signal, status = made.manager.at_crash
    assert made.web.wait_until_stopped()[0] == first_signal
    assert wait(running) == status


def stops_child(made, variables):
    child = Service(made.directory / "bin/child")
    program = made.web.path.read_text()
    made.web.path.write_text(program.replace("\n", f"\n'{child.path}' &\n", 1))
    running = made.start(made.manager.command, variables)
    made.wait_until_ready()
    child.wait_until_ready()
    made.stop(running)
    assert child.wait_until_stopped()[0] == "SIGTERM"
    child.close()


def stops_at_failure(made, variables):
    # Without its only secret, the folder /backend is gone.
    made.phase.tell("unset", "QUEUE", "Production")
    running = made.start(made.manager.command, variables)
    assert wait(running) == made.manager.at_failure
    log = (made.directory / "log").read_text()
    assert "phase-run: error[not-found]: --path /backend matches nothing" in log, log


def each_line_watches(made, variables):
    running = made.start(made.manager.command, variables)
    made.wait_until_ready()
    both_restart(made)
    assert running.poll() is None
    made.stop(running)


def both_restart(made):
    made.phase.tell("set", "SECRET", "changed canary", "Production")
    for service in (made.web, made.worker):
        service.wait_until_stopped()
        service.wait_until_ready()
        assert service.variables()["SECRET"] == "changed canary"


def one_fetch(made, variables):
    before = made.phase.requests()
    with made.terminal(["phase-run", "--", "true"], variables) as terminal:
        assert terminal.wait() == 0
    needed = made.phase.requests() - before
    with made.terminal(["phase-run", "--", *made.manager.command], variables) as terminal:
        made.wait_until_ready()
        assert made.phase.requests() == before + 2 * needed
        for service, port in [(made.web, "7000"), (made.worker, "7100")]:
            seen = service.variables()
            assert not any(name.startswith("PHASE_SERVICE_TOKEN") for name in seen)
            # The manager sets its variables after phase-run.
            assert [seen[key] for key in ("SECRET", "IN_BOTH", "PORT")] == ["canary of /", "from-file", port]
        terminal.press(CTRL_C)
        made.both_stop(*made.manager.at_interrupt, terminal)


def one_fetch_with_token_read_once(made, variables):
    token = made.variables.pop("PHASE_SERVICE_TOKEN_FILE")
    command = " ".join(made.manager.command)
    line = f"exec phase-run --token-file fd:3 -- {command} 3< <(cat '{token}')"
    if made.manager.waits_for_any_child:
        # In the other line, cat is a child of phase-run, and so of the manager.
        line = f"cat '{token}' | phase-run --token-file - -- {command}"
    with made.terminal(["bash", "-c", line], variables) as terminal:
        made.wait_until_ready()
        for service in (made.web, made.worker):
            # The service opens its FIFO, which gets the first free number.
            assert os.readlink(f"/proc/{service.pid}/fd/3").endswith(".fifo")
        terminal.press(CTRL_C)
        made.both_stop(*made.manager.at_interrupt, terminal)


def one_watch(made, variables):
    with made.terminal(["phase-run", "--", *made.manager.command], variables) as terminal:
        made.wait_until_ready()
        both_restart(made)
        terminal.press(CTRL_C)
        made.both_stop(*made.manager.at_interrupt, terminal)


def export(report, phase, manager):
    """Checks the systemd units that foreman exports."""
    with report.case("an exported line starts without exec"), project(phase, manager, example().replace(": exec ", ": ")) as made:
        running = made.start(exported_line(made), {})
        made.web.wait_until_ready()
        assert made.web.variables()["SECRET"] == "canary of /"
        running.terminate()
        assert made.web.wait_until_stopped() == ["SIGTERM"]
        assert wait(running) == 0
    with report.case("an exported line fails with two exec"), project(phase, manager, example()) as made:
        assert wait(made.start(exported_line(made), {})) == 127
        log = (made.directory / "log").read_text()
        assert "exec: exec: not found" in log, log


def exported_line(made):
    """Returns the words with which systemd would start web."""
    programs.run(made.manager.program, "export", "systemd", "units", "--app", "shop", cwd=made.directory, env=made.variables)
    unit = (made.directory / "units/shop-web.1.service").read_text()
    line, = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    # It starts a login shell, which sets the PATH.
    (made.directory / ".profile").write_text(f"PATH='{made.variables['PATH']}'\n")
    return shlex.split(line.removeprefix("ExecStart="))
