//! A command line and everything it is started with.

use std::ffi::{CString, OsStr, OsString, c_int};
use std::fs::{File, read};
use std::mem::take;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nix::sys::resource::Resource;
use nix::unistd::Uid;

use super::inspector::Report;
use super::output::Output;
use super::running::{ChildIs, Running};
use super::sandbox::{Sandbox, find_program};
use super::spawn::{SpawnOptions, duplicate_high};
use super::terminal::{self, Terminal};

/// A command line before it runs. By default it has the sandbox's variables and directory, an empty
/// standard input, no ignored or blocked signal, and no descriptor above 2.
#[must_use]
pub(crate) struct Run<'a> {
    sandbox: &'a Sandbox,
    program: OsString,
    argv0: Option<OsString>,
    words: Vec<OsString>,
    wrap: Vec<OsString>,
    environ: Vec<Vec<u8>>,
    cwd: PathBuf,
    stdin: Vec<u8>,
    stdout: Option<PathBuf>,
    start: SpawnOptions,
    child_is: ChildIs,
    secrets_on_stdout: bool,
}

#[expect(
    clippy::wrong_self_convention,
    reason = "`as_user` sets an option and converts nothing"
)]
impl<'a> Run<'a> {
    pub(super) fn new(sandbox: &'a Sandbox, program: OsString) -> Self {
        Run {
            sandbox,
            program,
            argv0: None,
            words: Vec::new(),
            wrap: Vec::new(),
            environ: sandbox.environ(),
            cwd: sandbox.directory().to_owned(),
            stdin: Vec::new(),
            stdout: None,
            start: SpawnOptions::default(),
            child_is: ChildIs::ProcessUnderTest,
            secrets_on_stdout: false,
        }
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    pub(crate) fn args(self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        words.into_iter().fold(self, Run::arg)
    }

    /// Sets `argv[0]` of phase-run or the bare command.
    pub(crate) fn argv0(mut self, name: &str) -> Self {
        self.argv0 = Some(name.into());
        self
    }

    /// Sets a variable and replaces the one of the same name.
    pub(crate) fn env(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let entry = [name.as_bytes(), b"=", value.as_ref().as_bytes()].concat();
        self.unset(name).env_bytes(entry)
    }

    /// Appends an entry to the environment as it is: it may have no `=`, a name that is there already, or
    /// bytes that are not UTF-8.
    pub(crate) fn env_bytes(mut self, entry: impl Into<Vec<u8>>) -> Self {
        self.environ.push(entry.into());
        self
    }

    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.environ
            .retain(|entry| name_of(entry) != name.as_bytes());
        self
    }

