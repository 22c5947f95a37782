#![forbid(unsafe_code)]
//! Becoming the command: found on the PATH it will get, handed all that phase-run was started with.
//!
//! execve(2) is called directly, from the main thread. The search is that of execvp(3), as env(1)
//! uses it: go on after a refusal, run a file without `#!` with the shell. std's own exec would
//! reset SIGPIPE, and search on phase-run's PATH.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::execve;

use super::core_dumps::SavedCoreLimit;
use super::env_block::EnvBlock;
use super::loader::SHELL;
use super::{loader, startup};
use crate::error::{CommandMissing, Error, errno_text};

/// What execvp(3) searches where there is no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Reserved words and builtins of POSIX shells and bash. Some exist as programs too: a word gets here
/// only when no program was found.
#[rustfmt::skip]
const BUILTINS: [&str; 58] = [
    "!", ".", ":", "[[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "coproc", "declare",
    "dirs", "disown", "echo", "enable", "eval", "exec", "exit", "export", "fc", "fg", "for", "function", "getopts",
    "hash", "help", "history", "if", "jobs", "let", "local", "mapfile", "popd", "pushd", "read", "readonly", "return",
    "select", "set", "shift", "shopt", "source", "test", "time", "times", "trap", "type", "typeset", "ulimit", "umask",
    "unalias", "unset", "until", "wait", "while",
];

/// Replaces this process by the command. Returns only if that could not be done.
pub(crate) fn exec_command(
    command: &[OsString],
    environ: &EnvBlock,
    core_limit: &SavedCoreLimit,
) -> Error {
    startup::restore_pipe();
    core_limit.restore();
    let error = search(command, environ);
    startup::ignore_pipe();
    error
}

fn search(command: &[OsString], environ: &EnvBlock) -> Error {
    let program = command.first().map(OsString::as_os_str).unwrap_or_default();
    // A word of argv cannot hold a NUL: it came as a C string.
    let words: Vec<CString> = command
        .iter()
        .map(|word| CString::new(word.as_bytes()).unwrap_or_default())
        .collect();
    let searched = !program.as_bytes().contains(&b'/');
    let mut refused = None;
    let mut without_loader = None;
    for path in candidates(program, environ) {
        match attempt(&path, &words, environ) {
            Errno::EACCES => {
                refused.get_or_insert(path);
            }
            Errno::ENOENT => without_loader = without_loader.or_else(|| loader::missing(&path)),
            // No file can have such a name: most often it is a whole command line.
            Errno::ENAMETOOLONG if searched => {}
            Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT if searched => {}
            Errno::ENOEXEC => {
                let why = "exec format error: it is damaged or built for another kind of machine"
                    .to_owned();
                return Error::CommandNotExecutable { command: path, why };
            }
            other => {
                return Error::CommandNotExecutable {
                    command: path,
                    why: errno_text(other),
                };
            }
        }
    }
    if let Some(path) = refused {
        let why = if path.is_dir() {
            "it is a directory".to_owned()
        } else {
            errno_text(Errno::EACCES)
        };
        return Error::CommandNotExecutable { command: path, why };
    }
    let why = match without_loader {
        Some(loader) => CommandMissing::NoInterpreter(loader),
        None if BUILTINS.iter().any(|builtin| program == *builtin) => CommandMissing::ShellBuiltin,
        None if program.as_bytes().contains(&b' ') => CommandMissing::CommandLine,
        None if searched => CommandMissing::NotInPath,
        None => CommandMissing::NoSuchFile,
    };
    Error::CommandNotFound {
        command: program.to_owned(),
        why,
    }
}

/// The paths to try: the program itself if it has a slash, else one for each folder of PATH, where
/// an empty one is the working directory.
fn candidates(program: &OsStr, environ: &EnvBlock) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(program)];
    }
    // In every folder these would be the folder itself.
    if program.is_empty() || program == "." {
        return Vec::new();
    }
    let path = environ.get("PATH").map_or(DEFAULT_PATH, OsStr::as_bytes);
    path.split(|byte| *byte == b':')
        .map(|folder| Path::new(OsStr::from_bytes(folder)).join(program))
        .collect()
}

/// One execve(2), and the shell for a file that the kernel does not know how to run.
fn attempt(path: &Path, words: &[CString], environ: &EnvBlock) -> Errno {
    let Ok(file) = CString::new(path.as_os_str().as_bytes()) else {
        return Errno::ENOENT;
    };
    let Err(errno) = execve(&file, words, environ.entries());
    if errno != Errno::ENOEXEC || loader::is_binary(path) {
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
