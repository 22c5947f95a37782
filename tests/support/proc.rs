//! Facts about processes from /proc (proc_pid_stat(5)), and functions that wait for them.

use std::fmt::Debug;
use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// How long a test waits for an event before it fails. It is longer than anything takes on a loaded
/// machine, so that no test depends on speed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Repeats `attempt` until it succeeds and returns its value. Use it for state that cannot be awaited, such
/// as in /proc. `attempt` returns what it saw instead, for the message of a failure.
pub(crate) fn eventually<T, Seen: Debug>(
    what: &str,
    mut attempt: impl FnMut() -> Result<T, Seen>,
) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > DEADLINE => {
                panic!("waited {DEADLINE:?} until {what}; last seen: {seen:?}")
            }
            Err(_) => park_timeout(Duration::from_millis(2)),
        }
    }
}

/// Returns the fields after the name: state, parent, group, session, terminal, foreground group. `None`
/// once the process is gone.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

fn number(pid: i32, field: usize) -> Option<i32> {
    stat(pid)?.get(field)?.parse().ok()
}

/// Returns the state of a process: `R`, `S`, `T`, `Z` and so on, and `X` once it is gone.
pub(crate) fn state(pid: i32) -> char {
    let stat = stat(pid);
    stat.and_then(|fields| fields[0].chars().next())
        .unwrap_or('X')
}

pub(crate) fn parent(pid: i32) -> i32 {
    number(pid, 1).unwrap()
}

/// Returns whether a process is `ancestor` or a descendant of it.
pub(crate) fn descends(mut pid: i32, ancestor: i32) -> bool {
    while pid != ancestor {
        match number(pid, 1) {
            Some(parent) if parent > 0 => pid = parent,
            _ => return false,
        }
    }
    true
}

pub(crate) fn group(pid: i32) -> i32 {
    number(pid, 2).unwrap()
}

pub(crate) fn session(pid: i32) -> Option<i32> {
    number(pid, 3)
}

/// Returns the foreground group of the process's terminal.
fn foreground(pid: i32) -> i32 {
    number(pid, 5).unwrap()
}

/// Waits until all `pids` are stopped.
pub(crate) fn wait_until_stopped(pids: &[i32]) {
    for pid in pids {
        wait_for_state(*pid, &['T']);
    }
}

/// Waits until the process sleeps.
pub(crate) fn wait_until_asleep(pid: i32) {
    wait_for_state(pid, &['S']);
}

/// Waits until all `pids` have ended, whether or not they have been reaped.
pub(crate) fn wait_until_gone(pids: &[i32]) {
    for pid in pids {
        wait_for_state(*pid, &['X', 'Z']);
    }
}

fn wait_for_state(pid: i32, states: &[char]) {
    eventually("the process reaches the state", || match state(pid) {
        state if states.contains(&state) => Ok(()),
        other => Err((pid, other)),
    });
}

/// Waits until a signal that was sent to the process is no longer pending.
pub(crate) fn wait_until_delivered(pid: i32, signal: i32) {
    eventually("the signal is delivered", || {
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mut lines = status.lines();
        let pending = lines.find_map(|line| line.strip_prefix("ShdPnd:\t"));
        let pending = u64::from_str_radix(pending.unwrap(), 16).unwrap();
        match pending >> (signal - 1) & 1 {
            0 => Ok(()),
            _ => Err(pending),
        }
    });
}

/// Waits until a signal that was sent to the process is pending.
pub(crate) fn wait_until_pending(pid: i32, signal: i32) {
    wait_for_bit(pid, "ShdPnd", signal);
}

/// Waits until the process blocks TERM and sleeps, as a standby does that waits for its promotion.
pub(crate) fn wait_until_blocked(pid: i32) {
    wait_for_bit(pid, "SigBlk", libc::SIGTERM);
    wait_until_asleep(pid);
}

fn wait_for_bit(pid: i32, field: &str, signal: i32) {
    eventually("the signal is in the set", || {
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mut lines = status.lines();
        let set = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        let set = u64::from_str_radix(set.unwrap(), 16).unwrap();
        match set >> (signal - 1) & 1 {
            1 => Ok(()),
            _ => Err(set),
        }
    });
}

/// Waits until the process is in the foreground group and sleeps, as it does when it reads the terminal.
pub(crate) fn wait_until_foreground(pid: i32) {
    eventually("the process waits in the foreground", || {
        let (group, foreground, state) = (group(pid), foreground(pid), state(pid));
        match group == foreground && state == 'S' {
            true => Ok(()),
            false => Err((group, foreground, state)),
        }
    });
}

/// Returns the outermost phase-run among the ancestors of the command `pid`, or `pid` if phase-run has become
/// the command.
pub(crate) fn outermost_phase_run(pid: i32) -> i32 {
    let mut runner = pid;
    while name(parent(runner)) == "phase-run" {
        runner = parent(runner);
    }
    runner
}

/// Returns the command that phase-run `runner` has started, or `runner` if it has become the command.
pub(crate) fn command_of(runner: i32) -> i32 {
    match children(runner).as_slice() {
        [child] => command_of(*child),
        _ => runner,
    }
}

/// Returns the children of a process that have not been reaped.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let children = read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace();
    pids.map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until the process has exactly one child, and returns it.
pub(crate) fn wait_for_only_child(pid: i32) -> i32 {
    eventually("there is one child", || match children(pid).as_slice() {
        [child] => Ok(*child),
        other => Err(other.to_vec()),
    })
}

/// Waits until the process sleeps and no signal is pending.
pub(crate) fn wait_until_idle(pid: i32) {
    eventually("the process is idle", || {
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
        match state(pid) == 'S' && status.contains("\nShdPnd:\t0000000000000000\n") {
            true => Ok(()),
            false => Err(status),
        }
    });
}

fn name(pid: i32) -> String {
    let name = read_to_string(format!("/proc/{pid}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

/// Reads every readable page of a process (proc_pid_maps(5)).
pub(crate) fn memory(pid: i32) -> Vec<u8> {
    let maps = read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let pages = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut memory = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        // The kernel's own pages, which other processes cannot read.
        if !access.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vvar_vclock]") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap_or(u64::MAX));
        if from >= i64::MAX.cast_unsigned() {
            continue;
        }
        let start = memory.len();
        memory.resize(start + usize::try_from(to - from).unwrap(), 0);
        pages
            .read_exact_at(&mut memory[start..], from)
            .unwrap_or_else(|why| panic!("{line}: {why}"));
    }
    memory
}
