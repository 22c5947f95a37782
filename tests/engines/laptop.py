"""Tools of a laptop: phase-run inside them and in front of them, compared with the tool alone.

In each arrangement the values reach the command, and no file that the tool writes. The command gets the
same signals as without phase-run, and the tool ends with the same status.
"""
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import programs
from .fake_phase import FakePhase
from .processes import DEADLINE, eventually, fields
from .service import Service
from .service_program import CRASH_STATUS
from .survivors import nothing_left_behind
from .terminal import CTRL_C, CTRL_Z, Terminal

JUST = "1.59.0"
ENVIRONMENT = "Production"
# Values that a tool could change on the way, or that could end in one of its files.
SECRETS = {"SECRET": "canary-0a1b2c3d", "AWKWARD": "canary-4e5f $HOME $$ `id` 'a' \"b\" #c \\d"}
# The fake Phase has this one from the start.
LINES = {"MOTD": "line one\nline two\n"}
PROMPT = "type> "
# Without the configuration of whoever runs this.
TMUX = ["tmux", "-f", "/dev/null"]


@dataclasses.dataclass
class Tool:
    name: str
    version: str
    # The line that a user types, without phase-run, and with phase-run inside.
    bare: str
    inside: str
    # Whether it ends when its terminal is closed.
    ends_at_hangup: bool = True
    # Another status after Ctrl-C, which depends on what the tool notices first.
    other_status: int | None = None

    def lines(self):
        """Returns the lines with phase-run inside the tool, and in front of it."""
        return [self.inside, f"phase-run {self.bare}"]

    def checks(self):
        """Returns the checks with their titles."""
        at_hangup = ("is hung up", check_hangup) if self.ends_at_hangup else ("outlives terminal", check_outlives_terminal)
        return [("crashes", check_crash), ("is interrupted", check_interrupt), ("is stopped and resumed", check_stop_and_resume), at_hangup]


def run(report):
    with FakePhase() as phase:
        for key, value in SECRETS.items():
            phase.tell("set", key, value, ENVIRONMENT)
        for tool in tools():
            report.engine(tool.name, tool.version)
            compare(report, phase, tool)
        without_terminal(report, phase)
        tmux(report, phase)


def version(program, package):
    """Returns the version that a program prints, as the last word of the first line."""
    return programs.run(programs.need(program, package), "--version").splitlines()[0].split()[-1]


def bash_version():
    return programs.run("bash", "-c", "echo ${BASH_VERSION%%(*}").strip()


def tools():
    yield Tool("npm run", version("npm", "npm"), "npm run bare", "npm run start")
    yield Tool("make", version("make", "make"), "make bare", "make start", other_status=2)
    yield Tool("just", JUST, "just bare", "just start")
    yield Tool("bash -lc", bash_version(), "bash -lc bin/service", "bash -lc 'phase-run bin/service'")
    # sudo looks for programs in directories of its own.
    yield Tool("sudo -E", version("sudo", "sudo"), "sudo -E bin/service", 'sudo -E "$(command -v phase-run)" bin/service')
    yield Tool("nohup", version("nohup", "coreutils"), "nohup bin/service", "nohup phase-run bin/service", ends_at_hangup=False)


