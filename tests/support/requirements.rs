//! What a test requires of the machine: root, programs, packages from PyPI.
//!
//! A test whose requirement is missing is skipped: it returns early and counts as passed, and a line on
//! standard error says so. Where `PHASE_RUN_NO_SKIP` is set, as the gate does, it fails instead.

use std::fs::{File, rename};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::unistd::Uid;

use super::sandbox::inherited;

/// Records that the current test, or a part of it, cannot run on this machine: prints `SKIPPED` with a
/// running count past the test runner's capture, and appends a line to the file that
/// `PHASE_RUN_SKIPPED` names, which `scripts/test` prints at its end.
///
/// # Panics
///
/// If `PHASE_RUN_NO_SKIP` is set.
pub(crate) fn skip(why: &str) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(
        inherited("PHASE_RUN_NO_SKIP").is_none(),
        "{test} cannot run here, and PHASE_RUN_NO_SKIP is set: {why}"
    );
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let _ = writeln!(std::io::stderr(), "SKIPPED ({count}): {test}: {why}");
    if let Some(list) = inherited("PHASE_RUN_SKIPPED") {
        let mut list = File::options().append(true).open(list).unwrap();
        writeln!(list, "{test}: {why}").unwrap();
    }
}

/// Returns whether the tests run on Linux, and skips the current test if not. `why` says what the test does
/// that only Linux can do. A file of which every test needs Linux starts with `#![cfg(target_os = "linux")]`
/// instead.
pub(crate) fn require_linux(why: &str) -> bool {
    let linux = cfg!(target_os = "linux");
    if !linux {
        skip(why);
    }
    linux
}

/// Returns whether the tests run as root, and skips the current test if not. `why` says what only root
/// can do.
pub(crate) fn require_root(why: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        skip(why);
    }
    root
}

/// Returns whether phase-run is the program that cargo has built with the tests, and skips the current test if
/// `PHASE_RUN_BIN` names another one, which is static. `why` says what the test needs of the program.
pub(crate) fn require_own_build(why: &str) -> bool {
    let own = inherited("PHASE_RUN_BIN").is_none();
    if !own {
        skip(why);
    }
    own
}

/// Returns whether phase-run panics on request, and skips the current test if not.
pub(crate) fn require_debug_build() -> bool {
    let why = "only builds with debug assertions panic on request";
    if !cfg!(debug_assertions) {
        skip(why);
    }
    cfg!(debug_assertions) && require_own_build(why)
}

/// Returns whether all of these programs are on PATH, and skips the current test if not.
pub(crate) fn require_programs(names: &[&str]) -> bool {
    let path = inherited("PATH").unwrap();
    let is_there =
        |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    let missing: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !is_there(name))
        .collect();
    if !missing.is_empty() {
        skip(&format!("{} is not installed", missing.join(", ")));
    }
    missing.is_empty()
}

/// The path of the static release binary, which `PHASE_RUN_STATIC` names; skips the current test if
/// that is not set.
pub(crate) fn static_binary() -> Option<PathBuf> {
    let path = inherited("PHASE_RUN_STATIC").map(PathBuf::from);
    if path.is_none() {
        skip("PHASE_RUN_STATIC does not name the static binary");
    }
    path
}

/// The library of AWS's own command line.
pub(crate) const BOTOCORE: [&str; 1] = ["botocore==1.44.8"];

/// Returns a folder with these packages from PyPI for PYTHONPATH; its `bin` holds their programs.
/// They are installed once for each target directory. Skips the current test if they cannot be
/// installed.
pub(crate) fn pypi_packages(wanted: &[&str]) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = directory.join(wanted.join("+"));
    if !folder.exists() {
        let unfinished = tempfile::tempdir_in(directory).unwrap();
        let install = ["-m", "pip", "install", "--quiet", "--no-input", "--target"];
        let mut pip = Command::new("python3");
        let pip = pip.args(install).arg(unfinished.path());
        let output = pip.args(wanted).output();
        if !output.is_ok_and(|output| output.status.success()) {
            drop(guard);
            let wanted = wanted.join(", ");
            skip(&format!("{wanted} cannot be installed from PyPI"));
            return None;
        }
        // The folder appears as a whole, because another run of the tests may look for it; that run
        // may also have been quicker.
        let _ = rename(unfinished.path(), &folder);
    }
    Some(folder)
}
