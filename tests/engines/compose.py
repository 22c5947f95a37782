"""Compose: `examples/compose.yaml` and `examples/postgres.compose.yaml` themselves, with an override file."""
import json
import shutil
import socket
import tempfile
from pathlib import Path

from . import debian, programs, stand_ins
from .docker_engine import DockerEngine
from .fake_phase import FakePhase
from .processes import arguments, eventually, fields, only_child, variables
from .stand_ins import USER

VALUES = [f"canary number {number} of Compose" for number in range(4)]
PASSWORD = "canary of a password"

# What matters of the entrypoint of the official image: root reads the file, and the server is another user.
ENTRYPOINT = """#!/bin/bash -eu
if [ -n "${POSTGRES_PASSWORD_FILE-}" ]; then
	POSTGRES_PASSWORD=$(<"$POSTGRES_PASSWORD_FILE")
	export POSTGRES_PASSWORD
	unset POSTGRES_PASSWORD_FILE
fi
if [ "$(id -u)" = 0 ]; then
	chown postgres "$PGDATA" /var/run/postgresql
	exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
[ -s "$PGDATA/PG_VERSION" ] || initdb --username=postgres --auth=scram-sha-256 --pwfile=<(printf '%s\\n' "$POSTGRES_PASSWORD")
exec "$@"
"""
POSTGRES = """FROM debian-postgresql
COPY docker-entrypoint.sh /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/lib/postgresql/17/bin PGDATA=/var/lib/postgresql/data
RUN mkdir -p /var/run/postgresql "$PGDATA"
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
STOPSIGNAL SIGINT
"""


def run(report):
    program = programs.need("docker-compose")
    version = programs.run(program, "version", "--short").strip()
    with DockerEngine() as engine, FakePhase() as phase, tempfile.TemporaryDirectory() as directory:
        report.engine("Compose", version)
        phase.tell("clear", "Production")
        phase.tell("set", "SECRET", VALUES[0], "Production")
        phase.tell("set", "POSTGRES_PASSWORD", PASSWORD, "Production", "/db")
        directory = Path(directory)
        stand_ins.make_images(engine)
        stand_ins.fill_context(directory, phase)
        engine.build("shop", directory / "Dockerfile.scratch", directory)
        Web(report, phase, Compose(engine, phase, program, directory, "compose.yaml", "web")).run()
        postgres_image(engine, directory)
        Postgres(report, phase, Compose(engine, phase, program, directory, "postgres.compose.yaml", "db")).run()


def postgres_image(engine, directory):
    with debian.root("trixie", "postgresql-17").open("rb") as archive:
        engine.docker("import", "-", "debian-postgresql", stdin=archive)
    context = directory / "postgres"
    context.mkdir()
    (context / "docker-entrypoint.sh").write_text(ENTRYPOINT)
    (context / "docker-entrypoint.sh").chmod(0o755)
    (context / "Dockerfile").write_text(POSTGRES)
    engine.build("postgres:17", context / "Dockerfile", context)


class Compose:
    """A project with one service, from a file of `examples/` and an override file beside it."""

    def __init__(self, engine, phase, program, directory, file, service):
        self.engine, self.phase, self.program, self.directory, self.file, self.service = engine, phase, program, directory, file, service
        shutil.copy(stand_ins.EXAMPLES / file, directory)
        self.override()

    def override(self, variables=None, **settings):
        """Writes the override file: how to reach the fake Phase, and these settings of the service."""
        reach = {"PHASE_HOST": self.phase.host, "PHASE_CA_FILE": "/ca.pem", "PHASE_MAX_WAIT": "2"}
        volumes = [f"{self.phase.ca_file}:/ca.pem:ro", *settings.pop("volumes", [])]
        service = {"network_mode": "host", "environment": {**reach, **(variables or {})}, "volumes": volumes, **settings}
        # JSON is YAML, too.
        (self.directory / "override.yaml").write_text(json.dumps({"services": {self.service: service}}))

    def __call__(self, *words):
        """Runs docker-compose, which must succeed; returns what it prints."""
        files = ["--file", self.file, "--file", "override.yaml", "--project-name", f"project-{self.service}"]
        return programs.run(self.program, *files, *words, cwd=self.directory, env=self.engine.environment)

    def container(self):
        return self("ps", "--quiet", self.service).strip()

    def state(self, name):
        return self.engine.docker("inspect", "--format", "{{%s}}" % name, self.container()).strip()

    def pid(self):
        return int(self.state(".State.Pid"))

    def logs(self):
        return self("logs", "--no-color", self.service)

    def wait_for_log(self, text, count=1):
        """Waits until the log contains the text this many times."""
        return eventually(f"{text} in the log", lambda: self.logs().count(text) >= count)

    def stop(self):
        """Stops the service, and returns the status of its container. 137 means that Docker killed it after 10 seconds."""
        self("stop")
        return int(self.state(".State.ExitCode"))

    def everything_shown(self):
        """Returns what the logs and the engine show."""
        return self.logs() + self.engine.docker("inspect", self.container()) + self("config") + self("ps")