class Project:
    """A home directory with phase-run and a project, and the variables of a shell there."""

    def __init__(self, phase, home):
        self.home = Path(home)
        self.directory = self.home / "project"
        self.service = Service(self.directory / "bin/service")
        (self.home / ".local/bin").mkdir(parents=True)
        (self.home / ".local/bin/phase-run").symlink_to(programs.phase_run())
        # A login shell starts with the PATH of the system.
        (self.home / ".profile").write_text('PATH="$HOME/.local/bin:$PATH"\n')
        shutil.copy(programs.ROOT / "examples/laptop/.phase.json", self.directory)
        self.write_recipes()
        path = f"{self.home}/.local/bin:{programs.cargo_package('just', JUST)}:{os.environ['PATH']}"
        self.variables = {"HOME": home, "PATH": path, "TERM": "xterm", "TMUX_TMPDIR": home}
        self.variables |= {"PHASE_ENV": ENVIRONMENT, "PHASE_PATH": "/", **phase.variables()}

    def write_recipes(self):
        (self.directory / "package.json").write_text('{"scripts": {"bare": "bin/service", "start": "phase-run bin/service"}}\n')
        (self.directory / "Makefile").write_text("bare:\n\tbin/service\nstart:\n\tphase-run bin/service\n")
        (self.directory / "justfile").write_text("bare:\n  bin/service\nstart:\n  phase-run bin/service\n")

    def shell(self, variables):
        """Starts an interactive shell on a terminal."""
        command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        return Terminal(command, cwd=self.directory, env={**self.variables, "PS1": PROMPT, **variables})

    def start(self, command, variables, directory=None):
        """Starts a command without a terminal, with these variables only."""
        with (self.home / "log").open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            return subprocess.Popen(command, cwd=directory or self.directory, env=variables, start_new_session=True, **streams)

    def tmux(self, variables, *words):
        programs.run(*TMUX, *words, cwd=self.directory, env={**self.variables, **variables})

    def values_are_in_no_file(self):
        for path in self.home.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert b"canary-" not in path.read_bytes(), path


@contextlib.contextmanager
def project(phase):
    with tempfile.TemporaryDirectory(prefix="laptop-") as home, nothing_left_behind():
        made = Project(phase, home)
        try:
            yield made
        finally:
            made.service.close()
        made.values_are_in_no_file()


def compare(report, phase, tool):
    for title, check in tool.checks():
        alone = None
        with report.case(f"{tool.bare}: {title}"), project(phase) as made:
            alone = check(made, tool.bare, {})
        for line in tool.lines():
            for mode, variables in programs.MODES.items():
                with report.case(f"{line}: {title}, {mode}"), project(phase) as made:
                    signals, status = check(made, line, variables)
                    if status == tool.other_status and check is not check_crash:
                        status = alone[1]
                    assert (signals, status) == alone, (signals, status, alone)


def start(made, shell, line):
    """Types the line, and waits for the service."""
    shell.until(PROMPT)
    shell.press(f"{line}\n")
    made.service.wait_until_ready()
    if "phase-run" in line:
        check_values(made.service)


def check_values(service):
    seen = service.variables()
    wanted = {**SECRETS, **LINES}
    found = {name: seen.get(name) for name in wanted}
    assert found == wanted, found
    assert not [name for name in seen if name.startswith("PHASE_SERVICE_TOKEN")]


def end(shell):
    """Waits for the end of the line, leaves the shell, and returns the status of the line."""
    shell.until(PROMPT)
    shell.press("exit\n")
    return shell.wait()


def check_crash(made, line, variables):
    with made.shell(variables) as shell:
        start(made, shell, line)
        made.service.crash()
        return [], end(shell)


def check_interrupt(made, line, variables):
    with made.shell(variables) as shell:
        start(made, shell, line)
        shell.press(CTRL_C)
        return made.service.wait_until_stopped(), end(shell)


def check_stop_and_resume(made, line, variables):
    with made.shell(variables) as shell:
        start(made, shell, line)
        shell.press(CTRL_Z)
        shell.until("Stopped")
        shell.until(PROMPT)
        eventually("it is stopped", lambda: fields(made.service.pid)["State"].startswith("T"))
        shell.press("fg\n")
        assert made.service.wait_for_line() == "signal SIGCONT"
        shell.press(CTRL_C)
        return made.service.wait_until_stopped(), end(shell)


def check_hangup(made, line, variables):
    with made.shell(variables) as shell:
        start(made, shell, line)
        shell.hang_up()
        return made.service.wait_until_stopped()[:1], None


def check_outlives_terminal(made, line, variables):
    with made.shell(variables) as shell:
        start(made, shell, f"{line} &")
        shell.hang_up()
        shell.process.wait(timeout=DEADLINE)
        return still_serves(made.service), None


