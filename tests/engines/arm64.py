"""arm64: the static binary for that machine, in containers with nothing else and in the integration tests."""
import platform
import tempfile
from pathlib import Path

from . import programs, suite
from .container import Container
from .docker_engine import DockerEngine
from .docker_shop import Shop
from .emulator import Emulator
from .fake_phase import FakePhase
from .processes import arguments, children, eventually, only_child, variables

TARGET = "aarch64-unknown-linux-gnu"
# What qemu breaks, by reason.
BROKEN = {
    "qemu takes a fault signal of another process, such as ILL, for its own fault": [
        "forwarding::each_signal_is_forwarded_once",
        "forwarding::queued_signal_keeps_its_value",
        "forwarding::signal_from_command_is_not_sent_back",
        "supervise_pid1::death_of_command_of_pid1_is_128_plus_n",
        "supervise_transparency::core_dump_of_command_is_the_only_one",
        "supervise_transparency::death_by_signal_is_propagated",
        "watch_signals::signals_are_forwarded_while_poll_hangs",
    ],
    "qemu has other numbers for the real-time signals of the machine": [
        "watch_cleanup::command_that_ignores_stop_is_killed_after_grace",
        "watch_signals::death_by_signal_32_ends_watch",
    ],
    "qemu catches signals that are ignored or end a program": [
        "exec_transparency::signal_dispositions_and_mask_are_unchanged",
        "pid1::ignored_signal_stays_ignored_in_fetch_of_pid1",
        "supervise_signals_during_fetch::signal_during_fetch_as_pid1_exits_128_plus_n",
    ],
    "qemu prints a line when QUIT ends a program": [
        "pid1::signal_during_fetch_kills_process_that_is_not_pid1",
        "signals_during_fetch::signal_during_fetch_kills_phase_run",
        "supervise_signals_during_fetch::signal_during_fetch_kills_both_processes",
        "terminal::ctrl_backslash_leaves_no_core_of_phase_run",
    ],
    "qemu has a thread of its own": [
        "early_connection::second_host_is_connected_while_first_responds",
        "name_resolution::retries_start_no_further_client",
        "session_leader::ctrl_c_and_hangup_end_command_of_pid1",
        "session_leader::ctrl_z_without_shell_is_discarded",
        "session_leader::outside_signal_to_pid1_with_terminal_arrives_once",
        "session_leader::stop_of_command_does_not_stop_session_leader",
        "session_leader::terminal_key_of_session_leader_arrives_once",
        "unexpected_responses::lookup_without_thread_is_unreachable",
        "usage::supervise_fork_failure_exits_125",
    ],
    "qemu makes system calls and writes files of its own": [
        "dry_run::dry_run_starts_nothing_and_creates_no_file",
        "messages::json_messages_match_text_messages",
        "messages::messages_match_their_files",
        "secret_files::low_file_size_limit_is_an_error",
        "snapshot_file_safety::unwritable_snapshot_only_warns",
        "snapshot_model::trace::program_makes_the_calls_of_the_model",
        "snapshot_model::trace::program_makes_the_calls_of_the_model_for_locks",
    ],
    "qemu needs memory of its own": [
        "exec_transparency::resource_limits_are_unchanged",
        "malformed_responses::lack_of_memory_for_encrypted_value_is_an_error",
        "malformed_responses::lack_of_memory_is_an_error",
        "malformed_responses::peak_memory_stays_bounded",
        "supervisor_process::supervisor_uses_at_most_one_mebibyte",
    ],
    "qemu keeps a copy of the initial variables": [
        "secrecy::tokens_are_wiped_in_initial_environment",
        "supervisor_process::supervisor_holds_no_secret_and_no_token",
        "watch_secrecy::watcher_holds_no_secret_and_no_token",
    ],
    "qemu drops variables without =": [
        "env_block::unusual_inherited_entries_are_unchanged",
    ],
    "/proc shows qemu as the program": [
        "pid1::termination_signal_before_main_ends_pid1",
        "secrecy::no_process_has_token_in_arguments",
    ],
    "its limits on time are too short for qemu": [
        "malformed_responses::malformed_responses_are_errors",
        "retries::max_wait_bounds_tries_and_delays",
        "retries::transient_failures_are_retried_and_logged",
    ],
}
SKIPPED = {name: why for why, names in BROKEN.items() for name in names}


def run(report):
    if platform.machine() != "x86_64":
        raise RuntimeError("scripts/cross-build needs x86_64; on arm64, scripts/test needs no emulator")
    programs.install("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
    binary = programs.cross_build(TARGET)
    with Emulator() as emulator:
        report.engine("arm64 (qemu)", emulator.version)
        with DockerEngine() as engine, FakePhase() as phase, tempfile.TemporaryDirectory() as directory:
            engine.image_from("arm64", {"/phase-run": binary, "/server": programs.server("aarch64-linux-gnu-gcc")})
            containers(report, Shop(engine, phase, Path(directory)))
        suite.run(report, binary, SKIPPED)


def containers(report, shop):
    """Runs each mode in an image that has a program for arm64 and phase-run, and no other file."""
    with report.case("the command is PID 1, has the secret and no token, and gets TERM itself"):
        with started(shop) as container:
            assert container.wait_until_ready() == 1
            check_server(shop, container.pid())
            container.stop()
            container.check_end(["signal 15"], 0)
    with report.case("--supervise forwards each signal once, and exits as the command exits"):
        with started(shop, "--supervise") as container:
            assert container.wait_until_ready() > 1
            check_server(shop, only_child(container.pid()))
            container.signal("USR1")
            assert container.wait_for_line() == "signal 10"
            container.stop()
            container.check_end(["signal 15"], 0)
    with report.case("--supervise as PID 1 exits with 128+N after a death by signal N"):
        with started(shop, "--supervise") as container:
            container.wait_until_ready()
            programs.run("kill", "-KILL", only_child(container.pid()))
            container.check_end([], 137)
    with report.case("--watch restarts the command with a changed secret"):
        with started(shop, "--watch", "1") as container:
            container.wait_until_ready()
            shop.phase.tell("set", "SECRET", "another value", "Production")
            eventually("the server has the new value", lambda: has_server(container.pid(), "another value"))
            container.stop()
            first, _, last, message = container.wait_for_rest()
            assert (first, last) == ("signal 15", "signal 15")
            assert message == "phase-run: the secrets have changed: restarting the command"
            container.check_end([], 0)
        shop.phase.tell("set", "SECRET", shop.secret, "Production")


def started(shop, *options):
    """Starts the server with phase-run and these options."""
    chosen = ["--env", f"PHASE_APP={shop.phase.app_id}", "--env", "PHASE_ENV=Production"]
    return Container(shop.engine, *shop.reach(), *chosen, "arm64", "/phase-run", *options, "--", "/server")


def has_server(supervisor, value):
    """Returns whether a child of the supervisor is the server, and has this value. A poll is a child, too."""
    return any("/server" in arguments(pid) and variables(pid).get("SECRET") == value for pid in children(supervisor))


def check_server(shop, pid):
    given = variables(pid)
    assert given["SECRET"] == shop.secret
    assert not [name for name in given if name.startswith("PHASE_SERVICE_TOKEN")], given
