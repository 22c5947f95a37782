#![forbid(unsafe_code)]
//! Which variables of phase-run's own environment the command inherits.

use std::collections::HashSet;

use crate::config::InjectionOptions;
use crate::process::env_block::EnvBlock;
use crate::secret::is_token_variable;

/// The variables that `--clean` keeps, in addition to `LC_*`: paths, user, terminal, time zone and language.
const CLEAN_ALLOWLIST: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "TMPDIR", "PWD", "HOSTNAME",
];

/// Removes the token's variables and, with `--clean`, those that neither the allowlist nor `--pass`
/// names. If a name occurs twice, the first entry is kept, as in getenv(3).
pub(crate) fn filter_inherited(inherited: EnvBlock, injection: &InjectionOptions) -> EnvBlock {
    let mut seen = HashSet::new();
    let entries = inherited
        .into_entries()
        .into_iter()
        .filter(|entry| match entry.name() {
            Some(name) => is_inherited(name, injection) && seen.insert(name.to_owned()),
            None => injection.clean.is_none(),
        });
    EnvBlock::new(entries.collect())
}

fn is_inherited(name: &[u8], injection: &InjectionOptions) -> bool {
    if is_token_variable(name) {
        return injection.keep_token;
    }
    let Some(passed) = &injection.clean else {
        return true;
    };
    let text = String::from_utf8_lossy(name);
    CLEAN_ALLOWLIST.contains(&text.as_ref())
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

    fn inherit(entries: &[&[u8]], injection: &InjectionOptions) -> Vec<Vec<u8>> {
        let block = filter_inherited(inherited(entries), injection);
        block
            .into_entries()
            .iter()
            .map(|entry| entry.as_ref().to_bytes().to_vec())
            .collect()
    }

    const UNUSUAL_ENTRIES: [&[u8]; 8] = [
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
    fn unusual_entries_are_inherited_and_first_name_wins() {
        let expected: [&[u8]; 6] = [
            b"A=1",
            b"noequals",
            b"=x",
            b"B=\xff",
            b"\xff=1",
            b"PHASE_HOST=h",
        ];
        assert_eq!(
            inherit(&UNUSUAL_ENTRIES, &InjectionOptions::default()),
            expected
        );
        assert_eq!(inherited(&UNUSUAL_ENTRIES).get("A"), Some(OsStr::new("1")));
    }

    #[test]
    fn token_variables_stay_only_with_keep_token() {
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
        assert!(inherit(&UNUSUAL_ENTRIES, &injection).contains(&b"PHASE_SERVICE_TOKEN=t".to_vec()));
    }

    #[test]
    fn clean_keeps_allowlist_and_pass_patterns() {
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
        assert_eq!(inherit(&entries, &injection), expected);
    }

    #[test]
    fn keep_token_keeps_token_with_clean() {
        let injection = InjectionOptions {
            clean: Some(Vec::new()),
            keep_token: true,
            ..InjectionOptions::default()
        };
        let entries: [&[u8]; 2] = [b"PHASE_SERVICE_TOKEN=t", b"PHASE_HOST=h"];
        let expected: [&[u8]; 1] = [b"PHASE_SERVICE_TOKEN=t"];
        assert_eq!(inherit(&entries, &injection), expected);
    }
}
