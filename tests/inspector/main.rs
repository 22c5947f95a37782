//! The inspector: a program that reports the environment it was started in.
//!
//! The harness compiles it once per run, and starts it bare or as phase-run's command. It has no Rust
//! `main`: the runtime would first ignore SIGPIPE and open closed descriptors 0 to 2, and the report
//! would show that. It is static, so that it runs in an empty root, and calls the kernel directly
//! where glibc hides signals 32 and 33.

#![no_main]

use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_uint, c_ulong};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, read_dir, read_link};
use std::io::{ErrorKind, IsTerminal as _, Read as _, Result, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::parent_id;
use std::process::id;
use std::ptr::null;

// These functions take and return only numbers, so no argument makes them unsound.
unsafe extern "C" {
    safe fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    safe fn getegid() -> c_uint;
    safe fn geteuid() -> c_uint;
    safe fn getgid() -> c_uint;
    safe fn getpgid(pid: c_int) -> c_int;
    safe fn getpid() -> c_int;
    safe fn getpriority(which: c_int, who: c_uint) -> c_int;
    safe fn getsid(pid: c_int) -> c_int;
    safe fn getuid() -> c_uint;
    safe fn kill(pid: c_int, signal: c_int) -> c_int;
    safe fn pause() -> c_int;
    safe fn tcgetpgrp(fd: c_int) -> c_int;
    safe fn umask(mask: c_uint) -> c_uint;
}

unsafe extern "C" {
    static environ: *const *const c_char;
    fn getgroups(size: c_int, list: *mut c_uint) -> c_int;
    fn getrlimit(resource: c_int, limit: *mut [c_ulong; 2]) -> c_int;
    fn poll(list: *mut Poll, count: c_ulong, timeout: c_int) -> c_int;
    fn prctl(operation: c_int, ...) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

#[repr(C)]
struct Poll {
    fd: c_int,
    events: i16,
    revents: i16,
}

/// The numbers of rt_sigaction, rt_sigprocmask, rt_sigpending and signalfd4 (syscalls(2)).
#[cfg(target_arch = "x86_64")]
const CALLS: [c_long; 4] = [13, 14, 127, 289];
#[cfg(target_arch = "aarch64")]
const CALLS: [c_long; 4] = [134, 135, 136, 74];

const SIG_UNBLOCK: c_int = 1;
const SIG_SETMASK: c_int = 2;
const SIGSET_SIZE: usize = 8;

#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let words = strings(argv);
    let word = |at: usize| words.get(at).map(Vec::as_slice).unwrap_or_default();
    let number = |at: usize| {
        std::str::from_utf8(word(at))
            .ok()
            .and_then(|w| w.parse().ok())
    };
    match word(1) {
        b"report" => report(argc, &words, words.get(2).filter(|file| !file.is_empty())),
        b"serve" => {
            let left = (3..words.len()).filter_map(number).collect();
            serve(number(2).unwrap_or(c_int::MAX), left)
        }
        b"witness" => report(argc, &words, Some(&b"report".to_vec())) | serve(2, Vec::new()),
        b"sleep" => sleep(),
        b"exit" => number(2).unwrap_or(99),
        b"die" => die(number(2).unwrap_or(0)),
        b"cat-env" => cat_env(word(2)),
        b"read-file" => read_file(word(2)),
        _ => {
            print(2, b"inspector: report [FILE], serve [N [SIGNAL...]], witness, sleep, exit N, die N, cat-env NAME, read-file NAME\n");
            99
        }
    }
}

/// Writes one `field value` line for each fact, byte strings in hexadecimal, and `end` as the last
/// line. Without a file, or with an empty name, it writes to standard output; with an empty name, a
/// test can pass further arguments.
fn report(argc: c_int, words: &[Vec<u8>], file: Option<&Vec<u8>>) -> c_int {
    let mut text = String::new();
    // Descriptors come first, while this program has none open itself.
    descriptors(&mut text);
    let mut line = |field: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{field} {value}");
    };
    line("argc", &argc);
    for (at, word) in words.iter().enumerate() {
        line(&format!("argv.{at}"), &hex(word));
    }
    for (at, entry) in environment().iter().enumerate() {
        line(&format!("environ.{at}"), &hex(entry));
    }
    for signal in 1..=64 {
        line(&format!("signal.{signal}"), &disposition(signal));
    }
    line("blocked", &format_args!("{:016x}", mask(SIG_UNBLOCK, 0)));
    line("pending", &format_args!("{:016x}", pending()));
    line("pid", &id());
    line("ppid", &parent_id());
    line("pgid", &getpgid(0));
    line("sid", &getsid(0));
    line("tpgid", &foreground());
    let mask = umask(0);
    umask(mask);
    line("umask", &format_args!("{mask:04o}"));
    line("cwd", &working_directory());
    for resource in 0..16 {
        let mut limit: [c_ulong; 2] = [0; 2];
        // SAFETY: getrlimit(2) writes one struct rlimit, which is these two numbers.
        unsafe { getrlimit(resource, &mut limit) };
        let [soft, hard] = limit;
        line(&format!("limit.{resource}"), &format_args!("{soft} {hard}"));
    }
    line("nice", &getpriority(0, 0));
    let mut signal: c_int = 0;
    // SAFETY: prctl(2), PR_GET_PDEATHSIG: writes one int.
    unsafe { prctl(2, &mut signal) };
    line("parent_death_signal", &signal);
    let mut subreaper: c_int = 0;
    // SAFETY: prctl(2), PR_GET_CHILD_SUBREAPER: writes one int.
    unsafe { prctl(37, &mut subreaper) };
    line("subreaper", &subreaper);
    // SAFETY: prctl(2), PR_GET_DUMPABLE: reads and writes no memory.
    line("dumpable", &unsafe { prctl(3) });
    // SAFETY: prctl(2), PR_GET_NO_NEW_PRIVS: reads and writes no memory.
    line("no_new_privs", &unsafe {
        prctl(39, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong, 0 as c_ulong)
    });
    let threads = read_dir("/proc/self/task").map(|tasks| tasks.count().to_string());
    line("threads", &threads.as_deref().unwrap_or("unknown"));
    line("uid", &format_args!("{} {}", getuid(), geteuid()));
    line("gid", &format_args!("{} {}", getgid(), getegid()));
    line("groups", &groups());
    text.push_str("end\n");
    match file {
        None => c_int::from(!print(1, text.as_bytes())),
        Some(path) => c_int::from(std::fs::write(OsStr::from_bytes(path), text).is_err()),
    }
}

