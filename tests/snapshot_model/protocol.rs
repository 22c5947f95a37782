//! The model: what each system call of a start does, and what must never happen.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::{Before, Fault, Locks};
use super::directory::{Author, Directory, File, FileId, State};
use super::start::{Role, Start, Step, Token};
use crate::explore::{Kind, Model};

pub(crate) const SNAPSHOT_IS_WHOLE: &str = "the snapshot is whole at any time";
pub(crate) const SNAPSHOT_STAYS: &str = "a snapshot that is replaced is there at any time";
pub(crate) const READER_SEES_ONE: &str = "a reader gets one whole snapshot or finds none";
pub(crate) const FILE_OF_WRITER_STAYS: &str = "no start removes a file that another one writes";
pub(crate) const WRITERS_SUCCEED: &str = "no start fails to write because of another";
pub(crate) const OTHER_TOKEN_STAYS: &str = "a refused start removes no snapshot of another token";
pub(crate) const NOTHING_IS_LEFT: &str = "starts that are not killed leave no temporary file";
pub(crate) const NEXT_START_CLEANS_UP: &str =
    "the next start writes its snapshot and removes what killed starts have left";

/// Starts at the same time.
pub(crate) struct Protocol<'a> {
    pub(crate) before: Before,
    pub(crate) roles: &'a [Role],
    pub(crate) fault: Option<Fault>,
    pub(crate) locks: Locks,
    pub(crate) power_can_fail: bool,
    /// Whether a refused start looks for the snapshot and removes it in one step. No system call does
    /// that.
    pub(crate) has_atomic_removal: bool,
    /// The properties that are not checked.
    pub(crate) unchecked: &'a [&'static str],
}

impl<'a> Protocol<'a> {
    pub(crate) fn new(before: Before, roles: &'a [Role]) -> Self {
        Self {
            before,
            roles,
            fault: None,
            locks: Locks::Work,
            power_can_fail: false,
            has_atomic_removal: false,
            unchecked: &[],
        }
    }

