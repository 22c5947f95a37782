//! Runs commands many times and prints how long each took, its peak memory and its processor time.
//!
//! Usage: `stopwatch ROUNDS NAME COMMAND... [:: NAME COMMAND...]...`
//!
//! The time of a command ends when it exits. If it has written a `struct timespec` of CLOCK_MONOTONIC
//! to standard output, as `stamp.c` does at its start, its time ends at that moment. Every command
//! runs once in each round, so that a drift in the speed of the machine affects all alike.
//!
//! Each command gets one line: its name; median, minimum and maximum of its time in microseconds; its
//! peak memory in KiB; and the median of its processor time on all cores, in microseconds.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step should stop the measurement"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a failed step should stop the measurement"
)]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "the results go to standard output"
)]
#![expect(unsafe_code, reason = "wait4(2) has no safe form in std")]

use std::io::Read;
use std::process::{Child, Command, Stdio};

/// The size of a `struct timespec` on 64-bit systems, in bytes.
const TIMESPEC_SIZE: usize = 16;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds: usize = arguments[0].parse().unwrap();
    let commands: Vec<&[String]> = arguments[1..].split(|argument| argument == "::").collect();
    let mut times = vec![Vec::new(); commands.len()];
    let mut processor_times = vec![Vec::new(); commands.len()];
    let mut peaks = vec![0; commands.len()];
    for round in 0..=rounds {
        for (index, command) in commands.iter().enumerate() {
            let (time, processor_time, peak) = measure(&command[1..]);
            // The first round only warms the caches.
            if round > 0 {
                times[index].push(time);
                processor_times[index].push(processor_time);
                peaks[index] = peaks[index].max(peak);
            }
        }
    }
    for (index, command) in commands.iter().enumerate() {
        let (times, processor, peak) =
            (&mut times[index], &mut processor_times[index], peaks[index]);
        times.sort_unstable();
        processor.sort_unstable();
        let (name, median) = (&command[0], times[times.len() / 2]);
        println!(
            "{name} {median} {} {} {peak} {}",
            times[0],
            times[times.len() - 1],
            processor[processor.len() / 2]
        );
    }
}

/// Runs a command. Returns its time and its processor time in microseconds, and its peak memory in KiB.
#[expect(clippy::zombie_processes, reason = "wait4 in `wait` reaps it")]
fn measure(command: &[String]) -> (i64, i64, i64) {
    let start = now();
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output)
        .unwrap();
    let usage = wait(&child);
    let end = now();
    let field = |at: usize| i64::from_ne_bytes(output[at..at + 8].try_into().unwrap());
    let end = match output.len() {
        TIMESPEC_SIZE => field(0) * 1_000_000 + field(8) / 1_000,
        _ => end,
    };
    let processor_time = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    (end - start, processor_time, usage.ru_maxrss)
}

fn wait(child: &Child) -> libc::rusage {
    let mut status = 0;
    // SAFETY: a rusage is plain numbers, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = child.id().cast_signed();
    // SAFETY: both pointers are to locals of the right types.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert!(
        waited == pid && status == 0,
        "{pid} ended with status {status:#x}"
    );
    usage
}

fn microseconds(time: libc::timeval) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_usec
}

fn now() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local of the right type.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}
