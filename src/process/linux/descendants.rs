#![forbid(unsafe_code)]
//! The children and descendants of a process, from /proc (proc_pid_stat(5)).

use std::fs::{read_dir, read_to_string};

use nix::unistd::Pid;

/// How many generations are followed. A longer chain is a cycle, caused by reused pids.
const MAX_DEPTH: usize = 64;

/// Returns all children of this process, adopted ones included. The list is empty if /proc is not
/// mounted.
pub(super) fn own_children() -> Vec<Pid> {
    let this = Pid::this();
    // The file exists only in kernels with CONFIG_PROC_CHILDREN (proc_tid_children(5)).
    let Ok(list) = read_to_string(format!("/proc/{this}/task/{this}/children")) else {
        return children_by_stat(this);
    };
    list.split_whitespace().filter_map(parse_pid).collect()
}

/// Returns a process and its descendants, parents first. Without /proc, it is the process alone.
pub(in crate::process) fn with_descendants(process: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> = all_pids()
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut family = vec![process];
    let mut visited = 0;
    while let Some(parent) = family.get(visited).copied() {
        visited += 1;
        for (pid, _) in parents.iter().filter(|(_, other)| *other == parent) {
            // Reused pids could make a cycle.
            if !family.contains(pid) {
                family.push(*pid);
            }
        }
    }
    family
}

fn children_by_stat(parent: Pid) -> Vec<Pid> {
    all_pids()
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

fn all_pids() -> impl Iterator<Item = Pid> {
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| parse_pid(entry.file_name().to_str()?))
}

/// Returns whether a process descends from this one. False if the process has ended.
pub(super) fn is_descendant(mut pid: Pid) -> bool {
    let this = Pid::this();
    for _ in 0..MAX_DEPTH {
        match parent_of(pid) {
            Some(parent) if parent == this => return true,
            Some(parent) => pid = parent,
            None => return false,
        }
    }
    false
}

/// Returns the pid and the name of a process, as in `12 (sleep)`.
pub(super) fn describe(pid: Pid) -> String {
    // A process that has just ended has no name any more.
    let name = read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} ({})", name.trim_end())
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain `) `.
    let (_, fields) = stat.rsplit_once(") ")?;
    parse_pid(fields.split(' ').nth(1)?).filter(|parent| parent.as_raw() > 0)
}

fn parse_pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn children_found_through_stat() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        assert_eq!(parent_of(pid), Some(Pid::this()));
        assert!(children_by_stat(Pid::this()).contains(&pid));
        assert!(is_descendant(pid));
        assert!(with_descendants(Pid::this()).contains(&pid));
        assert_eq!(describe(pid), format!("{pid} (sleep)"));
        let _ = child.kill();
        let _ = child.wait();
        assert!(!is_descendant(pid));
        assert!(!is_descendant(Pid::this()) && !is_descendant(Pid::from_raw(1)));
    }
}