    /// The system calls of the first start while no other runs. Before each of them, `meddle` may do what
    /// another process would.
    pub(crate) fn calls(&self, mut meddle: impl FnMut(&str, &mut State)) -> Vec<String> {
        let mut state = self.initial();
        let mut calls = Vec::new();
        while !state.starts[0].step.has_ended() {
            let call = state.starts[0].step.call();
            meddle(call, &mut state);
            calls.push(call.to_owned());
            self.advance(&mut state, 0);
        }
        calls
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn initial(&self) -> State {
        let file = |halves| File {
            halves,
            synced: true,
            locked_by: None,
        };
        let old = (FileId::Old, file([Some(Author::Earlier); 2]));
        let leftover = (FileId::Leftover, file([Some(Author::Earlier), None]));
        let (files, temporary) = match self.before {
            Before::Nothing => (BTreeMap::new(), BTreeSet::new()),
            Before::Old => ([old].into(), BTreeSet::new()),
            Before::OldAndLeftover => ([old, leftover].into(), [FileId::Leftover].into()),
        };
        let snapshot = (self.before != Before::Nothing).then_some(FileId::Old);
        State {
            directory: Directory {
                snapshot,
                temporary,
            },
            files,
            starts: self.roles.iter().copied().map(Start::fresh).collect(),
            earlier: BTreeSet::new(),
            violated: None,
        }
    }

    /// Makes the next system call of a start.
    fn advance(&self, state: &mut State, number: usize) {
        let before = state.directory.clone();
        let mut start = state.starts[number].clone();
        start.step = match start.step {
            step if step <= Step::CloseSnapshot => self.use_snapshot(state, &mut start),
            step if (Step::OpenLeftover..=Step::CloseLeftover).contains(&step) => {
                self.remove_leftover(state, number, &mut start)
            }
            step if step <= Step::CloseDirectory => Self::sweep(state, &mut start),
            step if step <= Step::CloseDiscarded => self.create_locked(state, number, &mut start),
            _ => self.write_and_rename(state, number, &mut start),
        };
        if start.step == Step::Ended {
            start = Start::new(start.role, Step::Ended);
        }
        state.starts[number] = start;
        if self.power_can_fail && state.directory != before {
            state.earlier.insert(before);
        }
        state.forget_files();
    }

    fn use_snapshot(&self, state: &mut State, start: &mut Start) -> Step {
        match start.step {
            Step::OpenSnapshot => {
                start.open = state.directory.snapshot;
                match (start.open, start.role) {
                    (Some(_), _) => Step::StatSnapshot,
                    (None, Role::Write(_)) => Step::OpenDirectory,
                    (None, Role::Read | Role::Remove(_)) => Step::Ended,
                }
            }
            Step::StatSnapshot => Step::ReadFirstHalf,
            Step::ReadFirstHalf => {
                start.halves[0] = state.open_file(start).halves[0];
                match start.role {
                    Role::Write(_) => Step::CloseSnapshot,
                    Role::Read | Role::Remove(_) => Step::ReadSecondHalf,
                }
            }
            Step::ReadSecondHalf => {
                start.halves[1] = state.open_file(start).halves[1];
                let token = state.token(start.halves);
                if token.is_none() {
                    self.violate(state, READER_SEES_ONE);
                }
                let is_refused = token.is_some_and(|token| start.role == Role::Remove(token));
                match is_refused {
                    true if self.has(Fault::RefusedStartDoesNotLookAgain) => Step::UnlinkSnapshot,
                    true => Step::StatBeforeUnlink,
                    false => Step::CloseSnapshot,
                }
            }
            Step::StatBeforeUnlink => Step::FindSnapshot,
            Step::FindSnapshot => match state.directory.snapshot == start.open {
                true if self.has_atomic_removal => self.unlink_snapshot(state, start),
                true => Step::UnlinkSnapshot,
                false => Step::CloseSnapshot,
            },
            Step::UnlinkSnapshot if self.has(Fault::WriterUnlinksBeforeRename) => {
                state.directory.snapshot = None;
                Step::Rename
            }
            Step::UnlinkSnapshot => self.unlink_snapshot(state, start),
            _ => {
                start.open = None;
                match start.role {
                    Role::Write(_) if self.has(Fault::NoSweep) => Step::Create,
                    Role::Write(_) => Step::OpenDirectory,
                    Role::Read | Role::Remove(_) => Step::Ended,
                }
            }
        }
    }

    fn unlink_snapshot(&self, state: &mut State, start: &Start) -> Step {
        let removed = state.directory.snapshot.take();
        let token = removed.and_then(|id| state.token(state.files[&id].halves));
        if token.is_some_and(|token| start.role != Role::Remove(token)) {
            self.violate(state, OTHER_TOKEN_STAYS);
        }
        Step::CloseSnapshot
    }

    fn sweep(state: &State, start: &mut Start) -> Step {
        match start.step {
            Step::OpenDirectory => Step::List,
            Step::List => {
                start.leftovers = state.directory.temporary.iter().copied().collect();
                start.next_leftover()
            }
            Step::ListAgain => Step::CloseDirectory,
            _ => match start.role {
                Role::Write(_) => Step::Create,
                Role::Read | Role::Remove(_) => Step::OpenSnapshot,
            },
        }
    }

    fn remove_leftover(&self, state: &mut State, number: usize, start: &mut Start) -> Step {
        match start.step {
            Step::OpenLeftover => {
                start.open = start.leftovers.pop();
                if state.has_temporary_name(start) {
                    return Step::StatLeftover;
                }
                start.open = None;
                start.next_leftover()
            }
            Step::StatLeftover => Step::ReadLeftover,
            Step::ReadLeftover => match state.open_file(start).halves {
                [None, Some(_)] if self.has(Fault::SweepKeepsFileWithoutStart) => {
                    Step::CloseLeftover
                }
                _ => Step::CountLinks,
            },
            Step::CountLinks => {
                let is_snapshot = state.directory.snapshot == start.open;
                match state.has_temporary_name(start) || is_snapshot {
                    true => Step::LockLeftover,
                    false => Step::CloseLeftover,
                }
            }
            Step::LockLeftover if self.has(Fault::SweepIgnoresLock) => Step::StatLockedLeftover,
            Step::LockLeftover => match self.lock(state, number, start) {
                true => Step::StatLockedLeftover,
                false => Step::CloseLeftover,
            },
            Step::StatLockedLeftover => Step::FindLeftover,
            Step::FindLeftover => {
                if self.has(Fault::SweepUnlocksBeforeUnlink) {
                    state.unlock(number);
                }
                match state.has_temporary_name(start) {
                    true => Step::UnlinkLeftover,
                    false => Step::CloseLeftover,
                }
            }
            Step::UnlinkLeftover => {
                let id = start.open.unwrap();
                if state.directory.temporary.remove(&id) && state.is_being_written(id) {
                    self.violate(state, FILE_OF_WRITER_STAYS);
                }
                Step::CloseLeftover
            }
            _ => {
                state.unlock(number);
                start.open = None;
                start.next_leftover()
            }
        }
    }

    fn create_locked(&self, state: &mut State, number: usize, start: &mut Start) -> Step {
        match start.step {
            Step::Create if self.has(Fault::WriterWritesInPlace) => {
                let id = state.directory.snapshot.unwrap_or(FileId::Old);
                state.directory.snapshot = Some(id);
                state.files.insert(id, File::default());
                start.open = Some(id);
                Step::WriteFirstHalf
            }
            Step::Create => self.create(state, number, start),
            Step::Lock if self.locks == Locks::Missing => Step::Chmod,
            Step::Lock => match self.lock(state, number, start) {
                true if self.has(Fault::WriterDoesNotLookAfterLock) => Step::Chmod,
                true => Step::StatLocked,
                false => Step::Discard,
            },
            Step::StatLocked => Step::Find,
            Step::Find => match state.has_temporary_name(start) {
                true => Step::Chmod,
                false => Step::Discard,
            },
            Step::Discard => {
                state.directory.temporary.remove(&start.open.unwrap());
                Step::CloseDiscarded
            }
            _ => {
                state.unlock(number);
                start.open = None;
                Step::Create
            }
        }
    }

    fn write_and_rename(&self, state: &mut State, number: usize, start: &mut Start) -> Step {
        match start.step {
            Step::Chmod => Step::WriteFirstHalf,
            Step::WriteFirstHalf => {
                state.open_file(start).halves[0] = Some(Author::Start(number));
                Step::WriteSecondHalf
            }
            Step::WriteSecondHalf => {
                state.open_file(start).halves[1] = Some(Author::Start(number));
                match self.fault {
                    Some(Fault::WriterDoesNotSync | Fault::WriterSyncsAfterRename) => Step::Rename,
                    _ => Step::Sync,
                }
            }
            Step::Sync => {
                state.open_file(start).synced = true;
                if self.has(Fault::WriterUnlocksBeforeRename) {
                    state.unlock(number);
                }
                match self.fault {
                    Some(Fault::WriterSyncsAfterRename | Fault::WriterWritesInPlace) => Step::Close,
                    Some(Fault::WriterUnlinksBeforeRename) => Step::UnlinkSnapshot,
                    _ => Step::Rename,
                }
            }
            Step::Rename => {
                match state.directory.temporary.remove(&start.open.unwrap()) {
                    true => state.directory.snapshot = start.open,
                    false => self.violate(state, WRITERS_SUCCEED),
                }
                match self.has(Fault::WriterSyncsAfterRename) {
                    true => Step::Sync,
                    false => Step::Close,
                }
            }
            _ => {
                state.unlock(number);
                Step::Ended
            }
        }
    }

    /// Creates a temporary file. A writer may lose one to each other start, but no more.
    fn create(&self, state: &mut State, number: usize, start: &mut Start) -> Step {
        if start.attempts == self.roles.len() {
            self.violate(state, WRITERS_SUCCEED);
            return Step::Ended;
        }
        let id = FileId::New {
            start: number,
            attempt: start.attempts,
        };
        start.attempts += 1;
        start.open = Some(id);
        state.directory.temporary.insert(id);
        state.files.insert(id, File::default());
        match self.has(Fault::WriterDoesNotLock) {
            true => Step::Chmod,
            false => Step::Lock,
        }
    }

    /// Tries to lock the open file of a start, and returns whether that succeeded.
    fn lock(&self, state: &mut State, number: usize, start: &Start) -> bool {
        let file = state.open_file(start);
        let is_locked = match self.locks {
            Locks::Work => file.locked_by.is_none(),
            Locks::Missing => false,
            Locks::Local => return true,
        };
        if is_locked {
            file.locked_by = Some(number);
        }
        is_locked
    }

    fn violate(&self, state: &mut State, property: &'static str) {
        if !self.unchecked.contains(&property) {
            state.violated = Some(property);
        }
    }

    /// Returns what is wrong after all starts have ended, and after one more.
    fn violation_at_the_end(&self, state: &State) -> Option<&'static str> {
        let is_clean =
            |state: &State| self.locks == Locks::Missing || state.directory.temporary.is_empty();
        let was_killed = |start: &Start| start.step == Step::Killed;
        if !state.starts.iter().any(was_killed) && !is_clean(state) {
            return Some(NOTHING_IS_LEFT);
        }
        let mut state = state.clone();
        let next = state.starts.len();
        state.starts.push(Start::fresh(Role::Write(Token::Second)));
        while !state.starts[next].step.has_ended() {
            self.advance(&mut state, next);
        }
        let halves = state.directory.snapshot.map(|id| state.files[&id].halves);
        let is_written = halves == Some([Some(Author::Start(next)); 2]);
        (!is_written || !is_clean(&state)).then_some(NEXT_START_CLEANS_UP)
    }
}

