"""qemu, which runs programs for arm64 on this machine."""
import os
import platform
import re
from pathlib import Path

from . import programs

BINFMT = Path("/proc/sys/fs/binfmt_misc")
ENTRY = BINFMT / "phase-run-arm64"
# The start of an executable for arm64 (elf(5), EM_AARCH64). The mask leaves out the ABI's version and the
# last bit of the type, which tells a position-independent one.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


class Emulator:
    """Lets the kernel run programs for arm64 with qemu, in containers and other roots too. Use it in a `with`."""

    def __enter__(self):
        if os.geteuid() != 0:
            raise RuntimeError("only root can register qemu for arm64")
        qemu = fetch()
        self.version = re.search(r"version (\S+)", programs.run(qemu, "--version"))[1]
        self.mounted = not (BINFMT / "register").exists()
        if self.mounted:
            programs.run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
        # One that was left behind by a run that was killed.
        if ENTRY.exists():
            ENTRY.write_text("-1")
        # P passes argv[0] on. With F, the kernel opens qemu now, and needs its path no more.
        (BINFMT / "register").write_text(f":{ENTRY.name}:M::{MAGIC}:{MASK}:{qemu}:PF")
        return self

    def __exit__(self, *_):
        ENTRY.write_text("-1")
        if self.mounted:
            programs.run("umount", BINFMT)


def fetch():
    """Returns the path of qemu 8 or later, which Debian 12 has in its backports.

    qemu 7.2 starts programs with the variables in reverse order, and without the ignored signals.
    """
    directory = programs.TARGET / "engines/qemu"
    program = directory / "usr/bin/qemu-aarch64"
    if not program.exists():
        lists, source = directory / "lists", directory / "sources.list"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        target = [f"Codename: {release}", "Component: main", "Created-By: Packages"]
        site = programs.run("apt-get", "indextargets", "--format", "$(SITE)", *target).split()[0]
        source.write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {site} {release}-backports main\n")
        options = {"Dir::Etc::SourceList": source, "Dir::Etc::SourceParts": "-", "Debug::NoLocking": 1}
        options |= {"Dir::State::Lists": lists, "Dir::Cache": directory}
        apt = ["apt-get", "-qq", *[word for name, value in options.items() for word in ("-o", f"{name}={value}")]]
        programs.run(*apt, "update")
        programs.run(*apt, "download", "qemu-user", cwd=directory)
        programs.run("dpkg", "--extract", *directory.glob("qemu-user_*.deb"), directory)
    return program
