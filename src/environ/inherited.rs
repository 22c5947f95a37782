#![forbid(unsafe_code)]
//! What phase-run was started with, as bytes, and what of it the command inherits.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Entry;
use crate::config::Injection;

/// What `--clean` leaves: where programs are, who the user is, the terminal, time and language.
const CLEAN: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "TMPDIR", "PWD", "HOSTNAME",
];

/// Entries in the order of the block: not all are UTF-8, not all have a `=`, names may repeat.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Entry>);

impl Inherited {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// A variable's value; of a name that stands twice the first counts, as for getenv(3).
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0
            .iter()
            .find_map(|entry| entry.value_of(name.as_bytes()))
            .map(OsStr::from_bytes)
    }

    /// systemd names the process that it started in these (sd_listen_fds(3), sd_watchdog_enabled(3));
    /// of a supervised command that is the parent.
    pub(crate) fn hand_over_pid(&mut self, parent: u32, own: u32) {
        for name in ["LISTEN_PID", "WATCHDOG_PID"] {
            let named = parent.to_string();
            for entry in &mut self.0 {
                if entry.value_of(name.as_bytes()) == Some(named.as_bytes())
                    && let Some(renamed) = Entry::pair(name, own.to_string().as_bytes())
                {
                    *entry = renamed;
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.0
    }

    /// What the command inherits: without the token's variables, and after `--clean` only what it
    /// leaves; each name once.
    pub(crate) fn handed_on(self, injection: &Injection) -> Self {
        let mut seen = HashSet::new();
        let kept = self.0.into_iter().filter(|entry| match entry.name() {
            Some(name) => is_inherited(name, injection) && seen.insert(name.to_owned()),
            None => injection.clean.is_none(),
        });
        Self(kept.collect())
    }
}

fn is_inherited(name: &[u8], injection: &Injection) -> bool {
    if is_token(name) {
        return injection.keep_token;
    }
    let Some(passed) = &injection.clean else {
        return true;
    };
    let text = String::from_utf8_lossy(name);
    CLEAN.contains(&text.as_ref())
        || text.starts_with("LC_")
        || passed.iter().any(|pattern| pattern.matches(&text))
}

/// `PHASE_*TOKEN*`: what gives access to Phase is not the command's.
pub(crate) fn is_token(name: &[u8]) -> bool {
    name.strip_prefix(b"PHASE_")
        .is_some_and(|rest| rest.windows(5).any(|part| part == b"TOKEN"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    fn inherited(entries: &[&[u8]]) -> Inherited {
        Inherited::new(
            entries
                .iter()
                .map(|entry| Entry::new(&std::ffi::CString::new(*entry).unwrap()))
                .collect(),
        )
    }

    fn handed_on(entries: &[&[u8]], injection: &Injection) -> Vec<Vec<u8>> {
        let rest = inherited(entries).handed_on(injection);
        rest.0
            .iter()
            .map(|entry| entry.as_ref().to_bytes().to_vec())
            .collect()
    }

    const ODD: [&[u8]; 8] = [
        b"A=1",
        b"noequals",
        b"=x",
        b"B=\xff",
        b"\xff=1",
        b"A=2",
        b"PHASE_SERVICE_TOKEN=t",
        b"PHASE_HOST=h",
    ];

    #[test]
    fn odd_entries_pass_and_the_first_of_a_name_counts() {
        let expected: [&[u8]; 6] = [
            b"A=1",
            b"noequals",
            b"=x",
            b"B=\xff",
            b"\xff=1",
            b"PHASE_HOST=h",
        ];
        assert_eq!(handed_on(&ODD, &Injection::default()), expected);
        assert_eq!(inherited(&ODD).get("A"), Some(OsStr::new("1")));
    }

    #[test]
    fn tokens_stay_only_when_asked_for() {
        for name in [
            "PHASE_SERVICE_TOKEN",
            "PHASE_SERVICE_TOKEN_FILE",
            "PHASE_TOKEN",
            "PHASE_MY_TOKENS",
        ] {
            assert!(is_token(name.as_bytes()), "{name}");
        }
        for name in ["PHASE_HOST", "MY_PHASE_TOKEN", "PHASETOKEN", "TOKEN"] {
            assert!(!is_token(name.as_bytes()), "{name}");
        }
        let injection = Injection {
            keep_token: true,
            ..Injection::default()
        };
        assert!(handed_on(&ODD, &injection).contains(&b"PHASE_SERVICE_TOKEN=t".to_vec()));
    }

    #[test]
    fn clean_leaves_what_it_says() {
        let passed = vec![Pattern::parse("MY_*", "--pass").unwrap()];
        let injection = Injection {
            clean: Some(passed),
            ..Injection::default()
        };
        let entries: [&[u8]; 7] = [
            b"PATH=/bin",
            b"LC_ALL=C",
            b"X=1",
            b"MY_X=2",
            b"noequals",
            b"LANGUAGE=x",
            b"MY_\xff=3",
        ];
        let expected: [&[u8]; 4] = [b"PATH=/bin", b"LC_ALL=C", b"MY_X=2", b"MY_\xff=3"];
        assert_eq!(handed_on(&entries, &injection), expected);
    }
}