impl Model for Protocol<'_> {
    type State = State;
    /// The number of a start, and its system call or its fate.
    type Step = (usize, &'static str);

    fn starts(&self) -> Vec<State> {
        vec![self.initial()]
    }

    fn steps(&self, state: &State, into: &mut Vec<(Kind, Self::Step, State)>) {
        let is_running = |number: &usize| !state.starts[*number].step.has_ended();
        for number in (0..state.starts.len()).filter(is_running) {
            let mut next = state.clone();
            self.advance(&mut next, number);
            let call = state.starts[number].step.call();
            into.push((Kind::Own, (number, call), next));
            let mut next = state.clone();
            next.kill(number);
            into.push((Kind::Chance, (number, "is killed"), next));
        }
        if self.power_can_fail && !self.may_rest(state) {
            let states = state.after_power_failure().into_iter();
            let fate = (0, "is killed with all others by a power failure");
            into.extend(states.map(|next| (Kind::Chance, fate, next)));
        }
    }

    fn violation(&self, state: &State) -> Option<&'static str> {
        let can_be_removed = self
            .roles
            .iter()
            .any(|role| matches!(role, Role::Remove(_)));
        let halves = state.directory.snapshot.map(|id| state.files[&id].halves);
        let violated = match halves {
            _ if state.violated.is_some() => state.violated,
            Some(halves) if state.token(halves).is_none() => Some(SNAPSHOT_IS_WHOLE),
            None if self.before != Before::Nothing && !can_be_removed => Some(SNAPSHOT_STAYS),
            _ if self.may_rest(state) => self.violation_at_the_end(state),
            _ => None,
        };
        violated.filter(|property| !self.unchecked.contains(property))
    }

    fn may_rest(&self, state: &State) -> bool {
        state.starts.iter().all(|start| start.step.has_ended())
    }
}
