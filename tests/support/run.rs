//! One command line and what it is started with.

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
use super::running::{Running, Started};
use super::sandbox::{Sandbox, find_program};
use super::spawn::{SpawnOptions, duplicate_high};
use super::terminal::{self, Terminal};

/// A command line before it runs. Unless a test says more it has the sandbox's variables and
/// directory, an empty standard input, no signal ignored or blocked, no descriptor above 2.
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
    started: Started,
    stdout_holds: Stdout,
}

/// Whether standard output may hold canaries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    NoSecrets,
    Secrets,
}

#[expect(
    clippy::wrong_self_convention,
    reason = "a run as somebody, not a conversion"
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
            started: Started::Itself,
            stdout_holds: Stdout::NoSecrets,
        }
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    pub(crate) fn args(self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        words.into_iter().fold(self, Run::arg)
    }

    /// The name that phase-run, or the bare command, goes by.
    pub(crate) fn argv0(mut self, name: &str) -> Self {
        self.argv0 = Some(name.into());
        self
    }

    /// Sets a variable, in the place of what has its name.
    pub(crate) fn env(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let entry = [name.as_bytes(), b"=", value.as_ref().as_bytes()].concat();
        self.unset(name).env_bytes(entry)
    }

    /// Appends an entry as it is: without `=`, not UTF-8, or of a name that is there already.
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

    /// Standard output is this file, such as `/dev/full`, and the test sees none of it.
    pub(crate) fn stdout_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    pub(crate) fn closed(mut self, fd: c_int) -> Self {
        self.start.closed.push(fd);
        self
    }

    /// Leaves `file` open as descriptor `number`.
    pub(crate) fn hand_over(mut self, file: impl AsFd, number: c_int) -> Self {
        self.start.handed.push((duplicate_high(file), number));
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

    /// As the leader of a process group of its own, so that a signal to all of it is no other's.
    pub(crate) fn own_group(mut self) -> Self {
        self.start.group = true;
        self
    }

    /// As this user and group, with no other groups. Only root can.
    pub(crate) fn as_user(mut self, uid: u32) -> Self {
        self.start.user = Some(uid);
        self
    }

    /// Where open(2) knows no files without a name and says so with `errno`.
    pub(crate) fn without_unnamed_files(mut self, errno: c_int) -> Self {
        self.start.no_unnamed = Some(errno);
        self
    }

    /// As the first process of a new PID namespace with its own /proc. What goes before it with
    /// `wrap` is that process instead, unless it execs.
    pub(crate) fn as_pid1(mut self) -> Self {
        self.started = Started::ParentOfPid1;
        self
    }

    /// Puts another program with its arguments before the command line.
    pub(crate) fn wrap(mut self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.wrap
            .extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// In new namespaces, which are the options of unshare(1), and after a shell's script that
    /// prepares them and ends in `exec "$@"`.
    pub(crate) fn prepared(self, namespaces: &[&str], script: &str) -> Self {
        let run = self.wrap(["unshare"]).wrap(namespaces).wrap(mapping());
        run.wrap(["sh", "-c", script, "sh"])
    }

    /// Where there is no /proc.
    pub(crate) fn without_proc(self) -> Self {
        self.prepared(&["--mount"], "mount -t tmpfs none /proc && exec \"$@\"")
    }

    /// The command prints secrets on purpose: only standard error is searched for canaries.
    pub(crate) fn reveals(mut self) -> Self {
        self.stdout_holds = Stdout::Secrets;
        self
    }

    /// Runs it to its end.
    pub(crate) fn output(mut self) -> Output {
        let input = take(&mut self.stdin);
        let mut running = self.spawn();
        running.feed(input);
        running.wait()
    }

    /// Runs a command line that ends in the inspector's `report`.
    pub(crate) fn report(mut self) -> Report {
        // Without a standard output it goes to a file.
        let closed = self.start.closed.contains(&1);
        let file = closed.then(|| self.sandbox.directory().join("report"));
        if let Some(path) = &file {
            self = self.arg(path);
        }
        let mut running = self.reveals().spawn();
        running.close_stdin();
        let pid = running.own_pid();
        let stdout = running.wait().ok().stdout;
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
        let mut running = Running::new(child, self.started, case, canaries, self.stdout_holds);
        running.write(&self.stdin);
        running
    }

    /// Starts it on a terminal of its own, as the leader of the terminal's session.
    pub(crate) fn on_terminal(mut self) -> Terminal {
        let (master, slave) = terminal::open();
        self.start.terminal = Some(slave);
        match self.started {
            Started::Itself => self.start.leads = true,
            // Who makes the namespace does not become its first process.
            Started::ParentOfPid1 => {
                let words = ["setsid", "--ctty"].map(OsString::from);
                self.wrap.splice(0..0, words);
            }
        }
        let (child, case) = self.launch();
        Terminal::new(master, child, self.started, case)
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

    /// All words, with what goes before them.
    fn line(&mut self) -> Vec<OsString> {
        if self.started == Started::ParentOfPid1 {
            let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
            self.wrap
                .splice(0..0, words.iter().chain(mapping()).map(OsString::from));
        }
        let words = self.wrap.iter().chain([&self.program]).chain(&self.words);
        words.cloned().collect()
    }

    /// The case as a failed assertion prints it.
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

/// What unshare(1) wants besides from a user who is not root.
fn mapping() -> &'static [&'static str] {
    if Uid::effective().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    }
}

/// Any of the variables that a token comes in, but not the name of a file that holds one.
fn holds_token(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    name.starts_with("PHASE_") && name.contains("TOKEN") && !name.ends_with("_FILE")
}

fn c_string(bytes: impl Into<OsString>) -> CString {
    CString::new(bytes.into().into_vec()).unwrap()
}

/// The part of an entry of environ before the first `=`, all of it if there is none.
pub(super) fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or_default()
}
