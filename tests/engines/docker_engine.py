"""A Docker engine: one that runs already, or one that is started here and stopped at the end."""
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import programs


class DockerEngine:
    """Runs the client against the engine. Use it in a `with`.

    An engine that is started here has its own directory and socket, and no network: containers use
    that of the host.
    """

    def __enter__(self):
        self.environment = dict(os.environ)
        self.client = shutil.which("docker")
        self.engine = None
        if not self.client or subprocess.run([self.client, "info"], capture_output=True).returncode != 0:
            self.start()
        self.version = self.docker("version", "--format", "{{.Server.Version}}").strip()
        return self

    def start(self):
        if os.geteuid() != 0:
            raise RuntimeError("no Docker engine runs, and only root can start one")
        engine = programs.need("dockerd", "docker.io")
        # Debian's client fits Debian's engine.
        self.client = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else programs.need("docker", "docker.io")
        self.directory = Path(tempfile.mkdtemp(prefix="docker-"))
        self.log = (self.directory / "log").open("wb")
        socket = f"unix://{self.directory}/socket"
        places = ["--data-root", self.directory / "data", "--exec-root", self.directory / "exec", "--pidfile", self.directory / "pid", "--host", socket]
        self.engine = subprocess.Popen([engine, "--iptables=false", "--bridge=none", *places], stdout=self.log, stderr=self.log)
        self.environment["DOCKER_HOST"] = socket
        until = time.monotonic() + 60
        while subprocess.run([self.client, "info"], env=self.environment, capture_output=True).returncode != 0:
            if self.engine.poll() is not None or time.monotonic() > until:
                raise RuntimeError("dockerd does not start:\n" + (self.directory / "log").read_text())
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.engine is None:
            return
        containers = self.docker("ps", "--all", "--quiet").split()
        if containers:
            self.docker("rm", "--force", "--volumes", *containers)
        self.engine.terminate()
        self.engine.wait(timeout=60)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def docker(self, *words, **more):
        """Runs the client. It must succeed; returns what it prints."""
        return programs.run(self.client, *words, env=self.environment, **more)

    def command(self, *words):
        """Returns the words and the environment of a client that the caller starts."""
        return [self.client, *[str(word) for word in words]], self.environment

    def build(self, tag, dockerfile, context):
        """Builds an image from a Dockerfile, a path, and a directory."""
        self.docker("build", "--quiet", "--network", "host", "--tag", tag, "--file", dockerfile, context)

    def image_from(self, tag, files, *changes):
        """Makes an image of these files: a map from its paths to files here, or to the text of a script."""
        with tempfile.TemporaryDirectory() as place:
            place = Path(place)
            for path, source in files.items():
                target = place / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, str):
                    target.write_text(source)
                    target.chmod(0o755)
                else:
                    shutil.copy(source, target)
            tar = subprocess.Popen(["tar", "-C", place, "--owner=0", "--group=0", "-c", "."], stdout=subprocess.PIPE)
            changes = [word for change in changes for word in ("--change", change)]
            self.docker("import", *changes, "-", tag, stdin=tar.stdout)
            tar.stdout.close()
            assert tar.wait() == 0