class Web:
    def __init__(self, report, phase, compose):
        self.report, self.phase, self.compose = report, phase, compose
        self.tokens = {phase.token}
        self.shown = ""

    def run(self):
        self.up()
        self.restarts()
        self.outage()
        self.token()
        self.stop_without_handler()
        self.watch()
        self.secrecy()
        self.compose("down", "--volumes")

    def put_token(self):
        """Replaces the token as the comment of the file says, and as rename(2) does it."""
        directory = self.compose.directory / "phase"
        directory.mkdir(exist_ok=True)
        programs.run("install", "-m", "400", "-o", USER, self.phase.token_file, directory / "new")
        (directory / "new").rename(directory / "token")

    def rotate(self):
        self.phase.tell("rotate")
        self.tokens.add(self.phase.token_file.read_text().strip())
        self.put_token()

    def check_server(self, pid, value):
        assert arguments(pid) == ["/shop"], arguments(pid)
        assert fields(pid)["Uid"].split() == [str(USER)] * 4
        given = variables(pid)
        assert given["SECRET"] == value
        assert "PHASE_SERVICE_TOKEN" not in given

    def up(self):
        with self.report.case("up, logs, stop: the server is PID 1 with its secrets, and ends with 0"):
            self.put_token()
            self.compose("up", "--detach")
            self.compose.wait_for_log("ready 1")
            self.check_server(self.compose.pid(), VALUES[0])
            assert self.compose.state(".HostConfig.ReadonlyRootfs") == "true"
            assert self.compose.stop() == 0
            assert "signal 15" in self.compose.logs()

    def restarts(self):
        with self.report.case("start, restart, and the restart policy fetch again"):
            self.phase.tell("set", "SECRET", VALUES[1], "Production")
            self.compose("start")
            self.compose.wait_for_log("ready 1", 2)
            self.check_server(self.compose.pid(), VALUES[1])
            self.phase.tell("set", "SECRET", VALUES[2], "Production")
            self.compose("restart")
            self.compose.wait_for_log("ready 1", 3)
            self.check_server(self.compose.pid(), VALUES[2])
            programs.run("kill", "-KILL", self.compose.pid())
            self.compose.wait_for_log("ready 1", 4)
            assert self.compose.state(".RestartCount") == "1"
            self.check_server(self.compose.pid(), VALUES[2])

    def outage(self):
        with self.report.case("a restart during an outage uses the snapshot on the volume"):
            self.phase.tell("down")
            try:
                self.compose("restart")
                self.compose.wait_for_log("ready 1", 5)
                assert "using the snapshot /var/cache/phase/secrets" in self.compose.logs()
                self.check_server(self.compose.pid(), VALUES[2])
            finally:
                self.phase.tell("up")

    def token(self):
        with self.report.case("a replaced token file is used after a restart"):
            self.rotate()
            self.compose("restart")
            self.compose.wait_for_log("ready 1", 6)
            self.check_server(self.compose.pid(), VALUES[2])
            assert self.compose.logs().count("using the snapshot") == 1
            self.shown += self.compose.everything_shown()

    def stop_without_handler(self):
        with self.report.case("PHASE_SUPERVISE=1: a command without a handler for TERM stops at once, with 143"):
            mount = [f"{programs.inspector()}:/inspector:ro"]
            self.compose.override({"PHASE_SUPERVISE": "1"}, command=["/inspector", "sleep"], volumes=mount)
            self.compose("up", "--detach")
            self.compose.wait_for_log("ready")
            assert self.compose.stop() == 143
            self.shown += self.compose.everything_shown()

    def watch(self):
        with self.report.case("PHASE_WATCH with pids_limit 6: a changed secret restarts the server, the container keeps running"):
            self.compose.override({"PHASE_WATCH": "1"}, pids_limit=6)
            self.compose("up", "--detach")
            self.compose.wait_for_log("ready")
            main, started = self.compose.pid(), self.compose.state(".State.StartedAt")
            self.check_server(only_child(main), VALUES[2])
            self.phase.tell("set", "SECRET", VALUES[3], "Production")
            self.compose.wait_for_log("ready", 2)
            self.check_server(only_child(main), VALUES[3])
            # Every poll got the processes and threads that it needs.
            assert "warning" not in self.compose.logs()
        with self.report.case("PHASE_WATCH: a replaced token is used for the next poll, and stop ends with 0"):
            self.rotate()
            self.phase.tell("set", "SECRET", VALUES[0], "Production")
            self.compose.wait_for_log("ready", 3)
            self.check_server(only_child(main), VALUES[0])
            assert (self.compose.pid(), self.compose.state(".State.StartedAt"), self.compose.state(".RestartCount")) == (main, started, "0")
            assert self.compose.stop() == 0
            self.shown += self.compose.everything_shown()

    def secrecy(self):
        with self.report.case("no value and no token in logs, config, ps and inspect"):
            assert "ready 1" in self.shown and "PHASE_APP" in self.shown
            for secret in [*VALUES, *self.tokens]:
                assert secret not in self.shown


