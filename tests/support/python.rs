//! Programs from PyPI, installed once a target directory.

use std::fs::rename;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::Mutex;

use super::skipped::skipped;

/// A folder with these packages, for PYTHONPATH; its `bin` holds their programs. None where they
/// cannot be had, which is said.
pub(crate) fn packages(wanted: &[&str]) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = directory.join(wanted.join("+"));
    if folder.exists() {
        return Some(folder);
    }
    let new = directory.join(format!("pypi-{}", id()));
    let install = ["-m", "pip", "install", "--quiet", "--no-input", "--target"];
    let mut pip = Command::new("python3");
    let output = pip.args(install).arg(&new).args(wanted).output();
    if !output.is_ok_and(|output| output.status.success()) {
        skipped(&format!(
            "{} cannot be installed from PyPI",
            wanted.join(", ")
        ));
        return None;
    }
    // In one step; where another run of the tests was faster, its folder is as good.
    let _ = rename(new, &folder);
    Some(folder)
}
