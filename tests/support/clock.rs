//! A wall clock that jumps when a test says so, for one process and the command it becomes. It is a
//! library for LD_PRELOAD, `clock.c`; the machine's clock is not changed.

use std::fs::{read_to_string, rename, write};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::LazyLock;

use super::run::Run;
use super::sandbox::Sandbox;

/// The clock of a sandbox. It shows the right time until it jumps.
pub(crate) struct Clock {
    file: PathBuf,
}

impl Clock {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let file = sandbox.directory().with_file_name("jump");
        Clock { file }
    }

    /// Makes the run read this clock.
    pub(crate) fn apply_to<'a>(&self, run: Run<'a>) -> Run<'a> {
        run.env("LD_PRELOAD", shim()).env("JUMP", &self.file)
    }

    /// Makes the clock wrong by this many seconds from now on.
    pub(crate) fn jump(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        write(&new, seconds.to_string()).unwrap();
        rename(new, &self.file).unwrap();
    }

    /// Returns whether phase-run has read the clock since it jumped.
    pub(crate) fn was_read_since_jump(&self) -> bool {
        let seen = read_to_string(self.file.with_extension("seen")).unwrap_or_default();
        seen.lines().any(|reader| reader == "phase-run")
    }
}

/// Returns the path of the compiled `clock.c`, which is compiled once for each run of the tests.
fn shim() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(compile);
    &PATH
}

fn compile() -> String {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (new, path) = (
        directory.join(format!("clock-{}.so", id())),
        directory.join("clock.so"),
    );
    let output = Command::new("cc")
        .args(["-Wall", "-Wextra", "-O2", "-shared", "-fPIC", "-o"])
        .arg(&new)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/clock.c"
        ))
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "tests/support/clock.c:\n{complaints}"
    );
    // Renamed in one step, because another run of the tests may be loading the old one.
    rename(&new, &path).unwrap();
    path.into_os_string().into_string().unwrap()
}
