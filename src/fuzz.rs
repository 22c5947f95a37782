#![forbid(unsafe_code)]
//! Fuzz targets for all parsers of untrusted bytes: `cargo fuzz run NAME` in `fuzz/`. The ordinary tests
//! run each target on its seeds in `fuzz/seeds` and on variations of them.

use crate::phase::reference::{Piece, has_reference, has_unresolved_reference, pieces};
use crate::secret::Token;
use crate::{auth, config, phase, snapshot};

/// The name of a fuzz target in `fuzz/Cargo.toml`, and its function.
type FuzzTarget = (&'static str, fn(&[u8]));

const TARGETS: [FuzzTarget; 9] = [
    ("token", token),
    ("references", references),
    ("profile", auth::fuzz_profile),
    ("project", config::fuzz_project),
    ("field", phase::fuzz::field),
    ("lease_end", phase::fuzz::lease_end),
    ("rows", phase::fuzz::rows),
    ("encrypted_rows", phase::fuzz::encrypted_rows),
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
