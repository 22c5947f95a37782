#![forbid(unsafe_code)]
//! What the command inherits of what phase-run was started with.

use std::collections::HashSet;

use crate::config::InjectionOptions;
use crate::process::env_block::EnvBlock;
use crate::secret::is_token_variable;

/// What `--clean` leaves: where programs are, who the user is, the terminal, time and language.
const CLEAN: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "TMPDIR", "PWD", "HOSTNAME",
];

/// Without the token's variables, and after `--clean` only what it leaves; each name once.
pub(crate) fn inherited_env(inherited: EnvBlock, injection: &InjectionOptions) -> EnvBlock {
    let mut seen = HashSet::new();
    let kept = inherited
        .into_entries()
        .into_iter()
        .filter(|entry| match entry.name() {
            Some(name) => is_inherited(name, injection) && seen.insert(name.to_owned()),
            None => injection.clean.is_none(),
        });
    EnvBlock::new(kept.collect())
}

fn is_inherited(name: &[u8], injection: &InjectionOptions) -> bool {
    if is_token_variable(name) {
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

#[cfg(test)]
mod tests {
    use std::ffi::{CString, OsStr};

    use super::*;
    use crate::config::Pattern;
    use crate::process::env_block::EnvEntry;

    fn inherited(entries: &[&[u8]]) -> EnvBlock {
        EnvBlock::new(
            entries
                .iter()
                .map(|entry| EnvEntry::from_c_str(&CString::new(*entry).unwrap()))
                .collect(),
        )
    }

    fn handed_on(entries: &[&[u8]], injection: &InjectionOptions) -> Vec<Vec<u8>> {
        let rest = inherited_env(inherited(entries), injection);
        rest.into_entries()
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
        assert_eq!(handed_on(&ODD, &InjectionOptions::default()), expected);
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
            assert!(is_token_variable(name.as_bytes()), "{name}");
        }
        for name in ["PHASE_HOST", "MY_PHASE_TOKEN", "PHASETOKEN", "TOKEN"] {
            assert!(!is_token_variable(name.as_bytes()), "{name}");
        }
        let injection = InjectionOptions {
            keep_token: true,
            ..InjectionOptions::default()
        };
        assert!(handed_on(&ODD, &injection).contains(&b"PHASE_SERVICE_TOKEN=t".to_vec()));
    }

    #[test]
    fn clean_leaves_what_it_says() {
        let passed = vec![Pattern::parse("MY_*", "--pass").unwrap()];
        let injection = InjectionOptions {
            clean: Some(passed),
            ..InjectionOptions::default()
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

    #[test]
    fn a_token_that_is_kept_is_kept_by_clean_too() {
        let injection = InjectionOptions {
            clean: Some(Vec::new()),
            keep_token: true,
            ..InjectionOptions::default()
        };
        let entries: [&[u8]; 2] = [b"PHASE_SERVICE_TOKEN=t", b"PHASE_HOST=h"];
        let expected: [&[u8]; 1] = [b"PHASE_SERVICE_TOKEN=t"];
        assert_eq!(handed_on(&entries, &injection), expected);
    }
}
