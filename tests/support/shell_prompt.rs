//! An interactive shell on a terminal. At its prompt, `run COMMAND…` starts a command in the launch mode of
//! the test, so that the input and the shell's output are the same in all modes.

use std::fmt::Debug;
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::symlink;

use fake_phase::service_token;

use super::inspector::inspector;
use super::launch_modes::{LAUNCH_MODES, LaunchMode};
use super::proc;
use super::requirements::require_programs;
use super::sandbox::inherited;
use super::shop::{Shop, shop};
use super::terminal::Terminal;

/// The words that start a shell without settings files and without its line editor.
pub(crate) type Shell = &'static [&'static str];

pub(crate) const BASH: Shell = &["bash", "--norc", "--noediting", "-i"];
pub(crate) const DASH: Shell = &["dash", "-i"];
pub(crate) const ZSH: Shell = &[
    "zsh",
    "-f",
    "-i",
    "+Z",
    "-o",
    "nopromptsp",
    "-o",
    "nopromptcr",
];

/// The shells that are installed; each that is missing is recorded as a skip.
pub(crate) fn installed_shells() -> Vec<Shell> {
    let mut shells = vec![BASH, DASH, ZSH];
    shells.retain(|shell| require_programs(&shell[..1]));
    shells
}

/// Runs a case at the prompt of every shell in every launch mode. What it returns must be the same in all
/// modes.
pub(crate) fn in_every_shell_and_mode<Seen: Debug + PartialEq>(
    case: impl Fn(&mut ShellPrompt) -> Seen,
) {
    for shell in installed_shells() {
        let bare = case(&mut ShellPrompt::open(shell, LaunchMode::Bare));
        for mode in LAUNCH_MODES.into_iter().skip(1) {
            let mut prompt = ShellPrompt::open(shell, mode);
            let seen = case(&mut prompt);
            assert_eq!(seen, bare, "{mode:?} differs from the bare command");
        }
    }
}

/// A shell that waits at its prompt.
pub(crate) struct ShellPrompt {
    terminal: Terminal,
    pub(crate) shop: Shop,
    pub(crate) shell: &'static str,
    pub(crate) mode: LaunchMode,
}

const PROMPT: &str = "@@ ";

impl ShellPrompt {
    pub(crate) fn open(shell: Shell, mode: LaunchMode) -> Self {
        let shop = shop([("SECRET", "value")]);
        let _ = shop.private_file("token", service_token());
        let script = format!(
            "#!/bin/sh\nexec {} \"$@\"\n",
            mode.command_prefix(shop.program()).join(" ")
        );
        shop.executable("run", script);
        symlink(inspector(), shop.directory().join("inspector")).unwrap();
        let path = [shop.directory().as_os_str(), &inherited("PATH").unwrap()];
        let terminal = shop
            .bare(shell)
            .env("PATH", path.join(":".as_ref()))
            .env("PS1", PROMPT)
            .env("HISTFILE", "")
            .on_terminal();
        let mut prompt = ShellPrompt {
            terminal,
            shop,
            shell: shell[0],
            mode,
        };
        prompt.prompt();
        prompt
    }

    /// Types a line.
    pub(crate) fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Waits for the next prompt and returns what the screen shows before it.
    pub(crate) fn prompt(&mut self) -> String {
        let shown = self.until(PROMPT);
        shown.strip_suffix(PROMPT).unwrap().to_owned()
    }

    /// Types a line and returns what the screen shows up to the next prompt.
    pub(crate) fn show(&mut self, line: &str) -> String {
        self.enter(line);
        self.prompt()
    }

    /// Returns the exit status of the last line.
    pub(crate) fn status(&mut self) -> i32 {
        self.enter("echo status=$?");
        let _ = self.until("status=");
        let status = self.line().parse().unwrap();
        self.prompt();
        status
    }

    /// Types a line that runs the inspector. Returns the pid of the command and the pid of the process that the
    /// shell has started, which are the same in bare mode.
    pub(crate) fn start(&mut self, line: &str) -> (i32, i32) {
        self.enter(line);
        let command = self.wait_until_ready();
        (command, proc::outermost_phase_run(command))
    }

    /// Presses Ctrl-Z and waits for the prompt and until all of these processes are stopped.
    pub(crate) fn suspend(&mut self, pids: &[i32]) -> String {
        self.press("\x1a");
        let shown = self.prompt();
        proc::wait_until_stopped(pids);
        shown
    }
}

impl Deref for ShellPrompt {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl DerefMut for ShellPrompt {
    fn deref_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}

impl Drop for ShellPrompt {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (mode, shown) = (self.mode, self.describe());
            let _ = writeln!(std::io::stderr(), "mode: {mode:?}\n{shown}");
        }
    }
}
