//! `--snapshot`: a file is whole or not there, whoever is killed and however many write it.

use std::ffi::c_int;
use std::fs::{read, read_to_string, remove_file};
use std::thread::scope;

use crate::snapshot::{Kept, VALUE, kept, names};
use crate::support::{Run, SHOP, Status, change_secret, has_programs};

const NEW: &str = "canary of the new value";

/// The two ways to write: what open(2) says where there are no files without a name, and the name
/// that there is on the way.
const WRITE_PATHS: [(Option<c_int>, &str); 2] = [
    (None, ".snapshot.new"),
    (Some(libc::EOPNOTSUPP), ".snapshot.part"),
];

fn by(refused: Option<c_int>, run: Run<'_>) -> Run<'_> {
    match refused {
        None => run,
        Some(errno) => run.without_unnamed_files(errno),
    }
}

fn traced(run: Run<'_>) -> Run<'_> {
    run.wrap(["strace", "-f", "-qqq", "-o", "../trace"])
}

/// A system call of the process that becomes the command: its name, how manieth of that name it is,
/// and the whole line.
type Call = (String, usize, String);

fn calls(shop: &Kept) -> Vec<Call> {
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

/// Those from before the old file is looked at until after the new one is in place.
fn steps(calls: &[Call]) -> Vec<Call> {
    let of = |word: &'static str| move |(.., line): &Call| line.contains(word);
    let first = calls.iter().position(of("AT_FDCWD, \"snapshot\"")).unwrap();
    let last = calls.iter().rposition(|(name, _, line)| {
        is_call(name, "rename") && line.split('"').nth(3) == Some("snapshot")
    });
    let last = last.unwrap();
    calls[first..last + 3].to_vec()
}

/// What it is about, where that is a file.
fn named((name, _, line): &Call) -> Option<&str> {
    let file = ["open", "link", "unlink", "rename"].map(|base| is_call(name, base));
    line.split('"').nth(1).filter(|_| file.contains(&true))
}

/// What these calls have done: whether the name on the way is there after them, as it was before or
/// not, and whether the new file is in place.
fn done(calls: &[Call], on_the_way: &str, mut there: bool) -> (bool, bool) {
    let on_the_way = format!("\"{on_the_way}\"");
    let mut in_place = false;
    for (name, _, line) in calls {
        let failed = line.contains(") = -1") || line.contains(" = ?");
        if failed || !line.contains(&on_the_way) {
            continue;
        }
        if is_call(name, "open") && line.contains("O_CREAT") || is_call(name, "link") {
            there = true;
        } else if is_call(name, "unlink") {
            there = false;
        } else if is_call(name, "rename") {
            (there, in_place) = (false, true);
        }
    }
    (there, in_place)
}

/// What there is before a start that is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Old,
    /// And what another one that was killed has left.
    OldAndLeft,
}

/// A start that is killed at each system call of writing, the openings too.
fn killed_at_each_call(refused: Option<c_int>, on_the_way: &str, before: Before) {
    let shop = kept().made();
    let old = read(&shop.file).unwrap();
    change_secret(&shop.phase, NEW);
    let left = before == Before::OldAndLeft;
    let prepare = || {
        match before {
            Before::Nothing => remove_file(&shop.file).unwrap(),
            Before::Old | Before::OldAndLeft => drop(shop.sandbox.file("snapshot", &old)),
        }
        if left {
            shop.sandbox.file(on_the_way, &old[..old.len() / 2]);
        }
    };
    prepare();
    let _ = by(refused, traced(shop.with(&[]))).output().ok();
    let whole = calls(&shop);
    assert_eq!(done(&whole, on_the_way, left), (false, true));
    let steps = steps(&whole);
    let mut seen = Vec::new();
    for step in &steps {
        let (name, nth, line) = step;
        prepare();
        let kill = format!("inject={name}:signal=KILL:when={nth}");
        let run = traced(shop.with(&[])).wrap(["-e", &kill]);
        let killed = by(refused, run).output();
        let _ = killed.ended(Status::Killed(libc::SIGKILL));
        let calls = calls(&shop);
        let last = calls.last().unwrap();
        assert_eq!((&last.0, last.1), (name, *nth), "{line}");
        assert_eq!(named(last), named(step));

        let (there, in_place) = done(&calls, on_the_way, left);
        let case = format!("{refused:?} {before:?}, killed at {line}");
        let has_one = in_place || before != Before::Nothing;
        let expected = [on_the_way, "snapshot"].into_iter().zip([there, has_one]);
        let expected: Vec<&str> = expected
            .filter_map(|(name, is)| is.then_some(name))
            .collect();
        assert_eq!(names(shop.sandbox.directory()), expected, "{case}");
        let output = shop.with(&["--offline"]).output();
        if has_one {
            let output = output.notices(&["using the snapshot"]).ok();
            let value = if in_place { NEW } else { VALUE };
            assert_eq!(output.text().trim_end(), value, "{case}");
        } else {
            let output = output.failed(125, "snapshot");
            assert!(output.stderr.contains("there is none"), "{output}");
        }
        seen.push((there, in_place));

        // The next start goes on as if nothing had been.
        let output = by(refused, shop.with(&[])).output().ok();
        assert_eq!(output.text().trim_end(), NEW);
        assert_eq!(names(shop.sandbox.directory()), ["snapshot"], "{case}");
        let output = shop.with(&["--offline"]).output();
        let output = output.notices(&["using the snapshot"]).ok();
        assert_eq!(output.text().trim_end(), NEW, "{case}");
    }
    // From before the name on the way is there to after the new file is, without a gap.
    seen.dedup();
    let expected: &[_] = match before {
        Before::OldAndLeft => &[(true, false), (false, false), (true, false), (false, true)],
        Before::Nothing | Before::Old => &[(false, false), (true, false), (false, true)],
    };
    assert_eq!(seen, expected, "{refused:?} {before:?}");
}

/// Killed at each call: the old file or the new one, whole. Beside it is at most the name on the way:
/// from the call that makes it to the one that renames it, and never after that. The next start takes
/// its place.
#[test]
fn snapshot_write_is_atomic_under_sigkill() {
    if !has_programs(&["strace"]) {
        return;
    }
    scope(|scope| {
        for (refused, on_the_way) in WRITE_PATHS {
            for before in [Before::Nothing, Before::Old, Before::OldAndLeft] {
                scope.spawn(move || killed_at_each_call(refused, on_the_way, before));
            }
        }
    });
}

/// "two starts at once": the last one wins, and it is whole all the time.
#[test]
fn concurrent_writes_never_tear_snapshot() {
    for (refused, _) in WRITE_PATHS {
        let shop = kept().made();
        for _ in 0..12 {
            let start = || by(refused, shop.with(&[])).spawn();
            let starts: Vec<_> = (0..6).map(|_| start()).collect();
            shop.is_whole();
            for running in starts {
                let _ = running.wait().ok();
            }
            shop.is_whole();
            assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
        }
    }
}

/// Without O_TMPFILE, whichever way open(2) says so, and without a /proc to link from, it is written
/// all the same.
#[test]
fn snapshot_is_written_without_tmpfile_or_proc() {
    if !has_programs(&["strace"]) {
        return;
    }
    for errno in [libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL] {
        let shop = kept();
        let run = traced(shop.with(&[]));
        let _ = run.without_unnamed_files(errno).output().ok();
        let calls = calls(&shop);
        let of = |word: &str| {
            calls
                .iter()
                .filter(|(.., line)| line.contains(word))
                .count()
        };
        assert_eq!(of("O_TMPFILE, 0600) = -1 E"), 1);
        assert_eq!(of(".snapshot.new"), 0);
        assert!(of("O_CREAT") > 0 && of(".snapshot.part") > 0);
        shop.is_whole();
    }
    let shop = kept();
    let _ = shop.with(&[]).without_proc().output().ok();
    shop.is_whole();
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
}

/// What a start without the option does is what it did: no file is opened for it.
#[test]
fn start_without_snapshot_option_opens_no_file() {
    if !has_programs(&["strace"]) {
        return;
    }
    let shop = kept();
    let run = shop.sandbox.run(SHOP).args(["printenv", "SECRET"]);
    let _ = traced(run.reveals()).output().ok();
    let trace = read_to_string(shop.sandbox.directory().with_file_name("trace")).unwrap();
    for word in ["\"snapshot", "O_TMPFILE", "fdatasync", "pwrite64"] {
        assert!(!trace.contains(word), "{word}");
    }
    assert!(names(shop.sandbox.directory()).is_empty());
}
