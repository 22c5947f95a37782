"""A Pod: what the kubelet makes of a Deployment, as volumes on this machine and options of `docker run`."""
import os
import tempfile
from pathlib import Path

from .container import Container


class Pod:
    """The volumes of a Pod, and its containers. Use it in a `with`.

    The Secret holds the token of the fake Phase. The containers get no more than the manifest says, except
    for the address of the fake Phase and its CA.
    """

    def __init__(self, engine, phase, deployment):
        self.engine, self.phase = engine, phase
        self.spec = deployment["spec"]["template"]["spec"]
        context = self.spec["securityContext"]
        self.user, self.group, self.volume_group = [context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")]
        assert context["runAsNonRoot"] and self.user != 0
        # That is what Docker uses if nothing else is given.
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="pod-")
        self.volumes = {volume["name"]: self.make_volume(volume) for volume in self.spec["volumes"]}
        return self

    def __exit__(self, *_):
        self.directory.cleanup()

    def make_volume(self, volume):
        """Makes the directory of a volume. Its group is fsGroup."""
        directory = Path(self.directory.name) / volume["name"]
        directory.mkdir()
        os.chown(directory, 0, self.volume_group)
        directory.chmod(0o2777)
        if "secret" in volume:
            self.write_secret(directory, volume["secret"]["defaultMode"])
        else:
            assert "emptyDir" in volume, volume
        return directory

    def write_secret(self, directory, mode):
        """Writes the token as the kubelet does: behind a link that it replaces in one step."""
        content = Path(tempfile.mkdtemp(prefix="..", dir=directory))
        content.chmod(0o2755)
        token = content / "token"
        token.write_text(self.phase.token_file.read_text())
        os.chown(token, 0, self.volume_group)
        token.chmod(mode)
        link = directory / "..data_tmp"
        link.symlink_to(content.name)
        link.rename(directory / "..data")
        if not (directory / "token").is_symlink():
            (directory / "token").symlink_to("..data/token")

    def replace_token(self):
        """Writes the current token into the Secret."""
        secret, = [volume for volume in self.spec["volumes"] if "secret" in volume]
        self.write_secret(self.volumes[secret["name"]], secret["secret"]["defaultMode"])

    def options(self, container):
        """Returns the options for what the manifest says about a container."""
        words = ["--user", f"{self.user}:{self.group}", "--group-add", self.volume_group]
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        words += ["--security-opt", "no-new-privileges"]
        words += ["--read-only"] if context.get("readOnlyRootFilesystem") else []
        words += [word for name in context["capabilities"]["drop"] for word in ("--cap-drop", name)]
        for mount in container["volumeMounts"]:
            access = "ro" if mount.get("readOnly") else "rw"
            words += ["--volume", f"{self.volumes[mount['name']]}:{mount['mountPath']}:{access}"]
        for variable in container.get("env", []):
            words += ["--env", f"{variable['name']}={variable['value']}"]
        return words

    def start(self, container, options):
        """Starts a container. Its command takes the place of the image's ENTRYPOINT, and the CMD is dropped."""
        entrypoint, *words = container["command"] + container.get("args", [])
        return Container(self.engine, *self.options(container), *options, "--entrypoint", entrypoint, container["image"], *words)

    def run_init_container(self):
        """Runs the init container, which must succeed, and returns what it prints."""
        container, = self.spec["initContainers"]
        with self.start(container, ["--network", "none"]) as started:
            lines, status = started.wait_for_end()
            assert status == 0, lines
        return lines

    def container(self, extra):
        """Starts the Pod's container, with extra variables."""
        container, = self.spec["containers"]
        reach = {"PHASE_HOST": self.phase.host, "PHASE_CA_FILE": "/ca.pem", **extra}
        options = ["--network", "host", "--volume", f"{self.phase.ca_file}:/ca.pem:ro"]
        options += [word for name, value in reach.items() for word in ("--env", f"{name}={value}")]
        return self.start(container, options)
