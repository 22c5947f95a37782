//! A clean directory and environment for command lines.

use std::ffi::{OsStr, OsString};
use std::fs::{Permissions, copy, create_dir, read, set_permissions, write};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fake_phase::{Phase, bearer, expired_bearer, service_token, user_bearer, user_token};
use tempfile::TempDir;

use super::canary::Canaries;
use super::comparison::Comparison;
use super::inspector::inspector;
use super::run::Run;

/// A place where command lines run: an empty directory, PATH, and the variables that lead to a fake server.
pub(crate) struct Sandbox {
    root: TempDir,
    work: PathBuf,
    program: OsString,
    environ: Vec<Vec<u8>>,
    canaries: Canaries,
}

impl Sandbox {
    pub(crate) fn new(phase: &Phase) -> Self {
        let mut sandbox = Self::offline();
        // A copy, because other users cannot read the fake server's certificate.
        let certificate = sandbox.root.path().join("ca.pem");
        copy(phase.ca_file(), &certificate).unwrap();
        sandbox.set_variable("PHASE_HOST", phase.host());
        sandbox.set_variable("PHASE_CA_FILE", certificate);
        // Tests of retries set their own limit; all others need one try.
        sandbox.set_variable("PHASE_MAX_WAIT", "0");
        sandbox.set_variable("PHASE_SERVICE_TOKEN", service_token());
        // Also the tokens that a test passes in a file or on standard input.
        for token in [
            service_token(),
            user_token(),
            bearer(),
            user_bearer(),
            expired_bearer(),
        ] {
            sandbox.canaries.add_token(token.as_bytes());
        }
        sandbox
    }

    /// A sandbox without a server: PATH is the only variable.
    pub(crate) fn offline() -> Self {
        let root = TempDir::new().unwrap();
        set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let work = root.path().join("work");
        create_dir(&work).unwrap();
        set_permissions(&work, Permissions::from_mode(0o755)).unwrap();
        let program = inherited("PHASE_RUN_BIN");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_phase-run").into());
        let canaries = Canaries::default();
        let mut sandbox = Sandbox {
            root,
            work,
            program,
            environ: Vec::new(),
            canaries,
        };
        sandbox.set_variable("PATH", inherited("PATH").unwrap());
        sandbox
    }

    fn set_variable(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environ
            .push([name.as_bytes(), b"=", value.as_ref().as_bytes()].concat());
    }

    /// The working directory of every command line, empty at first.
    pub(crate) fn directory(&self) -> &Path {
        &self.work
    }

    pub(super) fn environ(&self) -> Vec<Vec<u8>> {
        self.environ.clone()
    }

    pub(super) fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// Makes every later run fail that prints this value on standard error, or on standard output without
    /// `allow_secrets_on_stdout`. The tokens of the fake server, and any token in a variable, are canaries already.
    pub(crate) fn canary(&mut self, value: impl AsRef<[u8]>) {
        self.canaries.add(value.as_ref());
    }

    /// Searches other bytes for canaries, such as a file or the memory of a process.
    pub(crate) fn assert_no_canary(&self, what: &str, bytes: &[u8]) {
        let found = self.canaries.find(bytes).map(String::from_utf8_lossy);
        assert!(found.is_none(), "{what} contains the canary {found:?}");
    }

    /// Runs this program instead of phase-run: the static binary, or a script that tests the harness.
    pub(crate) fn replace_phase_run(&mut self, program: &str) {
        self.program = program.into();
    }

    /// Returns the path of phase-run, for a script that runs it.
    pub(crate) fn program(&self) -> &str {
        self.program.to_str().unwrap()
    }

    /// Returns a run of phase-run with these arguments.
    pub(crate) fn run(&self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Run<'_> {
        Run::new(self, self.program.clone()).args(words)
    }

    /// Returns a run of a command without phase-run; its first word is searched for on PATH.
    pub(crate) fn bare(&self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Run<'_> {
        let mut words = words.into_iter();
        let program = words.next().unwrap().as_ref().to_owned();
        Run::new(self, program).args(words)
    }

    /// Runs the inspector bare, and as the command of phase-run with `words` before the `--`. `prepare` says
    /// what both are started with.
    pub(crate) fn compare_with_bare(
        &self,
        words: impl IntoIterator<Item: AsRef<OsStr>>,
        prepare: impl Fn(Run<'_>) -> Run<'_>,
    ) -> Comparison {
        let command = [inspector(), "report"];
        let bare = prepare(self.bare(command)).report();
        let under = prepare(self.run(words).arg("--").args(command)).report();
        Comparison::new(bare, under)
    }

    /// Writes an executable file such as a script. Another process writes it, because a file that is open for
    /// writing cannot be executed (ETXTBSY) and a fork in any thread of this process would keep it open.
    pub(crate) fn executable(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work.join(name);
        let script = "cat > \"$0\" && chmod 755 \"$0\"";
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-c", script]).arg(&path).stdin(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell
            .stdin
            .take()
            .unwrap()
            .write_all(content.as_ref())
            .unwrap();
        assert!(shell.wait().unwrap().success());
        path
    }

    /// Writes a file in the working directory that only its owner may read, as a token's should be.
    pub(crate) fn private_file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name, content);
        set_mode(&path, 0o600);
        path
    }

    /// Writes a file in the working directory.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work.join(name);
        write(&path, content).unwrap();
        path
    }
}

/// Changes a file's permissions.
pub(crate) fn set_mode(path: impl AsRef<Path>, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Returns the program that execvp(3) would run for this word.
pub(super) fn find_program(word: &OsStr) -> OsString {
    if word.as_bytes().contains(&b'/') {
        return word.to_owned();
    }
    let path = inherited("PATH").unwrap();
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(word));
    let found = candidates.find(|candidate| candidate.exists());
    found
        .unwrap_or_else(|| panic!("{word:?} is not on PATH"))
        .into()
}

/// Returns a variable of the test run, or `None` if it is unset or empty.
pub(crate) fn inherited(name: &str) -> Option<OsString> {
    let environ = read("/proc/self/environ").unwrap();
    let mut entries = environ.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| {
        entry
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")
            .filter(|value| !value.is_empty())
    });
    value.map(|value| OsString::from_vec(value.to_vec()))
}
