"""Root directories of a fresh Debian, as tar archives that `docker import` reads."""
from . import programs

MIRROR = "http://deb.debian.org/debian"


def root(suite, *packages):
    """Returns the archive of a minimal Debian with these packages. It is made once, and kept in target/."""
    archive = programs.TARGET / "engines" / f"debian-{suite}-{'-'.join(packages)}.tar"
    if not archive.exists():
        mmdebstrap = programs.need("mmdebstrap")
        archive.parent.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".new.tar")
        small = ["--variant=essential", "--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none"]
        try:
            programs.run(mmdebstrap, *small, f"--include={','.join(packages)}", suite, unfinished, MIRROR)
        except AssertionError as error:
            raise RuntimeError(f"there is no Debian {suite}: {error}") from error
        unfinished.rename(archive)
    return archive
