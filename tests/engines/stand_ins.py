"""Images in place of those of public registries, and the directory that the examples are built in."""
import shutil

from . import programs

EXAMPLES = programs.ROOT / "examples"
# The user of the containers in the examples.
USER = 65532

# What the build stages run. Both tools take a server that exists already.
GO = """#!/bin/sh -eu
[ "$CGO_ENABLED $*" = "0 build -o /shop ." ]
[ -e main.go ]
cp /server /shop
"""
NPM = """#!/bin/sh -eu
[ -e package.json ] && [ -e package-lock.json ]
mkdir node_modules
[ -z "${NPM_TOKEN-}" ] || echo "${#NPM_TOKEN}" >/length
"""


def shell(*names):
    """Returns the files of an image with a shell and these programs."""
    return {f"/bin/{name}": programs.busybox() for name in ("busybox", "sh", *names)}


def images():
    """Returns the files of each image and the changes of its configuration."""
    return {
        "golang:1.25": ({**shell("mkdir", "cp"), "/server": programs.server(), "/bin/go": GO}, ["ENV PATH=/bin"]),
        "node:22-bookworm-slim": ({**shell("cat", "mkdir"), "/bin/npm": NPM}, ["ENV PATH=/bin"]),
        "gcr.io/distroless/nodejs22-debian12:nonroot": (
            {"/nodejs/bin/node": programs.server()},
            [f"USER {USER}", "WORKDIR /home/nonroot", 'ENTRYPOINT ["/nodejs/bin/node"]'],
        ),
        "busybox": (shell("cp", "cat", "env", "ls"), ["ENV PATH=/bin", 'CMD ["sh"]']),
    }


def make_images(engine):
    for tag, (files, changes) in images().items():
        engine.image_from(tag, files, *changes)


def fill_context(directory, phase):
    """Fills a directory in which the examples can be built: with a server's sources, phase-run and the token."""
    for name in ("main.go", "package.json", "package-lock.json", "server.js"):
        (directory / name).write_text("")
    for example in [*EXAMPLES.glob("Dockerfile.*"), EXAMPLES / ".dockerignore"]:
        shutil.copy(example, directory)
    shutil.copy(programs.phase_run(), directory / "phase-run")
    programs.run("install", "-D", "-m", "400", "-o", USER, "/dev/stdin", directory / "secrets/token", input=f"{phase.token}\n")
