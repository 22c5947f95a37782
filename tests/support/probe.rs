//! The reporter, compiled once a run.

use std::path::Path;
use std::process::{Command, id};
use std::sync::LazyLock;

/// The path of the compiled `tests/probe.rs`: static, so that it also runs in an empty root.
pub(crate) fn probe() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(compile);
    &PATH
}

fn compile() -> String {
    // No dot: rustc names its own files after what is before one, and two runs would share them.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (new, path) = (
        directory.join(format!("probe-{}", id())),
        directory.join("probe"),
    );
    let output = Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "panic=abort",
            "-C",
            "target-feature=+crt-static",
        ])
        .arg("-o")
        .arg(&new)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe.rs"))
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "tests/probe.rs:\n{complaints}"
    );
    // In one step: another run of the tests may be executing the one that is there.
    std::fs::rename(new, &path).unwrap();
    path.into_os_string().into_string().unwrap()
}
