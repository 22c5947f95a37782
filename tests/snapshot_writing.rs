//! `--snapshot`: a file is whole or not there, whoever is killed and however many write it.

use std::ffi::OsStr;
use std::fs::read_to_string;

use fake_phase::Phase;

use crate::snapshot::{Kept, VALUE, kept, names};
use crate::support::{Run, Status};

const NOTHING: &[&str] = &[];

const NEW: &str = "canary of the new value";

/// The two ways to write: whether the file system has files without a name, the call that begins,
/// and the name on the way.
const WAYS: [(bool, &str, &str); 2] = [
    (true, "O_TMPFILE", ".snapshot.new"),
    (false, ".snapshot.part", ".snapshot.part"),
];

/// The words by which strace makes it one that has none (open(2)), if it is not to have any.
fn refusal(shop: &Kept, unnamed: bool) -> Vec<String> {
    if unnamed {
        return vec![];
    }
    let nth = place_of_unnamed(shop);
    let inject = format!("inject=openat:error=EOPNOTSUPP:when={nth}");
    vec!["-e".to_owned(), inject]
}

fn traced<'a>(run: Run<'a>, more: &[impl AsRef<OsStr>]) -> Run<'a> {
    run.wrap(["strace", "-f", "-qqq", "-o", "../trace"])
        .wrap(more)
}

fn change(phase: &Phase, value: &str) {
    phase.edit(|world| {
        let production = world.app("shop").environment("Production", "prod");
        production.find("/", "SECRET").unwrap().value(value);
    });
}

/// The calls of a whole start from before the old file is looked at until after the new one is in
/// place, each as its name and how manieth of that name it is.
fn steps(shop: &Kept, refuse: &[String], begins: &str) -> Vec<(String, usize)> {
    let _ = traced(shop.with(&[]), refuse).output().ok();
    let calls = calls(shop);
    let of = |word: &'static str| move |(.., line): &(String, usize, String)| line.contains(word);
    let first = calls.iter().position(of("AT_FDCWD, \"snapshot\"")).unwrap();
    let last = calls.iter().rposition(of("\"snapshot\")")).unwrap();
    let between = &calls[first..last + 3];
    let found = between.iter().any(|(.., line)| line.contains(begins));
    assert!(found, "{between:?}");
    let step = |(name, nth, _): &(String, usize, String)| (name.clone(), *nth);
    between.iter().map(step).collect()
}

/// Which openat asks for the file without a name.
fn place_of_unnamed(shop: &Kept) -> usize {
    let _ = traced(shop.with(&[]), NOTHING).output().ok();
    let calls = calls(shop);
    let found = calls.iter().find(|(.., line)| line.contains("O_TMPFILE"));
    found.unwrap().1
}

/// Of the process that becomes the command: name, how manieth of that name, and the whole line.
fn calls(shop: &Kept) -> Vec<(String, usize, String)> {
    let trace = read_to_string(shop.sandbox.directory().with_file_name("trace")).unwrap();
    let pid = trace.split(' ').next().unwrap().to_owned() + " ";
    let mut calls: Vec<(String, usize, String)> = Vec::new();
    for line in trace.lines().filter_map(|line| line.strip_prefix(&pid)) {
        let Some((name, _)) = line.trim_start().split_once('(') else {
            continue;
        };
        let before = calls.iter().filter(|(other, ..)| other == name).count();
        calls.push((name.to_owned(), before + 1, line.to_owned()));
    }
    calls
}

/// Killed at each call: the old file or the new one, whole, and at most the name on the way beside
/// it, which the next start takes away.
#[test]
fn whoever_is_killed_while_writing_leaves_the_old_file_or_the_new_one() {
    for (unnamed, begins, on_the_way) in WAYS {
        let shop = kept().made();
        let refuse = &refusal(&shop, unnamed)[..];
        let mut steps = steps(&shop, refuse, begins);
        // One call takes one injection: what is before the one that is refused is the same.
        steps.retain(|(name, _)| refuse.is_empty() || name != "openat");
        for call in ["pwrite64", "fdatasync", "rename"] {
            assert!(steps.iter().any(|(name, _)| name == call), "{steps:?}");
        }
        let (mut old, mut new, mut left) = (0, 0, 0);
        for (name, at) in &steps {
            change(&shop.phase, VALUE);
            let _ = shop.with(&[]).output().ok();
            change(&shop.phase, NEW);
            let kill = format!("inject={name}:signal=KILL:when={at}");
            let words = [&["-e".to_owned(), kill], refuse].concat();
            let killed = traced(shop.with(&[]), &words).output();
            let _ = killed.ended(Status::Killed(libc::SIGKILL));
            let there = names(shop.sandbox.directory());
            left += usize::from(there.len() > 1);
            let known = |name: &String| name == "snapshot" || name == on_the_way;
            assert!(there.iter().all(known), "{name} {at}: {there:?}");
            let output = shop.with(&["--offline"]).output();
            match output
                .notices(&["using the snapshot"])
                .ok()
                .text()
                .trim_end()
            {
                VALUE => old += 1,
                NEW => new += 1,
                other => panic!("{name} {at}: {other}"),
            }
            // The next start goes on as if nothing had been.
            let output = traced(shop.with(&[]), refuse).output().ok();
            assert_eq!(output.text(), format!("{NEW}\n"));
            assert_eq!(names(shop.sandbox.directory()), ["snapshot"], "{name} {at}");
        }
        assert!(old > 2 && new > 0 && left > 0, "{old} {new} {left}");
    }
}

/// "two starts at once": the last one wins, and it is whole all the time.
#[test]
fn many_starts_at_once_never_tear_it() {
    for (unnamed, ..) in WAYS {
        let shop = kept().made();
        let refuse = refusal(&shop, unnamed);
        let rounds = if unnamed { 12 } else { 4 };
        for _ in 0..rounds {
            let start = || match unnamed {
                true => shop.with(&[]).spawn(),
                false => traced(shop.with(&[]), &refuse).spawn(),
            };
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

/// Without O_TMPFILE, and without a /proc to link from, it is written all the same.
#[test]
fn it_is_written_without_unnamed_files_and_without_proc() {
    let shop = kept();
    let refuse = refusal(&shop, false);
    std::fs::remove_file(&shop.file).unwrap();
    let _ = traced(shop.with(&[]), &refuse).output().ok();
    assert!(
        calls(&shop)
            .iter()
            .any(|(.., line)| line.contains(".snapshot.part"))
    );
    shop.is_whole();
    let shop = kept();
    let _ = shop.with(&[]).without_proc().output().ok();
    shop.is_whole();
    assert_eq!(names(shop.sandbox.directory()), ["snapshot"]);
}

/// What a start without the option does is what it did: no file is opened for it.
#[test]
fn without_the_option_there_is_no_trace_of_it() {
    let shop = kept();
    let run = shop
        .sandbox
        .run(crate::snapshot::SHOP)
        .args(["printenv", "SECRET"]);
    let _ = traced(run.reveals(), NOTHING).output().ok();
    let trace = read_to_string(shop.sandbox.directory().with_file_name("trace")).unwrap();
    for word in ["\"snapshot", "O_TMPFILE", "fdatasync", "pwrite64"] {
        assert!(!trace.contains(word), "{word}");
    }
    assert!(names(shop.sandbox.directory()).is_empty());
}