def still_serves(service):
    """Returns the signals up to one that the service can take, and to the one that ends it."""
    os.kill(service.pid, signal.SIGUSR2)
    first = service.wait_for_line()
    os.kill(service.pid, signal.SIGTERM)
    return [first, *service.wait_until_stopped()]


def without_terminal(report, phase):
    report.engine("bash -lc and cron without a terminal", bash_version())
    for mode, variables in programs.MODES.items():
        with report.case(f"an editor's bash -lc is ended by TERM, {mode}"), project(phase) as made:
            # A login shell sets the PATH.
            few = {**made.variables, **variables, "PATH": "/usr/bin:/bin"}
            running = made.start(["bash", "-lc", "phase-run bin/service"], few)
            made.service.wait_until_ready()
            check_values(made.service)
            running.terminate()
            assert made.service.wait_until_stopped() == ["SIGTERM"]
            assert running.wait(timeout=DEADLINE) == 0
        with report.case(f"cron's environment, {mode}"), project(phase) as made:
            crontab = {name: value for name, value in made.variables.items() if name.startswith("PHASE_")}
            few = {**crontab, **variables, "HOME": str(made.home), "LOGNAME": "root", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
            check_crash_without_terminal(made, ["sh", "-c", 'cd project && "$HOME/.local/bin/phase-run" bin/service'], few)
    with report.case("no variable at all"), project(phase) as made:
        options = ["--host", phase.host, "--ca-file", phase.ca_file, "--token-file", phase.token_file]
        options += ["--app", "shop", "--env", ENVIRONMENT, "--path", "/"]
        check_crash_without_terminal(made, [programs.phase_run(), *options, made.service.path], {})


def check_crash_without_terminal(made, command, variables):
    running = made.start(command, variables, made.home)
    made.service.wait_until_ready()
    check_values(made.service)
    made.service.crash()
    assert running.wait(timeout=DEADLINE) == CRASH_STATUS


def tmux(report, phase):
    program = programs.need("tmux", "tmux")
    report.engine("tmux", programs.run(program, "-V").split()[-1])
    for mode, variables in programs.MODES.items():
        def case(title):
            return report.case(f"{title}, {mode}")

        with case("Ctrl-C in a window"), project(phase) as made:
            made.tmux(variables, "new-session", "-d", "phase-run bin/service")
            made.service.wait_until_ready()
            check_values(made.service)
            made.tmux({}, "send-keys", "C-c")
            assert made.service.wait_until_stopped() == ["SIGINT"]
        with case("the end of a session"), project(phase) as made:
            made.tmux(variables, "new-session", "-d", "phase-run bin/service")
            made.service.wait_until_ready()
            made.tmux({}, "kill-session")
            assert made.service.wait_until_stopped()[0] == "SIGHUP"
        with case("a terminal that is closed leaves the session alone"), project(phase) as made:
            with made.shell(variables) as shell:
                start(made, shell, f"{' '.join(TMUX)} new-session 'phase-run bin/service'")
                shell.hang_up()
                shell.process.wait(timeout=DEADLINE)
            assert still_serves(made.service) == ["signal SIGUSR2", "SIGTERM"]
    with report.case("in front of tmux, the secrets do not reach a server that runs already"), project(phase) as made:
        made.tmux({}, "new-session", "-d", "sleep 600")
        made.start(["phase-run", *TMUX, "new-session", "-d", "bin/service"], made.variables).wait(timeout=DEADLINE)
        made.service.wait_until_ready()
        assert "SECRET" not in made.service.variables()
        made.tmux({}, "kill-server")
    with report.case("in front of tmux, the secrets reach every window of a new server"), project(phase) as made:
        made.start(["phase-run", *TMUX, "new-session", "-d", "sleep 600"], made.variables).wait(timeout=DEADLINE)
        made.tmux({}, "new-window", "bin/service")
        made.service.wait_until_ready()
        check_values(made.service)
        made.tmux({}, "kill-server")
