#![forbid(unsafe_code)]
//! Fuzz targets for all parsers of untrusted bytes: `cargo fuzz run NAME` in `fuzz/`. The ordinary tests
//! run each target on its seeds in `fuzz/seeds` and on variations of them.

use std::collections::HashSet;

use crate::http::redact;
use crate::phase::reference::{Piece, has_reference, has_unresolved_reference, pieces};
use crate::secret::Token;
use crate::{auth, config, phase, snapshot};

/// The name of a fuzz target in `fuzz/Cargo.toml`, and its function.
type FuzzTarget = (&'static str, fn(&[u8]));

const TARGETS: [FuzzTarget; 12] = [
    ("token", token),
    ("references", references),
    ("profile", auth::fuzz_profile),
    ("project", config::fuzz_project),
    ("redact", redact),
    ("field", phase::fuzz::field),
    ("lease_end", phase::fuzz::lease_end),
    ("rows", phase::fuzz::rows),
    ("encrypted_rows", phase::fuzz::encrypted_rows),
    ("leases", phase::fuzz::leases),
    ("token_endpoint", phase::fuzz::token_endpoint),
    ("snapshot", snapshot::fuzz),
];

/// Runs the target of this name.
#[cfg(fuzzing)]
pub(crate) fn run(name: &str, data: &[u8]) {
    for (_, target) in TARGETS.iter().filter(|(other, _)| *other == name) {
        target(data);
    }
}

fn token(data: &[u8]) {
    if let Ok(token) = Token::parse(data) {
        assert_eq!(token.has_keys(), token.keys().is_some());
        assert!(token.authorization().starts_with(b"Bearer "));
    }
}

/// Checks that the pieces of a value make up the whole value, and splits each reference.
fn references(data: &[u8]) {
    let text = str::from_utf8(data).unwrap_or_default();
    let whole: String = pieces(text)
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Reference(reference, raw) => {
                let folder = reference.folder();
                assert!(folder.starts_with('/') && !folder.contains("//"));
                assert!(raw.ends_with(&format!("{}}}", reference.key())));
                raw
            }
        })
        .collect();
    assert_eq!(whole, text);
    assert!(has_reference(data) || !has_unresolved_reference(data));
}

/// Quotes the lines after the first one, which is the secret, and checks that no part of the secret is
/// left.
fn redact(data: &[u8]) {
    const MAX_CHARS: usize = 300;
    const MIN_SECRET: usize = 8;
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (secret, text) = data.split_at(end);
    let text = String::from_utf8_lossy(text);
    let quoted = redact::quote(&text, MAX_CHARS, [secret].into_iter());
    // What is left out at the end is replaced by a space and this sign.
    let quoted = quoted.strip_suffix(" …").unwrap_or(&quoted);
    assert!(quoted.chars().count() <= MAX_CHARS);
    // The sign that replaces a secret may occur in a secret, and blanks at the edges are kept.
    let is_plain = |part: &&[u8]| part.iter().all(u8::is_ascii_graphic);
    let parts = secret.trim_ascii().windows(MIN_SECRET);
    let parts: HashSet<&[u8]> = parts.filter(is_plain).collect();
    let mut quoted = quoted.as_bytes().windows(MIN_SECRET);
    assert!(quoted.all(|part| !parts.contains(part)));
}

#[cfg(test)]
mod tests {
    use std::fs::{read, read_dir};
    use std::path::Path;

    use super::*;

    #[test]
    fn targets_accept_seeds_and_variations() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz/seeds")
                .join(name);
            let seeds: Vec<_> = read_dir(folder).unwrap().collect();
            assert!(!seeds.is_empty(), "{name} has no seed");
            for seed in seeds {
                let seed = read(seed.unwrap().path()).unwrap();
                target(&seed);
                let step = seed.len() / 200 + 1;
                for position in (0..seed.len()).step_by(step) {
                    target(&seed[..position]);
                    let mut changed = seed.clone();
                    changed[position] ^= 1 << (position % 8);
                    target(&changed);
                    changed.remove(position);
                    target(&changed);
                }
            }
        }
    }
}
