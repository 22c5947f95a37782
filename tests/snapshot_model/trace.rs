//! The system calls with which phase-run uses a snapshot, compared with those of the model.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs::{File, remove_file};

use fake_phase::Responder;

use super::EVERY_BEFORE;
use super::conditions::Before;
use super::directory::State;
use super::protocol::Protocol;
use super::start::Role::{self, Read, Remove, Write};
use super::start::Token::{First, Second};
use crate::snapshot::{OTHER_TOKEN, SnapshotShop, snapshot_shop};
use crate::snapshot_atomicity::{
    LEFTOVER, StoppedStart, calls, file_names, has_created, has_failed, is_temporary,
    only_temporary_file, traced,
};
use crate::support::{Run, require_programs};

fn shop(before: Before) -> SnapshotShop {
    let shop = match before {
        Before::Nothing => snapshot_shop(),
        Before::Old | Before::OldAndLeftover => snapshot_shop().with_snapshot(),
    };
    if before == Before::OldAndLeftover {
        shop.sandbox.file(LEFTOVER, "phase-run snapshot v1\n");
    }
    shop
}

/// A start with this role.
fn run(shop: &SnapshotShop, role: Role) -> Run<'_> {
    match role {
        Write(_) => shop.run_with(&[]),
        Read => shop.run_with(&["--offline"]),
        Remove(First) => {
            shop.phase.respond("", Responder::error(401, "no"));
            shop.run_with(&[])
        }
        Remove(Second) => shop.run_with(&[]).env("PHASE_SERVICE_TOKEN", OTHER_TOKEN),
    }
}

/// Returns the calls of a traced start that name or have opened the snapshot, a temporary file or the
/// directory, in the words of the model. Removes the trace.
fn calls_on_snapshot(shop: &SnapshotShop) -> Vec<String> {
    let mut open = BTreeSet::new();
    let mut found = Vec::new();
    for (name, _, line) in calls(shop) {
        let (_, arguments) = line.split_once('(').unwrap();
        let descriptor = arguments.split([',', ')']).next().unwrap();
        let is_on_descriptor = open.contains(descriptor);
        // A debug build of Rust looks whether a descriptor is open before it closes it. Some C libraries
        // look at a directory when they open it (opendir(3)).
        let is_check = is_on_descriptor && (name == "fcntl" || line.contains("S_IFDIR"));
        if name == "execve" || is_check {
            continue;
        }
        let word = match name.as_str() {
            "fstat" | "lstat" | "newfstatat" | "statx" if is_on_descriptor => "fstat",
            "fstat" | "lstat" | "newfstatat" | "statx" => "lstat",
            "open" | "openat" if line.contains("O_CREAT") => "create",
            "open" | "openat" => "open",
            "rename" | "renameat" | "renameat2" => "rename",
            "unlink" | "unlinkat" => "unlink",
            "getdents64" => "getdents",
            "pwrite64" => "pwrite",
            name => name,
        };
        if is_on_descriptor {
            if word == "close" {
                open.remove(descriptor);
            }
            found.push(word.to_owned());
            continue;
        }
        let has_path = descriptor == "AT_FDCWD" || descriptor.starts_with('"');
        let files = file_names(&line).into_iter().filter_map(|name| match name {
            "snapshot" => Some("snapshot"),
            "." => Some("directory"),
            name => is_temporary(name).then_some("temporary"),
        });
        let files = Vec::from_iter(files);
        if has_path && !files.is_empty() {
            found.push(format!("{word} {}", files.join(" ")));
            if ["open", "create"].contains(&word) && !has_failed(&line) {
                let (_, descriptor) = line.rsplit_once("= ").unwrap();
                open.insert(descriptor.to_owned());
            }
        }
    }
    without_repetition(found)
}

/// A file is read and written in as many calls as it takes.
fn without_repetition(mut calls: Vec<String>) -> Vec<String> {
    calls.dedup_by(|next, call| next == call && ["read", "pwrite"].contains(&call.as_str()));
    calls
}

/// The calls of the model. `meddle` does what a second start would, before the first flock.
fn expected(before: Before, role: Role, meddle: impl FnOnce(&mut State)) -> Vec<String> {
    let mut meddle = Some(meddle);
    let calls = Protocol::new(before, &[role, Read]).calls(|call, state| {
        if call == "flock"
            && let Some(meddle) = meddle.take()
        {
            meddle(state);
        }
    });
    without_repetition(calls)
}

#[test]
fn program_makes_the_calls_of_the_model() {
    if !require_programs(&["strace"]) {
        return;
    }
    for before in EVERY_BEFORE {
        for role in [Write(First), Read, Remove(First), Remove(Second)] {
            let shop = shop(before);
            let _ = traced(run(&shop, role)).output();
            let expected = expected(before, role, |_| ());
            assert_eq!(calls_on_snapshot(&shop), expected, "{before:?} {role:?}");
        }
    }
}

#[test]
fn program_makes_the_calls_of_the_model_for_locks() {
    if !require_programs(&["strace"]) {
        return;
    }
    let shop_with_leftover = shop(Before::OldAndLeftover);
    let leftover = shop_with_leftover.sandbox.directory().join(LEFTOVER);
    let locked = File::open(leftover).unwrap();
    locked.lock().unwrap();
    let _ = traced(run(&shop_with_leftover, Write(First))).output();
    assert_eq!(
        calls_on_snapshot(&shop_with_leftover),
        expected(Before::OldAndLeftover, Write(First), State::lock_open_file)
    );

    let shop = shop(Before::Old);
    let busy = ["-e", "inject=flock:error=EAGAIN:when=1"];
    let _ = traced(run(&shop, Write(First))).wrap(busy).output();
    assert_eq!(
        calls_on_snapshot(&shop),
        expected(Before::Old, Write(First), State::lock_open_file)
    );

    let start = StoppedStart::after(&shop, || (), has_created);
    remove_file(only_temporary_file(shop.sandbox.directory())).unwrap();
    let _ = start.resume();
    assert_eq!(
        calls_on_snapshot(&shop),
        expected(Before::Old, Write(First), State::remove_temporary_files)
    );
}