/// Writes `descriptor.N access=… status=… cloexec=… target=…` for each open descriptor.
fn descriptors(text: &mut String) {
    let open: Vec<c_int> = match read_dir("/proc/self/fd") {
        // The list contains the descriptor that it is read through, which is closed afterwards.
        Ok(list) => {
            let names = list.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            names.collect()
        }
        Err(_) => (0..256).collect(),
    };
    let mut open: Vec<c_int> = open.into_iter().filter(|fd| fcntl(*fd, 1) >= 0).collect();
    open.sort_unstable();
    for fd in open {
        let status = fcntl(fd, 3);
        let access = match status & 0o3 {
            0 => "read",
            1 => "write",
            _ => "both",
        };
        let cloexec = if fcntl(fd, 1) & 1 == 1 { "yes" } else { "no" };
        let target = match read_link(format!("/proc/self/fd/{fd}")) {
            Ok(path) => hex(path.as_os_str().as_bytes()),
            Err(_) => "unknown".to_owned(),
        };
        let rest = status & !0o3;
        let _ = writeln!(
            text,
            "descriptor.{fd} access={access} status={rest:o} cloexec={cloexec} target={target}"
        );
    }
}

/// Prints `ready PID`, then each signal that arrives. Ends after `count` signals or at the end of
/// standard input.
///
/// All signals are blocked and read from a signalfd, with two exceptions. Signals that were ignored
/// at the start stay unblocked, because a blocked signal is queued even if it is ignored, and would
/// be reported. Signals in `unblocked` have their usual effect.
fn serve(count: c_int, mut unblocked: Vec<c_int>) -> c_int {
    unblocked.extend((1..=64).filter(|signal| disposition(*signal) == "ignored"));
    let wanted = !unblocked
        .iter()
        .fold(0u64, |set, signal| set | 1 << (signal - 1));
    mask(SIG_SETMASK, wanted);
    // SAFETY: signalfd(2): reads one signal set of the given size. The flags are SFD_CLOEXEC and SFD_NONBLOCK.
    let signals = unsafe { syscall(CALLS[3], -1 as c_int, &wanted, SIGSET_SIZE, 0o2_004_000) };
    let signals = signals as c_int;
    print(1, format!("ready {}\n", getpid()).as_bytes());
    let mut input = 0;
    let mut left = count;
    loop {
        let mut list = [signals, input].map(|fd| Poll {
            fd,
            events: 1,
            revents: 0,
        });
        // SAFETY: poll(2): the array has two entries and outlives the call.
        unsafe { poll(list.as_mut_ptr(), 2, -1) };
        while let Ok(info) = receive(&descriptor(signals), 128) {
            // Up to the value of sigqueue(3), struct signalfd_siginfo consists of 32-bit words.
            let word = |at: usize| i32::from_ne_bytes(info[4 * at..][..4].try_into().unwrap());
            let (signal, code, pid, value) = (word(0), word(2), word(3), word(11));
            let line = format!("signal {signal} code {code} pid {pid} value {value}\n");
            print(1, line.as_bytes());
            left -= 1;
            if left == 0 {
                return 0;
            }
        }
        if list[1].revents != 0 {
            match read_stdin() {
                Ok(bytes) if bytes.is_empty() => return 0,
                Ok(_) => {}
                // Another process, such as the shell, has read the input meanwhile.
                Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                // Standard input is closed or unreadable, so it has no end to wait for.
                Err(_) => input = -1,
            }
        }
    }
}

