"""systemd: `examples/shop.service` itself, with drop-ins as a user would write them."""
import hashlib
import stat
import time
from pathlib import Path

from . import programs
from .docker_engine import DockerEngine
from .fake_phase import FakePhase
from .processes import eventually
from .systemd_container import Systemd

# systemd of Debian 12 and 13.
SUITES = ["bookworm", "trixie"]
FIRST, SECOND, KEY = "canary of the unit", "changed canary of the unit", "canary of a file"
EXEC = []
SUPERVISED = ["Environment=PHASE_SUPERVISE=1", "KillMode=mixed", "NotifyAccess=all"]
WATCHING = ["Environment=PHASE_WATCH=1", "KillMode=mixed", "NotifyAccess=all"]
NOTIFY = ["Type=notify", "ExecReload=kill -HUP $MAINPID"]
# What `systemd-analyze security` asks for.
HARDENING = [
    "SystemCallFilter=@system-service", "SystemCallArchitectures=native", "MemoryDenyWriteExecute=yes",
    "LockPersonality=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictNamespaces=yes",
    "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "ProtectSystem=strict", "ProtectProc=invisible", "ProcSubset=pid",
    "ProtectControlGroups=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes",
    "ProtectClock=yes", "ProtectHostname=yes", "PrivateTmp=yes", "CapabilityBoundingSet=", "UMask=0077",
]
EXEC_START_WITH_FILE = "ExecStart=/usr/bin/phase-run --app shop --env Production --file KEY=KEY_FILE -- /usr/bin/shopd"
# The ranges of dynamic users (systemd.exec(5)).
DYNAMIC_USERS = range(61184, 65520)


def run(report):
    for suite in SUITES:
        with DockerEngine() as engine, FakePhase() as phase, Systemd(engine, suite) as systemd:
            report.engine(f"systemd (Debian {suite})", systemd.version)
            Cases(report, phase, systemd).run()


def digest(value):
    return hashlib.sha256(value.encode()).hexdigest()


