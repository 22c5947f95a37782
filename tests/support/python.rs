//! Programs from PyPI, installed once a target directory.

use std::fs::rename;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::skipped::skipped;

/// What AWS's own tools are made of.
pub(crate) const BOTOCORE: [&str; 1] = ["botocore==1.44.8"];

/// A folder with these packages, for PYTHONPATH; its `bin` holds their programs. None where they
/// cannot be had, which is said. It appears as a whole, so that of two runs of the tests neither sees
/// half of it.
pub(crate) fn packages(wanted: &[&str]) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = directory.join(wanted.join("+"));
    if !folder.exists() {
        let unfinished = tempfile::tempdir_in(directory).unwrap();
        let install = ["-m", "pip", "install", "--quiet", "--no-input", "--target"];
        let mut pip = Command::new("python3");
        let pip = pip.args(install).arg(unfinished.path());
        let output = pip.args(wanted).output();
        if !output.is_ok_and(|output| output.status.success()) {
            let wanted = wanted.join(", ");
            skipped(&format!("{wanted} cannot be installed from PyPI"));
            return None;
        }
        // Another run may have been quicker.
        let _ = rename(unfinished.path(), &folder);
    }
    Some(folder)
}