/// Waits forever, with all dispositions as inherited.
fn sleep() -> c_int {
    print(1, format!("ready {}\n", getpid()).as_bytes());
    loop {
        pause();
    }
}

/// Dies by `signal` regardless of inherited dispositions. Returns 98 if that is impossible, as for
/// PID 1.
fn die(signal: c_int) -> c_int {
    // The kernel's struct sigaction has at most four words: handler, flags, restorer, mask.
    let default = [0usize; 8];
    // SAFETY: sigaction(2): reads one struct from `default`, writes none.
    unsafe { syscall(CALLS[0], signal, &default, null::<usize>(), SIGSET_SIZE) };
    mask(SIG_UNBLOCK, 1 << (signal - 1));
    kill(getpid(), signal);
    98
}

/// Prints the raw value of a variable. Returns 1 if it is unset, and 2 if the name occurs twice.
fn cat_env(name: &[u8]) -> c_int {
    match values(name).as_slice() {
        [] => 1,
        [value] => c_int::from(!print(1, value)),
        _ => 2,
    }
}

/// Prints the file whose path is in a variable, then reports on standard error if the file could be
/// changed.
fn read_file(name: &[u8]) -> c_int {
    let values = values(name);
    let [path] = values.as_slice() else { return 1 };
    let path = OsStr::from_bytes(path);
    let mut bytes = Vec::new();
    let Ok(_) = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) else {
        return 1;
    };
    print(1, &bytes);
    if OpenOptions::new()
        .write(true)
        .open(path)
        .is_ok_and(|mut file| file.write(b"x").is_ok())
    {
        print(2, b"written to\n");
    }
    if OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .is_ok()
    {
        print(2, b"truncated\n");
    }
    0
}

fn disposition(signal: c_int) -> &'static str {
    let mut action = [0usize; 8];
    // SAFETY: sigaction(2): reads none, writes one struct, which is shorter than `action`.
    unsafe { syscall(CALLS[0], signal, null::<usize>(), &mut action, SIGSET_SIZE) };
    match action[0] {
        0 => "default",
        1 => "ignored",
        _ => "caught",
    }
}