class Cases:
    def __init__(self, report, phase, systemd):
        self.report, self.phase, self.systemd = report, phase, systemd
        self.tokens = {phase.token}
        phase.tell("clear", "Production")
        phase.tell("set", "SECRET", FIRST, "Production")
        phase.tell("set", "KEY", KEY, "Production")
        systemd.copy(programs.phase_run(), "/usr/bin/phase-run")
        systemd.copy(Path(__file__).parent / "shopd.py", "/usr/bin/shopd")
        systemd.copy(programs.ROOT / "examples/shop.service", "/etc/systemd/system/shop.service", 0o644)
        systemd.copy(phase.ca_file, "/etc/phase/ca.pem", 0o444)
        self.copy_token()
        server = f"[Service]\nEnvironment=PHASE_HOST={phase.host} PHASE_CA_FILE=/etc/phase/ca.pem\n"
        directory = systemd.root / "etc/systemd/system/shop.service.d"
        directory.mkdir()
        (directory / "server.conf").write_text(server)
        (systemd.root / "etc/systemd/system/shop.socket").write_text("[Socket]\nListenStream=/run/shop.sock\n")

    def copy_token(self):
        self.systemd.copy(self.phase.token_file, "/etc/phase/token", 0o600)

    def run(self):
        self.unit_as_it_is()
        for name, mode in (("exec", EXEC), ("--supervise", SUPERVISED), ("--watch", WATCHING)):
            self.notify_and_sockets(name, mode)
            self.watchdog_and_crash(name, mode)
            self.stop_during_fetch(name, mode)
            self.hardened(name, mode)
        self.changed_secret()
        self.kill_modes()
        self.without_notify_access()
        self.rotated_token()
        self.outage()
        self.outage_without_snapshot()
        self.mistake()
        self.secrecy()

    def prepare(self, *lines):
        """Stops the service and gives it this drop-in. Returns the position in the journal."""
        self.systemd.inside("systemctl", "stop", "shop.socket", "shop.service")
        self.systemd.try_inside("systemctl", "reset-failed", "shop.service")
        self.systemd.drop_in("shop.service", "[Service]", *lines)
        return self.systemd.mark()

    def show(self, name):
        return self.systemd.show("shop.service", name)

    def start(self):
        self.systemd.inside("systemctl", "start", "shop.service")

    def stop(self):
        """Stops the service, and checks that it ended by itself and well."""
        self.systemd.inside("systemctl", "stop", "shop.service")
        assert self.show("Result") == "success", self.show("Result")
        assert self.show("ActiveState") == "inactive"

    def signal(self, name):
        self.systemd.inside("systemctl", "kill", "--kill-whom=main", f"--signal={name}", "shop.service")

    def snapshot(self):
        """Returns what is known of the snapshot's file. Dynamic users have their directories in `private`."""
        return self.systemd.root / "var/cache/private/shop/secrets"

    def unit_as_it_is(self):
        with self.report.case("the unit as it is: main process, credential, dynamic user, snapshot"):
            mark = self.prepare()
            self.start()
            found = self.systemd.wait_for_event(mark, "started")
            assert found["secret"] == digest(FIRST)
            assert str(found["pid"]) == self.show("MainPID") and found["parent"] == 1
            assert found["user"] in DYNAMIC_USERS, found
            assert not found["has_token"] and found["reads_credential"]
            file, directory = self.snapshot().stat(), self.snapshot().parent.stat()
            assert (file.st_uid, stat.S_IMODE(file.st_mode)) == (found["user"], 0o600)
            assert (directory.st_uid, stat.S_IMODE(directory.st_mode)) == (found["user"], 0o700)
        with self.report.case("the unit as it is: stop reaches the server and its worker once"):
            self.stop()
            assert self.systemd.wait_for_event(mark, "stopped")["stops"] == 1
            self.systemd.wait_for_event(mark, "worker stops")

    def notify_and_sockets(self, name, mode):
        with self.report.case(f"{name}: Type=notify, socket activation, WatchdogSec=, reload by HUP, stop"):
            mark = self.prepare(*mode, *NOTIFY, "WatchdogSec=30")
            self.systemd.inside("systemctl", "start", "shop.socket")
            found = self.systemd.ask("/run/shop.sock")
            assert found["secret"] == digest(FIRST)
            assert found["sockets"] == 1 and found["watchdog"] == 30_000_000, found
            main = int(self.show("MainPID"))
            assert main == (found["pid"] if mode is EXEC else found["parent"]), (main, found)
            assert self.show("ActiveState") == "active"
            self.systemd.inside("systemctl", "reload", "shop.service")
            self.systemd.wait_for_event(mark, "reloaded")
            assert self.systemd.ask("/run/shop.sock")["pid"] == found["pid"]
            self.stop()
            assert self.systemd.wait_for_event(mark, "stopped")["stops"] == 1

    def watchdog_and_crash(self, name, mode):
        with self.report.case(f"{name}: a server that hangs, and one that crashes, are restarted"):
            mark = self.prepare(*mode, *NOTIFY, "WatchdogSec=2")
            self.start()
            first = self.systemd.wait_for_event(mark, "started")
            mark = self.systemd.mark()
            self.signal("USR1")
            self.systemd.wait_for_event(mark, "hangs")
            self.systemd.wait_for_message(mark, "Failed with result 'watchdog'")
            second = self.systemd.wait_for_event(mark, "started")
            assert second["pid"] != first["pid"]
            mark = self.systemd.mark()
            self.signal("SEGV")
            self.systemd.wait_for_message(mark, "status=11/SEGV")
            self.systemd.wait_for_event(mark, "started")
            self.stop()

    def stop_during_fetch(self, name, mode):
        with self.report.case(f"{name}: stop during the fetch"):
            self.prepare(*mode, *NOTIFY)
            self.phase.tell("down")
            try:
                self.systemd.inside("systemctl", "start", "--no-block", "shop.service")
                eventually("there is a main process", lambda: self.show("MainPID") != "0")
                self.stop()
            finally:
                self.phase.tell("up")

    def hardened(self, name, mode):
        with self.report.case(f"{name}: a hardened unit, with a secret as a file"):
            mark = self.prepare(*mode, *NOTIFY, *HARDENING, "ExecStart=", EXEC_START_WITH_FILE)
            self.start()
            found = self.systemd.wait_for_event(mark, "started")
            assert found["secret"] == digest(FIRST) and found["reads_key_file"], found
            self.stop()

    def changed_secret(self):
        with self.report.case("--watch: a changed secret restarts the server, and the service stays active"):
            mark = self.prepare(*WATCHING, *NOTIFY, "WatchdogSec=30")
            self.systemd.inside("systemctl", "start", "shop.socket", "shop.service")
            first, main = self.systemd.wait_for_event(mark, "started"), self.show("MainPID")
            mark = self.systemd.mark()
            self.phase.tell("set", "SECRET", SECOND, "Production")
            second = self.systemd.wait_for_event(mark, "started")
            assert (first["secret"], second["secret"]) == (digest(FIRST), digest(SECOND))
            found = self.systemd.ask("/run/shop.sock")
            assert found == {name: second[name] for name in found} and found["pid"] != first["pid"]
            assert (self.show("MainPID"), self.show("NRestarts")) == (main, "0")
            eventually("the service is active again", lambda: self.show("ActiveState") == "active")
            self.systemd.inside("systemctl", "reload", "shop.service")
            self.systemd.wait_for_event(mark, "reloaded")
            self.stop()
            self.phase.tell("set", "SECRET", FIRST, "Production")

    def kill_modes(self):
        with self.report.case("--supervise with the default KillMode: stop ends well"):
            mark = self.prepare(*SUPERVISED, "KillMode=control-group")
            self.start()
            self.systemd.wait_for_event(mark, "started")
            self.stop()
            # The second signal may arrive while the first is pending.
            assert self.systemd.wait_for_event(mark, "stopped")["stops"] in (1, 2)
            self.systemd.wait_for_event(mark, "worker stops")

    def without_notify_access(self):
        with self.report.case("--supervise without NotifyAccess=all: the service never becomes active, as the documents say"):
            mark = self.prepare("Environment=PHASE_SUPERVISE=1", *NOTIFY, "TimeoutStartSec=2", "Restart=no")
            status, _ = self.systemd.try_inside("systemctl", "start", "shop.service")
            assert status == 1 and self.show("Result") == "timeout"
            self.systemd.wait_for_event(mark, "started")

    def rotated_token(self):
        with self.report.case("a new token in /etc/phase/token is used after a restart"):
            mark = self.prepare()
            self.start()
            self.systemd.wait_for_event(mark, "started")
            self.phase.tell("rotate")
            self.tokens.add(self.phase.token_file.read_text().strip())
            self.copy_token()
            mark = self.systemd.mark()
            self.systemd.inside("systemctl", "restart", "shop.service")
            assert self.systemd.wait_for_event(mark, "started")["secret"] == digest(FIRST)

    def outage(self):
        with self.report.case("an outage: the snapshot starts the server, also after the dynamic user has changed"):
            mark = self.prepare()
            self.start()
            user = self.systemd.wait_for_event(mark, "started")["user"]
            self.phase.tell("down")
            try:
                for changes in (False, True):
                    mark = self.prepare("Environment=PHASE_MAX_WAIT=1")
                    if changes:
                        # Another service takes the user that owns the directory.
                        properties = ["--property=DynamicUser=yes", "--property=CacheDirectory=shop"]
                        self.systemd.inside("systemd-run", "--unit=other", *properties, "sleep", "infinity")
                    self.start()
                    found = self.systemd.wait_for_event(mark, "started")
                    assert found["secret"] == digest(FIRST)
                    assert (found["user"] != user) == changes, (found, user)
                    self.systemd.wait_for_message(mark, "using the snapshot /var/cache/shop/secrets")
                self.systemd.inside("systemctl", "stop", "other.service")
            finally:
                self.phase.tell("up")

    def outage_without_snapshot(self):
        with self.report.case("an outage without a snapshot: an attempt takes --max-wait, 30 seconds"):
            mark = self.prepare()
            self.snapshot().unlink()
            self.phase.tell("down")
            try:
                started = time.monotonic()
                self.start()
                self.systemd.wait_for_message(mark, "phase-run: error[unreachable]")
                assert time.monotonic() - started > 25
                self.systemd.wait_for_message(mark, "status=125")
            finally:
                self.phase.tell("up")

    def mistake(self):
        with self.report.case("a mistake: five attempts, then the unit has failed"):
            (self.systemd.root / "etc/phase/token").write_text("pss_service:v2:mistyped")
            mark = self.prepare()
            self.start()
            self.systemd.wait_for_message(mark, "Start request repeated too quickly")
            log = self.systemd.messages(mark)
            assert sum("phase-run: error[" in line for line in log) == 5, log
            assert self.show("ActiveState") == "failed"
            self.copy_token()

    def secrecy(self):
        with self.report.case("no value and no token in the journal, nor in what systemctl shows"):
            shown = self.systemd.inside("journalctl", "--output=export")
            shown += self.systemd.inside("systemctl", "show", "shop.service")
            shown += self.systemd.try_inside("systemctl", "status", "--full", "shop.service")[1]
            assert "shopd" in shown
            for secret in [FIRST, SECOND, KEY, *self.tokens]:
                assert secret not in shown
