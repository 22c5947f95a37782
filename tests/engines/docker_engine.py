"""A Docker engine that is started here and stopped at the end."""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import programs
from .processes import DEADLINE


class DockerEngine:
    """Runs the client against an engine of its own. Use it in a `with`.

    The engine has its own directory and socket, and no network: containers use that of the host. An engine
    that this machine runs already is left alone, because it may have other images under the same names.
    """

    def __enter__(self):
        if os.geteuid() != 0:
            raise RuntimeError("only root can start a Docker engine")
        dockerd = programs.need("dockerd", "docker.io")
        # The client beside the engine fits it; another one may come first on the PATH.
        self.client = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else programs.need("docker", "docker-cli")
        leave_root_of_cgroups()
        self.directory = Path(tempfile.mkdtemp(prefix="docker-"))
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{self.directory}/socket"}
        self.daemon = self.start(dockerd)
        try:
            self.wait_until_it_answers()
            self.check_container_runs()
        except BaseException:
            self.stop()
            raise
        self.version = self.docker("version", "--format", "{{.Server.Version}}").strip()
        return self

    def start(self, program):
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        words = [f"--{option}={self.directory}/{name}" for option, name in paths.items()]
        # A containerd that runs already may serve another engine, too.
        words += ["--containerd-namespace=engines", "--containerd-plugins-namespace=engines-plugins"]
        words += ["--iptables=false", "--bridge=none", f"--host={self.environment['DOCKER_HOST']}"]
        with (self.directory / "log").open("wb") as log:
            return subprocess.Popen([program, *words], stdout=log, stderr=log)

    def wait_until_it_answers(self):
        until = time.monotonic() + DEADLINE
        while subprocess.run([self.client, "info"], env=self.environment, capture_output=True).returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > until:
                last = (self.directory / "log").read_text().splitlines()[-5:]
                raise RuntimeError("dockerd does not start: " + "\n".join(last))
            time.sleep(0.1)

    def check_container_runs(self):
        """Checks that the engine can run a container: one that answers may not, for example inside a container."""
        try:
            self.image_from("true", {"/bin/true": programs.busybox()})
            self.docker("run", "--rm", "--network", "host", "true", "/bin/true")
        except AssertionError as error:
            reason = " ".join(str(error).split())
            raise RuntimeError(f"Docker cannot run containers: {reason}") from error

    def __exit__(self, *_):
        containers = self.docker("ps", "--all", "--quiet").split()
        if containers:
            self.docker("rm", "--force", "--volumes", *containers)
        self.stop()

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait(timeout=DEADLINE)
        # The engine leaves the mount of a network namespace.
        for line in Path("/proc/self/mounts").read_text().splitlines():
            mount_point = line.split()[1]
            if mount_point.startswith(f"{self.directory}/"):
                subprocess.run(["umount", mount_point], capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def docker(self, *words, **more):
        """Runs the client. It must succeed; returns what it prints."""
        return programs.run(self.client, *words, env=self.environment, **more)

    def command(self, *words):
        """Returns the words and the environment of a client that the caller starts."""
        return [self.client, *[str(word) for word in words]], self.environment

    def build(self, tag, dockerfile, context, *options, buildkit=False):
        """Builds an image from a Dockerfile, a path, and a directory."""
        words = ["build", "--network", "host", "--tag", tag, "--file", dockerfile, *options, context]
        environment = {**self.environment, "DOCKER_BUILDKIT": str(int(buildkit))}
        programs.run(self.client, *words, env=environment)

    def image_from(self, tag, files, *changes):
        """Makes an image of these files: a map from its paths to files here, or to the text of a script."""
        with tempfile.TemporaryDirectory() as directory:
            directory, first = Path(directory), {}
            # Some storage drivers give the image's root directory the mode of this one.
            directory.chmod(0o755)
            for path, source in files.items():
                target = directory / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, str):
                    target.write_text(source)
                    target.chmod(0o755)
                elif source in first:
                    os.link(first[source], target)
                else:
                    first[source] = shutil.copy(source, target)
            tar = subprocess.Popen(["tar", "-C", directory, "--owner=0", "--group=0", "-c", "."], stdout=subprocess.PIPE)
            changes = [word for change in changes for word in ("--change", change)]
            self.docker("import", *changes, "-", tag, stdin=tar.stdout)
            tar.stdout.close()
            assert tar.wait() == 0


def leave_root_of_cgroups():
    """Moves the processes of a container out of the root of its cgroups.

    An engine in this container could otherwise not limit its own containers: a cgroup hands its controllers
    on only if it has no processes (cgroups(7)). The root of the whole machine is an exception, and has no
    cgroup.type.
    """
    root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.type").exists():
        return
    leaf = root / "leaf"
    leaf.mkdir(exist_ok=True)
    for pid in (root / "cgroup.procs").read_text().split():
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            (leaf / "cgroup.procs").write_text(pid)
    for controller in (root / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
