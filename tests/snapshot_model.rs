//! `--snapshot`: every interleaving of starts that write, read and remove one snapshot.
//!
//! [`protocol`] is a model of these starts. All its states are explored: the system calls in every order,
//! each start killed before or after each of them, and a power failure at any time.
//! `program_makes_the_calls_of_the_model` shows that phase-run makes the calls that the model assumes, and
//! `model_finds_every_fault` that the model finds mistakes.
//!
//! A file has two halves, because a read(2) can see a part of a write(2). rename(2) is atomic. close(2)
//! and the death of a process release its lock (flock(2)). A power failure leaves of a file only what was
//! synced (fsync(2)), and of the directory, which is never synced, any earlier moment.
//!
//! Not in the model: names that getdents(2) returns although they were created after its first call. Nor
//! are calls that fail, and what other programs and users do: `snapshot_file_safety.rs` tests these.

mod conditions;
mod directory;
mod protocol;
mod start;
mod trace;

use crate::explore::explore;
use conditions::{Before, Fault, Locks};
use protocol::{
    FILE_OF_WRITER_STAYS, NEXT_START_CLEANS_UP, NOTHING_IS_LEFT, OTHER_TOKEN_STAYS, Protocol,
    READER_SEES_ONE, SNAPSHOT_IS_WHOLE, SNAPSHOT_STAYS, WRITERS_SUCCEED,
};
use start::Role::{self, Read, Remove, Write};
use start::Token::{First, Second};

const EVERY_BEFORE: [Before; 3] = [Before::Nothing, Before::Old, Before::OldAndLeftover];

const TWO_WRITERS: &[Role] = &[Write(First), Write(First)];

const WRITER_AND_READER: &[Role] = &[Write(First), Read];

/// Phase refuses the first token, with which one service still starts.
const WRITER_AND_REFUSED: &[Role] = &[Write(Second), Remove(First)];

fn assert_holds(protocol: &Protocol<'_>) {
    explore(protocol).unwrap();
}

/// Returns the property that a model violates, and the last three calls before that.
fn violation(protocol: &Protocol<'_>) -> (&'static str, Vec<(usize, &'static str)>) {
    let found = explore(protocol).unwrap_err();
    let last = found.path.len().saturating_sub(3);
    (found.property, found.path[last..].to_vec())
}

#[test]
fn writers_and_reader_never_conflict() {
    for before in EVERY_BEFORE {
        assert_holds(&Protocol::new(before, &[Write(First), Write(First), Read]));
    }
}

/// A refused start removes the snapshot of its token while another start replaces or reads it. The next
/// test has the one exception.
#[test]
fn refused_start_never_conflicts() {
    for roles in [
        &[Write(Second), Remove(First), Read],
        &[Remove(First), Remove(First), Read],
    ] {
        assert_holds(&Protocol {
            has_atomic_removal: true,
            ..Protocol::new(Before::OldAndLeftover, roles)
        });
    }
}

/// A refused start looks whether its snapshot is still there, and then removes it. If another start
/// replaces it between these two calls, the new one is removed. No system call does both.
#[test]
fn snapshot_is_lost_only_right_before_a_removal() {
    let protocol = Protocol::new(Before::Old, WRITER_AND_REFUSED);
    let calls = vec![
        (1, "lstat snapshot"),
        (0, "rename temporary snapshot"),
        (1, "unlink snapshot"),
    ];
    assert_eq!(violation(&protocol), (OTHER_TOKEN_STAYS, calls));
    assert_holds(&Protocol {
        unchecked: &[OTHER_TOKEN_STAYS],
        ..protocol
    });
}

#[test]
fn power_failure_leaves_whole_snapshot() {
    for before in EVERY_BEFORE {
        assert_holds(&Protocol {
            power_can_fail: true,
            ..Protocol::new(before, TWO_WRITERS)
        });
    }
}

#[test]
fn snapshot_is_whole_without_locks() {
    assert_holds(&Protocol {
        locks: Locks::Missing,
        ..Protocol::new(Before::OldAndLeftover, TWO_WRITERS)
    });
}

/// If locks do not reach another machine, a start there can remove the file of a writer. That writer
/// fails, and the snapshot stays whole.
#[test]
fn snapshot_is_whole_with_local_locks() {
    let protocol = Protocol {
        locks: Locks::Local,
        ..Protocol::new(Before::Old, TWO_WRITERS)
    };
    assert_eq!(violation(&protocol).0, FILE_OF_WRITER_STAYS);
    assert_holds(&Protocol {
        unchecked: &[FILE_OF_WRITER_STAYS, WRITERS_SUCCEED],
        ..protocol
    });
}

/// Each property is violated by some fault.
#[test]
fn model_finds_every_fault() {
    use Fault::*;
    for (fault, roles, property) in [
        (NoSweep, TWO_WRITERS, NEXT_START_CLEANS_UP),
        (SweepIgnoresLock, TWO_WRITERS, FILE_OF_WRITER_STAYS),
        (SweepUnlocksBeforeUnlink, TWO_WRITERS, FILE_OF_WRITER_STAYS),
        (
            SweepKeepsFileWithoutStart,
            TWO_WRITERS,
            NEXT_START_CLEANS_UP,
        ),
        (WriterDoesNotLock, TWO_WRITERS, FILE_OF_WRITER_STAYS),
        (WriterDoesNotLookAfterLock, TWO_WRITERS, WRITERS_SUCCEED),
        (WriterUnlocksBeforeRename, TWO_WRITERS, FILE_OF_WRITER_STAYS),
        (WriterUnlinksBeforeRename, TWO_WRITERS, SNAPSHOT_STAYS),
        (WriterWritesInPlace, TWO_WRITERS, SNAPSHOT_IS_WHOLE),
        (WriterDoesNotSync, TWO_WRITERS, SNAPSHOT_IS_WHOLE),
        (WriterSyncsAfterRename, TWO_WRITERS, SNAPSHOT_IS_WHOLE),
        (
            RefusedStartDoesNotLookAgain,
            WRITER_AND_REFUSED,
            OTHER_TOKEN_STAYS,
        ),
    ] {
        let protocol = Protocol {
            fault: Some(fault),
            power_can_fail: true,
            has_atomic_removal: true,
            ..Protocol::new(Before::Old, roles)
        };
        assert_eq!(violation(&protocol).0, property, "{fault:?}");
    }
    for (fault, roles, unchecked, property) in [
        (NoSweep, TWO_WRITERS, NEXT_START_CLEANS_UP, NOTHING_IS_LEFT),
        (
            WriterWritesInPlace,
            WRITER_AND_READER,
            SNAPSHOT_IS_WHOLE,
            READER_SEES_ONE,
        ),
    ] {
        let protocol = Protocol {
            fault: Some(fault),
            unchecked: &[unchecked],
            ..Protocol::new(Before::OldAndLeftover, roles)
        };
        assert_eq!(violation(&protocol).0, property, "{fault:?}");
    }
}
