"""The integration tests, compiled for this machine, with another phase-run under test."""
import json
import os
import re
import subprocess
import tempfile

from . import programs

LOGS = programs.TARGET / "engines"


def run(report, binary, skipped_tests):
    """Runs the tests as one case. `skipped_tests` maps the names of those that cannot pass to the reason."""
    program = test_program()
    names = set(re.findall("^(.*): test$", programs.run(program, "--list"), re.MULTILINE))
    programs.need("strace", "strace")
    for name, why in skipped_tests.items():
        report.skip(name, why)
    expected = names - set(skipped_tests)
    with report.case(f"the integration tests: {len(expected)}"), tempfile.NamedTemporaryFile("r") as skipped:
        assert set(skipped_tests) <= names, f"no such tests: {set(skipped_tests) - names}"
        log = LOGS / f"suite-{binary.parent.name}.log"
        environment = {**os.environ, "PHASE_RUN_BIN": str(binary), "PHASE_RUN_STATIC": str(binary), "PHASE_RUN_SKIPPED": skipped.name}
        # The reasons of skipped tests are reported below.
        environment.pop("PHASE_RUN_NO_SKIP", None)
        words = [program, "--exact", *[word for name in skipped_tests for word in ("--skip", name)]]
        with log.open("w") as output:
            subprocess.run(words, cwd=programs.ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)
        for line in skipped:
            report.skip(*line.rstrip("\n").split(": ", 1))
        results = dict(re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (\S+)$", log.read_text(errors="replace"), re.MULTILINE))
        failed = sorted(name for name in expected if results.get(name) != "ok")
        assert not failed, "\n".join([f"see {log}", *failed])


def test_program():
    """Compiles the tests, and returns the path of their program."""
    command = ["cargo", "test", "--quiet", "--locked", "--package", "phase-run", "--test", "main", "--no-run", "--message-format=json"]
    messages = [json.loads(line) for line in programs.run(*command, cwd=programs.ROOT).splitlines()]
    return next(message["executable"] for message in messages if message.get("executable") and message["target"]["name"] == "main")
