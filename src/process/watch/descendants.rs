#![forbid(unsafe_code)]
//! Who descends from this process: its children, and whose child somebody is (proc_pid_stat(5)).

use std::fs::{read_dir, read_to_string};

use nix::unistd::Pid;

/// Deeper is no family but a loop of pids that were used again meanwhile.
const DEEPEST: usize = 64;

/// All children, those that were adopted too. Empty where /proc is not mounted.
pub(super) fn children() -> Vec<Pid> {
    let own = Pid::this();
    // Only with CONFIG_PROC_CHILDREN.
    let Ok(listed) = read_to_string(format!("/proc/{own}/task/{own}/children")) else {
        return children_of(own);
    };
    listed.split_whitespace().filter_map(pid).collect()
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| pid(entry.file_name().to_str()?));
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// Whether somebody was started by this process, or by what that started. No, once it is gone.
pub(super) fn is_below(mut somebody: Pid) -> bool {
    let own = Pid::this();
    for _ in 0..DEEPEST {
        match parent_of(somebody) {
            Some(parent) if parent == own => return true,
            Some(parent) => somebody = parent,
            None => return false,
        }
    }
    false
}

/// `pid 12 (name)`: what a person looks for.
pub(super) fn described(somebody: Pid) -> String {
    let name = read_to_string(format!("/proc/{somebody}/comm")).unwrap_or_default();
    format!("{somebody} ({})", name.trim_end())
}

fn parent_of(somebody: Pid) -> Option<Pid> {
    let stat = read_to_string(format!("/proc/{somebody}/stat")).ok()?;
    // The name before it may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    pid(fields.split(' ').nth(1)?).filter(|parent| parent.as_raw() > 0)
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn both_ways_find_the_children() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        assert_eq!(parent_of(pid), Some(Pid::this()));
        assert!(children_of(Pid::this()).contains(&pid));
        assert!(is_below(pid));
        assert_eq!(described(pid), format!("{pid} (sleep)"));
        let _ = child.kill();
        let _ = child.wait();
        assert!(!is_below(pid));
        assert!(!is_below(Pid::this()) && !is_below(Pid::from_raw(1)));
    }
}
