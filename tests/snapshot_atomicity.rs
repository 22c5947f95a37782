//! `--snapshot`: the file is complete or absent, even if writers are killed or run at once.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::{read, read_to_string, remove_file, rename};
use std::path::{Path, PathBuf};
use std::thread::scope;

use fake_phase::Responder;

use crate::snapshot::{SnapshotShop, VALUE, names, snapshot_shop};
use crate::support::{
    Output, Run, Running, SHOP, Status, eventually, kill, require_programs, set_secret_value,
};

const NEW: &str = "canary of the new value";

/// The name of a temporary file of a killed start.
pub(crate) const LEFTOVER: &str = ".snapshot.abcdefghijABCDEFGHIJ";

pub(crate) fn traced(run: Run<'_>) -> Run<'_> {
    run.wrap(["strace", "-ff", "-qqq", "-o", "../trace"])
}

/// A system call of the main thread: its name, its ordinal among the calls of that name, and the line
/// of the trace.
pub(crate) type Call = (String, usize, String);

/// The files that strace has written, one for each thread.
fn trace_paths(shop: &SnapshotShop) -> Vec<PathBuf> {
    let directory = shop.sandbox.directory().parent().unwrap();
    let traces = names(directory)
        .into_iter()
        .filter(|name| name.starts_with("trace."));
    traces.map(|name| directory.join(name)).collect()
}

fn remove_traces(shop: &SnapshotShop) {
    for path in trace_paths(shop) {
        remove_file(path).unwrap();
    }
}

/// The pid of the process that becomes the command, and the trace of its main thread.
fn main_trace(shop: &SnapshotShop) -> Option<(libc::pid_t, String)> {
    trace_paths(shop).into_iter().find_map(|path| {
        let trace = read_to_string(&path).unwrap();
        let pid = path.extension().unwrap().to_str().unwrap();
        trace
            .starts_with("execve(")
            .then(|| (pid.parse().unwrap(), trace))
    })
}

/// Returns the calls of a start that has ended, and removes its traces.
pub(crate) fn calls(shop: &SnapshotShop) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let (_, trace) = main_trace(shop).unwrap();
    remove_traces(shop);
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let before = calls.iter().filter(|(other, ..)| other == name).count();
        calls.push((name.to_owned(), before + 1, line.to_owned()));
    }
    calls
}

/// Returns whether a system call is `base` or its form for a directory descriptor. arm64 has only the
/// latter (syscalls(2)).
fn is_call(name: &str, base: &str) -> bool {
    name.strip_prefix(base)
        .is_some_and(|suffix| ["", "at", "at2"].contains(&suffix))
}

/// The calls from before the check of the old file until after the rename of the new one.
fn steps(calls: &[Call]) -> Vec<Call> {
    // The words of the command line are in execve's line.
    let is_check = |(name, _, line): &Call| name != "execve" && line.contains("\"snapshot\"");
    let first = calls.iter().position(is_check).unwrap();
    let last = calls.iter().rposition(|(name, _, line)| {
        is_call(name, "rename") && line.split('"').nth(3) == Some("snapshot")
    });
    let last = last.unwrap();
    calls[first..last + 3].to_vec()
}

/// The file names that a call has in its paths.
pub(crate) fn file_names(line: &str) -> Vec<&str> {
    let paths = line.split('"').skip(1).step_by(2);
    paths
        .map(|path| path.rsplit('/').next().unwrap_or(path))
        .collect()
}

pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_prefix(".snapshot.").is_some_and(|suffix| {
        suffix.len() == 20 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Returns whether a call has created a temporary file.
pub(crate) fn has_created((name, _, line): &Call) -> bool {
    let is_temporary = file_names(line).into_iter().any(is_temporary);
    is_call(name, "open") && line.contains("O_CREAT") && is_temporary && !has_failed(line)
}

pub(crate) fn has_failed(line: &str) -> bool {
    line.contains(") = -1") || line.contains(" = ?")
}

/// Returns the temporary files after these calls, and whether the new snapshot is in place.
fn state_after(calls: &[Call], mut temporary: BTreeSet<String>) -> (BTreeSet<String>, bool) {
    let mut in_place = false;
    for call in calls.iter().filter(|(.., line)| !has_failed(line)) {
        let (name, _, line) = call;
        match file_names(line)[..] {
            [file, ..] if has_created(call) => _ = temporary.insert(file.to_owned()),
            [file, ..] if is_call(name, "unlink") => _ = temporary.remove(file),
            [file, "snapshot"] if is_call(name, "rename") => {
                assert!(temporary.remove(file), "{line}");
                in_place = true;
            }
            _ => {}
        }
    }
    (temporary, in_place)
}

/// What exists before the start that is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Old,
    /// Also the temporary file of another killed start.
    OldAndLeftover,
}

/// Kills a start at each system call with which it writes the snapshot.
fn kill_at_each_call(before: Before) {
    let shop = snapshot_shop().with_snapshot();
    let old = read(&shop.file).unwrap();
    set_secret_value(&shop.phase, NEW);
    let leftover = (before == Before::OldAndLeftover).then(|| LEFTOVER.to_owned());
    let prepare = || {
        match before {
            Before::Nothing => remove_file(&shop.file).unwrap(),
            Before::Old | Before::OldAndLeftover => drop(shop.sandbox.file("snapshot", &old)),
        }
        if let Some(name) = &leftover {
            shop.sandbox.file(name, &old[..old.len() / 2]);
        }
        BTreeSet::from_iter(leftover.clone())
    };
    let existing = prepare();
    let _ = traced(shop.run_with(&[])).output().assert_ok();
    let whole = calls(&shop);
    assert_eq!(state_after(&whole, existing), (BTreeSet::new(), true));
    let mut seen = Vec::new();
    for (name, nth, line) in &steps(&whole) {
        let existing = prepare();
        let kill = format!("inject={name}:signal=KILL:when={nth}");
        let run = traced(shop.run_with(&[])).wrap(["-e", &kill]);
        let _ = run.output().assert_status(Status::Killed(libc::SIGKILL));
        let calls = calls(&shop);
        let last = calls.last().unwrap();
        assert_eq!((&last.0, last.1), (name, *nth), "{line}");

        let (mut expected, in_place) = state_after(&calls, existing);
        seen.push((expected.len(), in_place));
        let case = format!("{before:?}, killed at {line}");
        let has_one = in_place || before != Before::Nothing;
        expected.extend(has_one.then(|| "snapshot".to_owned()));
        let expected = Vec::from_iter(expected);
        assert_eq!(names(shop.sandbox.directory()), expected, "{case}");
        let output = shop.run_with(&["--offline"]).output();
        if has_one {
            let output = output.assert_log_lines(&["using the snapshot"]).assert_ok();
            let value = if in_place { NEW } else { VALUE };
            assert_eq!(output.text().trim_end(), value, "{case}");
        } else {
            let output = output.assert_error(125, "snapshot");
            assert!(output.stderr.contains("it does not exist"), "{output}");
        }

        // The next start works as usual.
        let output = shop.run_with(&[]).output().assert_ok();
        assert_eq!(output.text().trim_end(), NEW);
        assert_eq!(names(shop.sandbox.directory()), ["snapshot"], "{case}");
        let output = shop.run_with(&["--offline"]).output();
        let output = output.assert_log_lines(&["using the snapshot"]).assert_ok();
        assert_eq!(output.text().trim_end(), NEW, "{case}");
    }
    // All states were seen: from before the temporary file is created to after it is renamed.
    seen.dedup();
    let expected: &[_] = match before {
        Before::OldAndLeftover => &[(1, false), (0, false), (1, false), (0, true)],
        Before::Nothing | Before::Old => &[(0, false), (1, false), (0, true)],
    };
    assert_eq!(seen, expected, "{before:?}");
}

/// A start that is killed at any call leaves the complete old file or the complete new one, and at most
/// one temporary file, which the next start removes.
#[test]
fn snapshot_write_is_atomic_under_sigkill() {
    if !require_programs(&["strace"]) {
        return;
    }
    scope(|scope| {
        for before in [Before::Nothing, Before::Old, Before::OldAndLeftover] {
            scope.spawn(move || kill_at_each_call(before));
        }
    });
}

/// Of several starts at once the last one wins, and the file is complete at any time.
#[test]
fn concurrent_writes_never_tear_snapshot() {
    let shop = snapshot_shop().with_snapshot();
    for count in [2, 10].repeat(6) {
        let starts: Vec<_> = (0..count).map(|_| shop.run_with(&[]).spawn()).collect();
        shop.assert_readable();
        for running in starts {
            let _ = running.wait().assert_ok();
        }
        shop.assert_readable();
        assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
    }
}

/// The snapshot does not need /proc.
#[test]
fn snapshot_is_written_without_proc() {
    let shop = snapshot_shop();
    let _ = shop.run_with(&[]).without_proc().output().assert_ok();
    shop.assert_readable();
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
}

/// A start that is stopped after a system call.
pub(crate) struct StoppedStart {
    running: Running,
    pid: i32,
}

impl StoppedStart {
    /// Starts phase-run, and stops it after the call that `is_last` picks from a trace of the same start.
    pub(crate) fn after(
        shop: &SnapshotShop,
        prepare: impl Fn(),
        is_last: impl Fn(&Call) -> bool,
    ) -> Self {
        prepare();
        let _ = traced(shop.run_with(&[])).output();
        let calls = calls(shop);
        let (name, nth, _) = calls.iter().find(|call| is_last(call)).unwrap();
        prepare();
        let stop = format!("inject={name}:signal=STOP:when={nth}");
        let running = traced(shop.run_with(&[])).wrap(["-e", &stop]).spawn();
        let pid = eventually("the process has stopped", || {
            let (pid, trace) = main_trace(shop).ok_or_else(String::new)?;
            let has_stopped = trace.contains("--- stopped by SIGSTOP ---");
            has_stopped.then_some(pid).ok_or(trace)
        });
        Self { running, pid }
    }

    pub(crate) fn resume(self) -> Output {
        kill(self.pid, libc::SIGCONT);
        self.running.wait()
    }
}

pub(crate) fn only_temporary_file(directory: &Path) -> PathBuf {
    let names = names(directory);
    let mut temporary = names.iter().filter(|name| is_temporary(name));
    let found = directory.join(temporary.next().unwrap());
    assert_eq!(temporary.next(), None);
    found
}

/// A start whose temporary file is removed before it is locked makes another.
#[test]
fn writer_replaces_a_file_it_lost_before_the_lock() {
    if !require_programs(&["strace"]) {
        return;
    }
    let shop = snapshot_shop();
    let start = StoppedStart::after(&shop, || (), has_created);
    remove_file(only_temporary_file(shop.sandbox.directory())).unwrap();
    let _ = start.resume().assert_ok();
    assert_eq!(
        calls(&shop).iter().filter(|call| has_created(call)).count(),
        2
    );
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
    shop.assert_readable();

    // Another start holds the lock, because it is about to remove the file.
    let busy = "inject=flock:error=EAGAIN:when=1";
    let _ = traced(shop.run_with(&[]))
        .wrap(["-e", busy])
        .output()
        .assert_ok();
    assert_eq!(
        calls(&shop).iter().filter(|call| has_created(call)).count(),
        2
    );
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
}

/// A start has opened the temporary file of another start, which then renames it.
#[test]
fn renamed_temporary_file_is_not_taken_for_a_leftover() {
    if !require_programs(&["strace"]) {
        return;
    }
    let shop = snapshot_shop().with_snapshot();
    let content = read(&shop.file).unwrap();
    let leave = || drop(shop.sandbox.file(LEFTOVER, &content));
    let opens_leftover = |(name, _, line): &Call| is_call(name, "open") && line.contains(LEFTOVER);
    let start = StoppedStart::after(&shop, leave, opens_leftover);
    let new = shop.sandbox.directory().join("new");
    rename(shop.sandbox.directory().join(LEFTOVER), &new).unwrap();
    let _ = start.resume().assert_ok();
    let removed = |(name, _, line): &Call| is_call(name, "unlink") && line.contains(LEFTOVER);
    assert!(!calls(&shop).iter().any(removed));
    assert_eq!(names(shop.sandbox.directory()), ["new", "snapshot"]);
}

/// A refused start removes the file that it has read, and not one that another start has written since.
#[test]
fn refused_start_keeps_a_snapshot_written_meanwhile() {
    if !require_programs(&["strace"]) {
        return;
    }
    let shop = snapshot_shop().with_snapshot();
    let old = read(&shop.file).unwrap();
    let prepare = || {
        shop.sandbox.file("snapshot", &old);
        shop.phase.respond("", Responder::error(401, "no").times(1));
    };
    let reads_snapshot =
        |(name, _, line): &Call| name == "read" && line.contains("phase-run snapshot v1");
    let start = StoppedStart::after(&shop, prepare, reads_snapshot);
    let _ = shop.run_with(&[]).output().assert_ok();
    let new = read(&shop.file).unwrap();
    assert!(new != old);
    let warning = "warning: cannot remove the snapshot snapshot, although Phase denies access to its \
        secrets: another process has replaced it";
    let output = start.resume().assert_log_lines(&[warning]);
    let _ = output.assert_error(125, "token");
    assert!(read(&shop.file).unwrap() == new);
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
}

/// A running start keeps its temporary file, and the start after its death removes it.
#[test]
fn temporary_file_stays_while_its_writer_runs() {
    if !require_programs(&["strace"]) {
        return;
    }
    let shop = snapshot_shop().with_snapshot();
    let is_sync = |(name, ..): &Call| name == "fdatasync";
    let start = StoppedStart::after(&shop, || (), is_sync);
    let temporary = only_temporary_file(shop.sandbox.directory());
    let _ = shop.run_with(&[]).output().assert_ok();
    assert!(temporary.exists());
    kill(start.pid, libc::SIGKILL);
    let _ = start.running.wait();
    assert!(temporary.exists());
    let _ = shop.run_with(&[]).output().assert_ok();
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
}

/// On a file system without locks the snapshot is written, and leftovers stay.
#[test]
fn file_system_without_locks_keeps_leftovers() {
    if !require_programs(&["strace"]) {
        return;
    }
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let shop = snapshot_shop();
        shop.sandbox.file(LEFTOVER, "");
        let fail = format!("inject=flock:error={error}");
        let _ = traced(shop.run_with(&[]))
            .wrap(["-e", &fail])
            .output()
            .assert_ok();
        shop.assert_readable();
        assert_eq!(names(shop.sandbox.directory()), [LEFTOVER, "snapshot"]);
    }
}

/// A start without the option opens no file for it.
#[test]
fn start_without_snapshot_option_opens_no_file() {
    if !require_programs(&["strace"]) {
        return;
    }
    let shop = snapshot_shop();
    let run = shop.sandbox.run(SHOP).args(["printenv", "SECRET"]);
    let _ = traced(run.allow_secrets_on_stdout()).output().assert_ok();
    let (_, trace) = main_trace(&shop).unwrap();
    for word in ["\"snapshot", ".snapshot.", "fdatasync", "flock"] {
        assert!(!trace.contains(word), "{word}");
    }
    assert!(names(shop.sandbox.directory()).is_empty());
}
