//! A start that uses the snapshot: what it does with it, and the system calls that this takes.

use super::directory::{FileId, Halves};

/// The token of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    /// The one with which the old snapshot was made.
    First,
    Second,
}

/// What a start does with the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Phase has responded with the secrets.
    Write(Token),
    /// Phase is unreachable.
    Read,
    /// Phase refuses the token.
    Remove(Token),
}

impl Role {
    pub(super) fn token(self) -> Option<Token> {
        match self {
            Self::Write(token) | Self::Remove(token) => Some(token),
            Self::Read => None,
        }
    }
}

/// The system calls, in the order of the functions in `src/snapshot/file.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    // `read`, and `check_replaceable`, which reads only the first half.
    OpenSnapshot,
    StatSnapshot,
    ReadFirstHalf,
    ReadSecondHalf,
    // `remove`.
    StatBeforeUnlink,
    FindSnapshot,
    UnlinkSnapshot,
    CloseSnapshot,
    // `remove_leftovers`.
    OpenDirectory,
    List,
    OpenLeftover,
    StatLeftover,
    ReadLeftover,
    CountLinks,
    LockLeftover,
    StatLockedLeftover,
    FindLeftover,
    UnlinkLeftover,
    CloseLeftover,
    ListAgain,
    CloseDirectory,
    // `create_locked`.
    Create,
    Lock,
    StatLocked,
    Find,
    Discard,
    CloseDiscarded,
    // `write_and_rename`.
    Chmod,
    WriteFirstHalf,
    WriteSecondHalf,
    Sync,
    Rename,
    Close,
    // No system call is left.
    Ended,
    Killed,
}

impl Step {
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Ended | Self::Killed)
    }

    /// The system call, in one word for all its forms, and what its paths name.
    pub(super) fn call(self) -> &'static str {
        match self {
            Self::OpenSnapshot => "open snapshot",
            Self::FindSnapshot => "lstat snapshot",
            Self::UnlinkSnapshot => "unlink snapshot",
            Self::OpenDirectory => "open directory",
            Self::List | Self::ListAgain => "getdents",
            Self::OpenLeftover => "open temporary",
            Self::Create => "create temporary",
            Self::Lock | Self::LockLeftover => "flock",
            Self::Find | Self::FindLeftover => "lstat temporary",
            Self::Discard | Self::UnlinkLeftover => "unlink temporary",
            Self::Chmod => "fchmod",
            Self::Sync => "fdatasync",
            Self::Rename => "rename temporary snapshot",
            Self::ReadFirstHalf | Self::ReadSecondHalf | Self::ReadLeftover => "read",
            Self::WriteFirstHalf | Self::WriteSecondHalf => "pwrite",
            Self::StatSnapshot
            | Self::StatBeforeUnlink
            | Self::StatLeftover
            | Self::CountLinks
            | Self::StatLockedLeftover
            | Self::StatLocked => "fstat",
            Self::CloseSnapshot
            | Self::CloseLeftover
            | Self::CloseDirectory
            | Self::CloseDiscarded
            | Self::Close => "close",
            Self::Ended | Self::Killed => "no call",
        }
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Start {
    pub(super) role: Role,
    /// The next system call.
    pub(super) step: Step,
    pub(super) open: Option<FileId>,
    /// What it has read of the snapshot.
    pub(super) halves: Halves,
    /// The leftovers that are listed but not yet examined.
    pub(super) leftovers: Vec<FileId>,
    /// How many temporary files it has created.
    pub(super) attempts: usize,
}

impl Start {
    pub(super) fn new(role: Role, step: Step) -> Self {
        Self {
            role,
            step,
            open: None,
            halves: [None; 2],
            leftovers: Vec::new(),
            attempts: 0,
        }
    }

    /// A start that has not yet made a system call.
    pub(super) fn fresh(role: Role) -> Self {
        let step = match role {
            Role::Remove(_) => Step::OpenDirectory,
            Role::Write(_) | Role::Read => Step::OpenSnapshot,
        };
        Self::new(role, step)
    }

    /// The call after a leftover has been examined.
    pub(super) fn next_leftover(&self) -> Step {
        match self.leftovers.is_empty() {
            true => Step::ListAgain,
            false => Step::OpenLeftover,
        }
    }
}
