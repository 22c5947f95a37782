//! `--snapshot`: the file is complete or absent, even if writers are killed or run at once.

use std::ffi::c_int;
use std::fs::{read, read_to_string, remove_file};
use std::thread::scope;

use crate::snapshot::{SnapshotShop, VALUE, names, snapshot_shop};
use crate::support::{Run, SHOP, Status, require_programs, set_secret_value};

const NEW: &str = "canary of the new value";

/// The two ways to write: the error of open(2) if O_TMPFILE is not supported, and the name of the
/// temporary file.
const WRITE_PATHS: [(Option<c_int>, &str); 2] = [
    (None, ".snapshot.new"),
    (Some(libc::EOPNOTSUPP), ".snapshot.part"),
];

fn without_tmpfile_if(refused: Option<c_int>, run: Run<'_>) -> Run<'_> {
    match refused {
        None => run,
        Some(errno) => run.without_unnamed_files(errno),
    }
}

fn traced(run: Run<'_>) -> Run<'_> {
    run.wrap(["strace", "-f", "-qqq", "-o", "../trace"])
}

/// A system call of the process that becomes the command: its name, its ordinal among the calls of that
/// name, and the line of the trace.
type Call = (String, usize, String);

fn calls(shop: &SnapshotShop) -> Vec<Call> {
    let trace = read_to_string(shop.sandbox.directory().with_file_name("trace")).unwrap();
    let pid = trace.split(' ').next().unwrap().to_owned() + " ";
    let mut calls: Vec<Call> = Vec::new();
    for line in trace.lines().filter_map(|line| line.strip_prefix(&pid)) {
        let Some((name, _)) = line.trim_start().split_once('(') else {
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
    let is_check = |(.., line): &Call| line.contains("AT_FDCWD, \"snapshot\"");
    let first = calls.iter().position(is_check).unwrap();
    let last = calls.iter().rposition(|(name, _, line)| {
        is_call(name, "rename") && line.split('"').nth(3) == Some("snapshot")
    });
    let last = last.unwrap();
    calls[first..last + 3].to_vec()
}

/// The path that a call names, if any.
fn path_of((name, _, line): &Call) -> Option<&str> {
    let file = ["open", "link", "unlink", "rename"].map(|base| is_call(name, base));
    line.split('"').nth(1).filter(|_| file.contains(&true))
}

/// Whether the temporary file exists after these calls, and whether the new file is in place.
fn state_after(calls: &[Call], temporary: &str, mut exists: bool) -> (bool, bool) {
    let temporary = format!("\"{temporary}\"");
    let mut in_place = false;
    for (name, _, line) in calls {
        let failed = line.contains(") = -1") || line.contains(" = ?");
        if failed || !line.contains(&temporary) {
            continue;
        }
        if is_call(name, "open") && line.contains("O_CREAT") || is_call(name, "link") {
            exists = true;
        } else if is_call(name, "unlink") {
            exists = false;
        } else if is_call(name, "rename") {
            (exists, in_place) = (false, true);
        }
    }
    (exists, in_place)
}

/// What exists before the start that is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Old,
    /// Also the temporary file of another killed start.
    OldAndTemporary,
}

/// Kills a start at each system call with which it writes the snapshot.
fn kill_at_each_call(refused: Option<c_int>, temporary: &str, before: Before) {
    let shop = snapshot_shop().with_snapshot();
    let old = read(&shop.file).unwrap();
    set_secret_value(&shop.phase, NEW);
    let left = before == Before::OldAndTemporary;
    let prepare = || {
        match before {
            Before::Nothing => remove_file(&shop.file).unwrap(),
            Before::Old | Before::OldAndTemporary => drop(shop.sandbox.file("snapshot", &old)),
        }
        if left {
            shop.sandbox.file(temporary, &old[..old.len() / 2]);
        }
    };
    prepare();
    let _ = without_tmpfile_if(refused, traced(shop.run_with(&[])))
        .output()
        .assert_ok();
    let whole = calls(&shop);
    assert_eq!(state_after(&whole, temporary, left), (false, true));
    let steps = steps(&whole);
    let mut seen = Vec::new();
    for step in &steps {
        let (name, nth, line) = step;
        prepare();
        let kill = format!("inject={name}:signal=KILL:when={nth}");
        let run = traced(shop.run_with(&[])).wrap(["-e", &kill]);
        let killed = without_tmpfile_if(refused, run).output();
        let _ = killed.assert_status(Status::Killed(libc::SIGKILL));
        let calls = calls(&shop);
        let last = calls.last().unwrap();
        assert_eq!((&last.0, last.1), (name, *nth), "{line}");
        assert_eq!(path_of(last), path_of(step));

        let (exists, in_place) = state_after(&calls, temporary, left);
        let case = format!("{refused:?} {before:?}, killed at {line}");
        let has_one = in_place || before != Before::Nothing;
        let expected = [temporary, "snapshot"].into_iter().zip([exists, has_one]);
        let expected: Vec<&str> = expected
            .filter_map(|(name, is)| is.then_some(name))
            .collect();
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
        seen.push((exists, in_place));

        // The next start works as usual.
        let output = without_tmpfile_if(refused, shop.run_with(&[]))
            .output()
            .assert_ok();
        assert_eq!(output.text().trim_end(), NEW);
        assert_eq!(names(shop.sandbox.directory()), ["snapshot"], "{case}");
        let output = shop.run_with(&["--offline"]).output();
        let output = output.assert_log_lines(&["using the snapshot"]).assert_ok();
        assert_eq!(output.text().trim_end(), NEW, "{case}");
    }
    // All states from before the temporary file to after the rename were seen.
    seen.dedup();
    let expected: &[_] = match before {
        Before::OldAndTemporary => &[(true, false), (false, false), (true, false), (false, true)],
        Before::Nothing | Before::Old => &[(false, false), (true, false), (false, true)],
    };
    assert_eq!(seen, expected, "{refused:?} {before:?}");
}

/// A start that is killed at any call leaves the complete old file or the complete new one, and at most
/// one temporary file, which the next start replaces.
#[test]
fn snapshot_write_is_atomic_under_sigkill() {
    if !require_programs(&["strace"]) {
        return;
    }
    scope(|scope| {
        for (refused, temporary) in WRITE_PATHS {
            for before in [Before::Nothing, Before::Old, Before::OldAndTemporary] {
                scope.spawn(move || kill_at_each_call(refused, temporary, before));
            }
        }
    });
}

/// Of several starts at once the last one wins, and the file is complete at any time.
#[test]
fn concurrent_writes_never_tear_snapshot() {
    for (refused, _) in WRITE_PATHS {
        let shop = snapshot_shop().with_snapshot();
        for _ in 0..12 {
            let start = || without_tmpfile_if(refused, shop.run_with(&[])).spawn();
            let starts: Vec<_> = (0..6).map(|_| start()).collect();
            shop.assert_readable();
            for running in starts {
                let _ = running.wait().assert_ok();
            }
            shop.assert_readable();
            assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
        }
    }
}

/// The snapshot is also written without O_TMPFILE, whatever error open(2) gives, and without /proc.
#[test]
fn snapshot_is_written_without_tmpfile_or_proc() {
    if !require_programs(&["strace"]) {
        return;
    }
    for errno in [libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL] {
        let shop = snapshot_shop();
        let run = traced(shop.run_with(&[]));
        let _ = run.without_unnamed_files(errno).output().assert_ok();
        let calls = calls(&shop);
        let count = |word: &str| {
            calls
                .iter()
                .filter(|(.., line)| line.contains(word))
                .count()
        };
        assert_eq!(count("O_TMPFILE, 0600) = -1 E"), 1);
        assert_eq!(count(".snapshot.new"), 0);
        assert!(count("O_CREAT") > 0 && count(".snapshot.part") > 0);
        shop.assert_readable();
    }
    let shop = snapshot_shop();
    let _ = shop.run_with(&[]).without_proc().output().assert_ok();
    shop.assert_readable();
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
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
    let trace = read_to_string(shop.sandbox.directory().with_file_name("trace")).unwrap();
    for word in ["\"snapshot", "O_TMPFILE", "fdatasync", "pwrite64"] {
        assert!(!trace.contains(word), "{word}");
    }
    assert!(names(shop.sandbox.directory()).is_empty());
}
