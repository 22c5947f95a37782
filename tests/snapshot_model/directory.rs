//! A directory with a snapshot, and the starts that use it at the same time.

use std::collections::{BTreeMap, BTreeSet};

use super::start::{Start, Step, Token};

/// Who has written a half of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Author {
    /// A start before all of these.
    Earlier,
    /// The start with this number.
    Start(usize),
}

/// What the two halves of a file hold.
pub(super) type Halves = [Option<Author>; 2];

/// A file, whatever its name is. No temporary name is used twice, so this also tells the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum FileId {
    Old,
    Leftover,
    New { start: usize, attempt: usize },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct File {
    pub(super) halves: Halves,
    pub(super) synced: bool,
    /// The number of the start that holds the lock.
    pub(super) locked_by: Option<usize>,
}

/// The names in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Directory {
    pub(super) snapshot: Option<FileId>,
    pub(super) temporary: BTreeSet<FileId>,
}

impl Directory {
    fn has(&self, id: FileId) -> bool {
        self.snapshot == Some(id) || self.temporary.contains(&id)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(super) directory: Directory,
    /// The files that have a name or are open.
    pub(super) files: BTreeMap<FileId, File>,
    pub(super) starts: Vec<Start>,
    /// All earlier directories, if the power can fail.
    pub(super) earlier: BTreeSet<Directory>,
    /// The property that the last step has violated.
    pub(super) violated: Option<&'static str>,
}

impl State {
    /// The file that a start has open.
    pub(super) fn open_file(&mut self, start: &Start) -> &mut File {
        self.files.get_mut(&start.open.unwrap()).unwrap()
    }

    /// Whether the file that a start has open has its temporary name.
    pub(super) fn has_temporary_name(&self, start: &Start) -> bool {
        self.directory.temporary.contains(&start.open.unwrap())
    }

    pub(super) fn unlock(&mut self, number: usize) {
        for file in self.files.values_mut() {
            file.locked_by = file.locked_by.filter(|holder| *holder != number);
        }
    }

    /// The death of a process closes its file, which unlocks it.
    pub(super) fn kill(&mut self, number: usize) {
        self.unlock(number);
        self.starts[number] = Start::new(self.starts[number].role, Step::Killed);
        self.forget_files();
    }

    /// Forgets the files that have no name and are not open.
    pub(super) fn forget_files(&mut self) {
        let (starts, earlier) = (&self.starts, &self.earlier);
        let directories = || earlier.iter().chain([&self.directory]);
        self.files.retain(|id, _| {
            let is_open = starts.iter().any(|start| start.open == Some(*id));
            is_open || directories().any(|directory| directory.has(*id))
        });
    }

    /// The token that a file was encrypted with, if the file is whole.
    pub(super) fn token(&self, halves: Halves) -> Option<Token> {
        match halves {
            [Some(one), Some(other)] if one == other => match one {
                Author::Earlier => Some(Token::First),
                Author::Start(number) => self.starts[number].role.token(),
            },
            _ => None,
        }
    }

    /// Whether a running start writes this file and holds it to be its own.
    pub(super) fn is_being_written(&self, id: FileId) -> bool {
        let writes = |step| (Step::Chmod..=Step::Rename).contains(&step);
        let mut starts = self.starts.iter();
        starts.any(|start| writes(start.step) && start.open == Some(id))
    }

    /// Locks the file that the first start has open, as the second.
    pub(crate) fn lock_open_file(&mut self) {
        let start = self.starts[0].clone();
        self.open_file(&start).locked_by = Some(1);
    }

    /// Removes the temporary files, as the second start.
    pub(crate) fn remove_temporary_files(&mut self) {
        self.directory.temporary.clear();
    }

    /// All that a power failure can leave. The directory is as it was at some moment. Each half of a file
    /// that was not synced is there or lost.
    pub(super) fn after_power_failure(&self) -> Vec<Self> {
        let mut dead = self.clone();
        for number in 0..dead.starts.len() {
            dead.kill(number);
        }
        dead.earlier.clear();
        let with_names = |directory: &Directory| {
            let directory = directory.clone();
            Self {
                directory,
                ..dead.clone()
            }
        };
        let directories = self.earlier.iter().chain([&self.directory]);
        let mut states: Vec<Self> = directories.map(with_names).collect();
        for (id, file) in self.files.iter().filter(|(_, file)| !file.synced) {
            let [start, rest] = file.halves;
            let left: BTreeSet<Halves> =
                [[start, rest], [start, None], [None, rest], [None, None]].into();
            let with_halves = |state: &Self, halves| {
                let mut state = state.clone();
                let synced = File {
                    halves,
                    synced: true,
                    locked_by: None,
                };
                state.files.insert(*id, synced);
                state
            };
            let each = |state| left.iter().map(move |halves| (state, *halves));
            states = states
                .iter()
                .flat_map(each)
                .map(|(state, halves)| with_halves(state, halves))
                .collect();
        }
        states.iter_mut().for_each(Self::forget_files);
        states
    }
}
