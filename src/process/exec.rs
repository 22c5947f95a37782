#![forbid(unsafe_code)]
//! Replacing this process by the command.
//!
//! The search follows execvp(3), which env(1) uses: it continues after a file that cannot be
//! executed, and runs a file without `#!` with the shell. It uses the PATH that the command gets.
//! std's own exec would reset SIGPIPE and search phase-run's PATH. execve(2) is called from the main
//! thread, because otherwise the parent-death signal would be lost (PR_SET_PDEATHSIG(2const)).

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::execve;

use super::env_block::EnvBlock;
use super::interpreter::{self, SHELL};
use super::memory_protection::SavedCoreLimit;
use super::{platform, stack_limit, startup};
use crate::error::{CommandMissing, Error, errno_text};

/// The folders that execvp(3) searches if PATH is unset.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Reserved words and builtins of POSIX shells and bash. Some also exist as programs, so this list
/// is only used if no program was found.
#[rustfmt::skip]
const SHELL_WORDS: [&str; 58] = [
    "!", ".", ":", "[[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "coproc", "declare",
    "dirs", "disown", "echo", "enable", "eval", "exec", "exit", "export", "fc", "fg", "for", "function", "getopts",
    "hash", "help", "history", "if", "jobs", "let", "local", "mapfile", "popd", "pushd", "read", "readonly", "return",
    "select", "set", "shift", "shopt", "source", "test", "time", "times", "trap", "type", "typeset", "ulimit", "umask",
    "unalias", "unset", "until", "wait", "while",
];

/// Replaces this process by the command. It returns only on failure, with the reason.
pub(crate) fn exec_command(
    command: &[OsString],
    environ: &EnvBlock,
    core_limit: &SavedCoreLimit,
) -> Error {
    core_limit.restore();
    exec_without_core_dump(command, environ)
}

/// Like [`exec_command`], but the limit on core dumps stays 0, because a helper handles a secret.
pub(super) fn exec_without_core_dump(command: &[OsString], environ: &EnvBlock) -> Error {
    startup::restore_signal_mask();
    startup::restore_sigpipe();
    stack_limit::restore();
    let error = search_and_exec(command, environ);
    startup::ignore_sigpipe();
    error
}

/// Tries to execute each candidate path. Returns why none could be executed.
#[expect(clippy::expect_used, reason = "words of argv come from C strings")]
fn search_and_exec(command: &[OsString], environ: &EnvBlock) -> Error {
    let program = command.first().expect("the command has at least one word");
    let words: Vec<CString> = command
        .iter()
        .map(|word| CString::new(word.as_bytes()).ok())
        .collect::<Option<_>>()
        .expect("a word of argv contains no NUL");
    let searches_path = !program.as_bytes().contains(&b'/');
    let mut denied = None;
    let mut missing_interpreter = None;
    for path in candidates(program, environ) {
        match try_exec(&path, &words, environ) {
            Errno::EACCES => {
                denied.get_or_insert(path);
            }
            Errno::ENOENT => {
                missing_interpreter =
                    missing_interpreter.or_else(|| interpreter::find_missing(&path));
            }
            // execvp(3) continues after these errors, except that it gives up after ENAMETOOLONG.
            // That usually means that the name is a whole command line, which gets its own hint.
            Errno::ENAMETOOLONG
            | Errno::ENOTDIR
            | Errno::ESTALE
            | Errno::ENODEV
            | Errno::ETIMEDOUT
                if searches_path => {}
            errno => return not_executable(path, errno),
        }
    }
    if let Some(path) = denied {
        return not_executable(path, Errno::EACCES);
    }
    let why = match missing_interpreter {
        Some(interpreter) => CommandMissing::NoInterpreter(interpreter),
        None if SHELL_WORDS.iter().any(|word| program == *word) => CommandMissing::ShellWord,
        None if program.as_bytes().contains(&b' ') => CommandMissing::WholeCommandLine,
        None if searches_path => CommandMissing::NotInPath,
        None => CommandMissing::NoSuchFile,
    };
    Error::CommandNotFound {
        command: program.to_owned(),
        why,
    }
}

fn not_executable(path: PathBuf, errno: Errno) -> Error {
    let why = match errno {
        errno if platform::EXEC_FORMAT_ERRORS.contains(&errno) => {
            "exec format error: the file is damaged or built for another kind of machine".to_owned()
        }
        Errno::EACCES if path.is_dir() => "it is a directory".to_owned(),
        _ => errno_text(errno),
    };
    Error::CommandNotExecutable { command: path, why }
}

/// Returns the paths to try: the name itself if it contains a slash, else the name in each folder of
/// PATH, where an empty folder means the working directory.
fn candidates(program: &OsStr, environ: &EnvBlock) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(program)];
    }
    // Joined with a folder, these names would mean the folder itself.
    if program.is_empty() || program == "." {
        return Vec::new();
    }
    let path = environ.get("PATH").map_or(DEFAULT_PATH, OsStr::as_bytes);
    path.split(|byte| *byte == b':')
        .map(|folder| Path::new(OsStr::from_bytes(folder)).join(program))
        .collect()
}

/// Calls execve(2), and once more with the shell for a file whose format the kernel does not know.
#[expect(clippy::expect_used, reason = "both parts of the path are C strings")]
fn try_exec(path: &Path, words: &[CString], environ: &EnvBlock) -> Errno {
    let file = CString::new(path.as_os_str().as_bytes()).ok();
    let file = file.expect("neither PATH nor a word of argv contains NUL");
    let Err(errno) = execve(&file, words, environ.entries());
    if errno != Errno::ENOEXEC || interpreter::is_elf(path) {
        return errno;
    }
    let arguments = words.iter().skip(1).cloned();
    let shell: Vec<CString> = [SHELL.to_owned(), file]
        .into_iter()
        .chain(arguments)
        .collect();
    let Err(errno) = execve(SHELL, &shell, environ.entries());
    errno
}
