"""musl: the integration tests with a static binary that has this C library."""
import platform
import re

from . import programs, suite

TARGET = "x86_64-unknown-linux-musl"
# zig brings the source of musl.
VERSION = programs.BUILT / "check-targets/tools/python/ziglang/lib/libc/musl/src/internal/version.h"


def run(report):
    if platform.machine() != "x86_64":
        raise RuntimeError("scripts/cross-build needs x86_64")
    binary = programs.cross_build(TARGET)
    report.engine("musl", re.search('"(.+)"', VERSION.read_text())[1])
    suite.run(report, binary, {})
