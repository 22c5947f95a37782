"""The results of the cases, and the table of them."""
import contextlib
import os
import time
import traceback


class Report:
    """Collects results, and prints each as it comes."""

    def __init__(self, gate):
        # True if only the cases of the gate are wanted.
        self.gate = gate
        self.engines = []

    def engine(self, name, version):
        """Starts the section of an engine. The cases that follow belong to it."""
        self.engines.append({"name": name, "version": version, "passed": 0, "failed": [], "skipped": []})
        print(f"{name} {version}", flush=True)

    @contextlib.contextmanager
    def case(self, title):
        """Runs the block as a case. An exception fails the case, and the next case runs all the same."""
        started = time.monotonic()
        try:
            yield
        except Exception:
            self.engines[-1]["failed"].append(title)
            print(f"  FAILED {title}\n{traceback.format_exc()}", flush=True)
        else:
            self.engines[-1]["passed"] += 1
            print(f"  ok     {title} ({time.monotonic() - started:.1f} s)", flush=True)

    def skip(self, title, why):
        """Counts a case that cannot run here."""
        self.engines[-1]["skipped"].append(title)
        print(f"  -      {title}: skipped, {why}", flush=True)
        path = os.environ.get("PHASE_RUN_SKIPPED")
        if path:
            with open(path, "a") as file:
                file.write(f"{self.engines[-1]['name']}: {title}: {why}\n")

    def passed(self):
        return sum(engine["passed"] for engine in self.engines)

    def count(self, result):
        """Returns how many cases `failed`, or were `skipped`."""
        return sum(len(engine[result]) for engine in self.engines)

    def table(self):
        """Returns the table of all engines, and the failed cases."""
        lines = ["| engine | version | cases | result |", "| --- | --- | --- | --- |"]
        for engine in self.engines:
            failed, skipped = len(engine["failed"]), len(engine["skipped"])
            cases = engine["passed"] + failed
            result = f"{failed} failed" if failed else "passed"
            if skipped:
                result = f"{result}, {skipped} skipped" if cases else "skipped"
            lines.append(f"| {engine['name']} | {engine['version']} | {cases} | {result} |")
        lines += [f"failed: {engine['name']}: {title}" for engine in self.engines for title in engine["failed"]]
        return "\n".join(lines)