/// Changes the signal mask and returns the previous one.
fn mask(how: c_int, change: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: sigprocmask(2): reads one and writes one set of the size that is passed.
    unsafe { syscall(CALLS[1], how, &change, &mut before, SIGSET_SIZE) };
    before
}

fn pending() -> u64 {
    let mut set = 0u64;
    // SAFETY: sigpending(2): writes one set of the size that is passed.
    unsafe { syscall(CALLS[2], &mut set, SIGSET_SIZE) };
    set
}

/// Returns the foreground process group of the controlling terminal.
fn foreground() -> String {
    let terminal = File::open("/dev/tty").ok();
    // Without /dev/tty, the terminal may still be one of the standard descriptors.
    let mut open = [terminal.as_ref().map_or(-1, File::as_raw_fd), 0, 1, 2].into_iter();
    let group = open.find_map(|fd| Some(tcgetpgrp(fd)).filter(|group| *group >= 0));
    group.map_or("none".to_owned(), |group| group.to_string())
}

fn working_directory() -> String {
    let path = std::env::current_dir();
    path.map_or("none".to_owned(), |path| hex(path.as_os_str().as_bytes()))
}

fn groups() -> String {
    let mut list = [0; 256];
    // SAFETY: getgroups(2): writes at most 256 numbers.
    let count = unsafe { getgroups(256, list.as_mut_ptr()) };
    let groups = list.iter().take(usize::try_from(count).unwrap_or(0));
    groups.map(c_uint::to_string).collect::<Vec<_>>().join(",")
}

fn environment() -> Vec<Vec<u8>> {
    // SAFETY: environ(7) is set before main, and nothing here changes it.
    strings(unsafe { environ })
}

fn values(name: &[u8]) -> Vec<Vec<u8>> {
    let value = |entry: Vec<u8>| Some(entry.strip_prefix(name)?.strip_prefix(b"=")?.to_vec());
    environment().into_iter().filter_map(value).collect()
}

/// Copies a null-terminated array of strings, as in execve(2).
fn strings(mut array: *const *const c_char) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    // SAFETY: a null pointer ends argv and environ, and the loop stops there.
    while !array.is_null() && !unsafe { *array }.is_null() {
        // SAFETY: each pointer before the null is a C string.
        list.push(unsafe { CStr::from_ptr(*array) }.to_bytes().to_vec());
        // SAFETY: this element is not the null, so there is a next one.
        array = unsafe { array.add(1) };
    }
    list
}

/// Wraps a descriptor that must not be closed here.
fn descriptor(fd: c_int) -> ManuallyDrop<File> {
    // SAFETY: the descriptor is never closed through this value, and if it is closed already, reading
    // and writing fail with EBADF.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

/// Returns the result of one read(2): nothing at the end of input.
fn receive(mut file: &File, size: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; size];
    let count = file.read(&mut buffer)?;
    buffer.truncate(count);
    Ok(buffer)
}

/// Reads standard input once. If it is a terminal, the read does not block, because another process
/// may have read what poll(2) saw. The terminal is opened again for that: O_NONBLOCK would otherwise
/// apply to every process that shares the open file description (open(2)).
fn read_stdin() -> Result<Vec<u8>> {
    let (nonblock, noctty) = (0o4000, 0o400);
    let mut own = OpenOptions::new();
    own.read(true).custom_flags(nonblock | noctty);
    let input = descriptor(0);
    // A terminal that has hung up cannot be opened; reading it then fails at once.
    let path = input.is_terminal().then_some("/proc/self/fd/0");
    let own = path.and_then(|path| own.open(path).ok());
    receive(own.as_ref().unwrap_or(&input), 4096)
}

/// Writes all bytes. Returns false if that failed.
fn print(fd: c_int, bytes: &[u8]) -> bool {
    descriptor(fd).write_all(bytes).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