class Postgres:
    def __init__(self, report, phase, compose):
        self.report, self.phase, self.compose = report, phase, compose
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def log_in(self, password):
        """Logs in over TCP, and returns what the server answers."""
        psql = ["psql", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-tA", "-c", "SELECT 6 * 7"]
        environment = {**self.compose.engine.environment, "PGPASSWORD": password}
        return programs.run(self.compose.engine.client, "exec", "--env", "PGPASSWORD", self.compose.container(), *psql, env=environment)

    def run(self):
        shutil.copy(self.phase.token_file, self.compose.directory / "phase-token")
        self.compose.override({"PGPORT": self.port})
        ready = "database system is ready to accept connections"
        with self.report.case("postgres: the password of the file is that of the database, over TCP"):
            self.compose("up", "--detach")
            self.compose.wait_for_log(ready)
            assert self.log_in(PASSWORD) == "42\n"
            try:
                self.log_in("another")
            except AssertionError as error:
                assert "password authentication failed" in str(error), error
            else:
                raise AssertionError("any password is accepted")
            given = variables(self.compose.pid())
            assert arguments(self.compose.pid())[0].endswith("postgres") and "SECRET" not in given
        with self.report.case("postgres: restart keeps the database, and stop ends with 0"):
            self.compose("restart")
            self.compose.wait_for_log(ready, 2)
            assert self.log_in(PASSWORD) == "42\n"
            assert self.compose.stop() == 0
        with self.report.case("postgres: no value and no token in logs, config, ps and inspect"):
            shown = self.compose.everything_shown()
            assert ready in shown
            for secret in (PASSWORD, self.phase.token_file.read_text().strip()):
                assert secret not in shown
        with self.report.case("postgres with PHASE_WATCH: a replaced Compose secret is not seen, and a warning says so"):
            self.compose.override({"PGPORT": self.port, "PHASE_WATCH": "1"})
            self.compose("up", "--detach")
            self.compose.wait_for_log(ready)
            programs.run("install", "-m", "400", self.phase.token_file, self.compose.directory / "new")
            (self.compose.directory / "new").rename(self.compose.directory / "phase-token")
            self.compose.wait_for_log("was replaced or removed outside of this container")
            assert self.compose.stop() == 0
        self.compose("down", "--volumes")
