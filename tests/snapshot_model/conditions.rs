//! The conditions under which the starts run: what exists before, how locks work, and the mistakes that the
//! program could have.

/// What exists before the starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Before {
    Nothing,
    Old,
    /// Also the temporary file of a killed start.
    OldAndLeftover,
}

/// How flock(2) works on the file system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Locks {
    Work,
    /// It fails.
    Missing,
    /// It always succeeds: each start is on another machine, and its locks do not reach the others.
    Local,
}

/// A mistake that the program could have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    NoSweep,
    SweepIgnoresLock,
    SweepUnlocksBeforeUnlink,
    /// Only the start of the file was lost in a power failure.
    SweepKeepsFileWithoutStart,
    WriterDoesNotLock,
    WriterDoesNotLookAfterLock,
    WriterUnlocksBeforeRename,
    WriterUnlinksBeforeRename,
    WriterWritesInPlace,
    WriterDoesNotSync,
    WriterSyncsAfterRename,
    /// It removes what is there after it has read a snapshot of its token.
    RefusedStartDoesNotLookAgain,
}