    pub(crate) fn cwd(mut self, path: impl Into<PathBuf>) -> Self {
        self.cwd = path.into();
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub(crate) fn stdin_closed(self) -> Self {
        self.closed(0)
    }

    /// Makes this file, such as `/dev/full`, standard output. The test then sees none of it.
    pub(crate) fn stdout_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    pub(crate) fn closed(mut self, fd: c_int) -> Self {
        self.start.closed.push(fd);
        self
    }

    /// Passes `file` on as descriptor `number`.
    pub(crate) fn pass_descriptor(mut self, file: impl AsFd, number: c_int) -> Self {
        self.start.passed.push((duplicate_high(file), number));
        self
    }

    pub(crate) fn ignore(mut self, signal: c_int) -> Self {
        self.start.ignored.push(signal);
        self
    }

    pub(crate) fn block(mut self, signal: c_int) -> Self {
        self.start.blocked.push(signal);
        self
    }

    pub(crate) fn limit(mut self, resource: Resource, soft: u64) -> Self {
        self.start.limits.push((resource, soft));
        self
    }

    /// Starts it in a process group of its own, so that the test can signal the group.
    pub(crate) fn own_group(mut self) -> Self {
        self.start.own_group = true;
        self
    }

    /// Starts it as this user and group, without supplementary groups. Only root can.
    pub(crate) fn as_user(mut self, uid: u32) -> Self {
        self.start.user = Some(uid);
        self
    }

    /// Starts it as PID 1 of a new PID namespace with its own /proc. A program that `wrap` puts before it is
    /// PID 1 instead, unless it execs.
    pub(crate) fn as_pid1(mut self) -> Self {
        self.child_is = ChildIs::ParentOfPid1;
        self
    }

    /// Puts another program with its arguments before the command line.
    pub(crate) fn wrap(mut self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.wrap
            .extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Starts it in new namespaces, which are options of unshare(1), after a shell script that prepares them
    /// and ends in `exec "$@"`.
    pub(crate) fn in_namespaces(self, namespaces: &[&str], script: &str) -> Self {
        let run = self
            .wrap(["unshare"])
            .wrap(namespaces)
            .wrap(user_mapping_options());
        run.wrap(["sh", "-c", script, "sh"])
    }

    /// Starts it where /proc is empty.
    pub(crate) fn without_proc(self) -> Self {
        self.in_namespaces(&["--mount"], "mount -t tmpfs none /proc && exec \"$@\"")
    }

    /// Allows the command to print secrets: only standard error is searched for canaries.
    pub(crate) fn allow_secrets_on_stdout(mut self) -> Self {
        self.secrets_on_stdout = true;
        self
    }

    /// Runs it and waits for its end.
    pub(crate) fn output(mut self) -> Output {
        let input = take(&mut self.stdin);
        let mut running = self.spawn();
        running.feed(input);
        running.wait()
    }

    /// Runs a command line that ends in the inspector's `report`, and parses the report.
    pub(crate) fn report(mut self) -> Report {
        // With standard output closed, the report goes to a file.
        let closed = self.start.closed.contains(&1);
        let file = closed.then(|| self.sandbox.directory().join("report"));
        if let Some(path) = &file {
            self = self.arg(path);
        }
        let mut running = self.allow_secrets_on_stdout().spawn();
        running.close_stdin();
        let pid = running.own_pid();
        let stdout = running.wait().assert_ok().stdout;
        Report::parse(&file.map_or(stdout, |path| read(path).unwrap()), pid)
    }

    /// Starts it, with a standard input that stays open until the test closes it or waits.
    pub(crate) fn spawn(mut self) -> Running {
        let (child, case) = self.launch();
        let mut canaries = self.sandbox.canaries().clone();
        for entry in &self.environ {
            if holds_token(name_of(entry)) {
                canaries.add_token(entry);
            }
        }
        let mut running =
            Running::new(child, self.child_is, case, canaries, self.secrets_on_stdout);
        running.write(&self.stdin);
        running
    }

    /// Starts it on a terminal of its own, as the leader of the terminal's session.
    pub(crate) fn on_terminal(mut self) -> Terminal {
        let (master, slave) = terminal::open();
        self.start.terminal = Some(slave);
        match self.child_is {
            ChildIs::ProcessUnderTest => self.start.leads_session = true,
            // unshare(1) itself does not become PID 1.
            ChildIs::ParentOfPid1 => {
                let words = ["setsid", "--ctty"].map(OsString::from);
                self.wrap.splice(0..0, words);
            }
        }
        let (child, case) = self.launch();
        Terminal::new(master, child, self.child_is, case)
    }

    fn launch(&mut self) -> (Child, String) {
        let line = self.line();
        let case = self.describe(&line);
        self.start.program = c_string(find_program(&line[0]));
        self.start.argv = line.into_iter().map(c_string).collect();
        if let Some(name) = &self.argv0 {
            assert!(
                self.wrap.is_empty(),
                "argv0 would be that of the wrapping program"
            );
            self.start.argv[0] = c_string(name);
        }
        self.start.environ = self
            .environ
            .iter()
            .map(|entry| c_string(OsStr::from_bytes(entry)))
            .collect();
        let stdout = match &self.stdout {
            None => Stdio::piped(),
            Some(path) => File::create(path).unwrap().into(),
        };
        let child = take(&mut self.start)
            .spawn(&self.cwd, stdout)
            .unwrap_or_else(|why| panic!("{why}: {case}"));
        (child, case)
    }

    /// Returns all words, with those of `wrap` first.
    fn line(&mut self) -> Vec<OsString> {
        if self.child_is == ChildIs::ParentOfPid1 {
            let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
            self.wrap.splice(
                0..0,
                words
                    .iter()
                    .chain(user_mapping_options())
                    .map(OsString::from),
            );
        }
        let words = self.wrap.iter().chain([&self.program]).chain(&self.words);
        words.cloned().collect()
    }

    /// Returns the environment, words and directory, which a failed assertion prints.
    fn describe(&self, line: &[OsString]) -> String {
        let environ = self
            .environ
            .iter()
            .map(|entry| format!("{:?}", OsStr::from_bytes(entry)));
        let words = line.iter().map(|word| format!("{word:?}"));
        let text: Vec<String> = environ.chain(words).collect();
        format!(
            "command line: {}\ndirectory: {}",
            text.join(" "),
            self.cwd.display()
        )
    }
}

/// The options that unshare(1) also needs from a user who is not root.
fn user_mapping_options() -> &'static [&'static str] {
    if Uid::effective().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    }
}

/// Returns whether a variable of this name holds a token itself, not the name of a file with one.
fn holds_token(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    name.starts_with("PHASE_") && name.contains("TOKEN") && !name.ends_with("_FILE")
}

fn c_string(bytes: impl Into<OsString>) -> CString {
    CString::new(bytes.into().into_vec()).unwrap()
}

/// Returns the part of an environment entry before the first `=`, or all of it if there is none.
pub(super) fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or_default()
}
