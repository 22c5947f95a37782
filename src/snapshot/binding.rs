#![forbid(unsafe_code)]
//! The settings that a snapshot is bound to. They are encrypted with it, so that a start with other
//! settings does not use it and can say which one differs.

use crate::config::{
    DecryptionMode, DynamicMode, FetchConfig, FolderPattern, Pattern, SelectionOptions,
};
use crate::error::SnapshotError;
use crate::phase::FetchedTarget;
use crate::secret::length_prefixed;

/// The settings in the order of [`Binding::words`], as messages name them.
const SETTINGS: [&str; 11] = [
    "--host",
    "--app",
    "--env",
    "--mode",
    "--dynamic",
    "--path",
    "--tags",
    "--only",
    "--except",
    "--require",
    "--allow-empty",
];

/// The place of `--app` in [`SETTINGS`].
const APP: usize = 1;
/// The place of `--env` in [`SETTINGS`].
const ENVIRONMENT: usize = 2;

/// Every setting that decides which values are selected.
pub(super) struct Binding {
    /// The words of each of the [`SETTINGS`].
    words: [Vec<String>; SETTINGS.len()],
    /// The ID of the app to which the environment of a `.phase.json` applies.
    scope: Option<String>,
}

impl Binding {
    /// Returns the settings of this run.
    pub(super) fn new(config: &FetchConfig, selection: &SelectionOptions) -> Self {
        let target = &config.target;
        let app = target.app.iter().map(|app| app.value.clone());
        let environment = target.environment.iter().map(|word| word.value.clone());
        let mode = match config.mode {
            DecryptionMode::Auto => "auto",
            DecryptionMode::Rest => "rest",
            DecryptionMode::EndToEnd => "e2ee",
        };
        // A dry run lists the dynamic secrets that a start would lease.
        let dynamic = match config.dynamic_mode {
            DynamicMode::Skip => None,
            DynamicMode::List | DynamicMode::Lease { .. } => Some(String::new()),
        };
        let folders = selection.folders.iter().map(FolderPattern::text);
        let texts = |patterns: &[Pattern]| -> Vec<String> {
            patterns.iter().map(|p| p.text().to_owned()).collect()
        };
        Self {
            words: [
                vec![config.host.address()],
                app.collect(),
                environment.collect(),
                vec![mode.to_owned()],
                dynamic.into_iter().collect(),
                folders.map(str::to_owned).collect(),
                selection.tags.clone(),
                texts(&selection.only),
                texts(&selection.except),
                selection.require.clone(),
                selection
                    .allow_empty
                    .then(String::new)
                    .into_iter()
                    .collect(),
            ],
            scope: target.environment_scope.as_ref().map(|(id, _)| id.clone()),
        }
    }

    /// Encodes the settings for a snapshot of `target`: the app and the environment under each of their
    /// names. The lengths make different settings differ in their bytes.
    pub(super) fn encode(&self, target: &FetchedTarget) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (setting, words) in self.words.iter().enumerate() {
            let names: &[String] = match setting {
                APP => &target.app_names,
                ENVIRONMENT => &target.environment_names,
                _ => &[],
            };
            let mut words = words.clone();
            words.extend_from_slice(names);
            push_list(&mut bytes, words);
        }
        bytes
    }

    /// Checks these settings against the encoded ones of a snapshot. The app and the environment may
    /// have any of the names that the snapshot knows.
    ///
    /// # Errors
    /// The first setting that differs, or that the encoding cannot be decoded.
    pub(super) fn check(&self, encoded: &[u8]) -> Result<(), SnapshotError> {
        let mut rest = encoded;
        for (index, (setting, words)) in SETTINGS.into_iter().zip(&self.words).enumerate() {
            let made_with = take_list(&mut rest).ok_or(SnapshotError::Undecryptable)?;
            // Names of apps and environments are case-insensitive.
            let is_among = |name: &String| {
                let mut names = made_with.iter();
                names.any(|other| other.to_lowercase() == name.to_lowercase())
            };
            let is_same = match index {
                APP => words.iter().any(is_among) && self.scope.iter().all(is_among),
                ENVIRONMENT => words.iter().any(is_among),
                _ => *words == made_with,
            };
            if !is_same {
                return Err(SnapshotError::OtherSettings {
                    setting,
                    made_with: describe(setting, &made_with),
                });
            }
        }
        Ok(())
    }
}

/// Returns how the options would be written, such as `with --path /a --path /b`.
fn describe(setting: &str, words: &[String]) -> String {
    let options = words.iter().map(|word| match word.as_str() {
        "" if setting != "--path" => setting.to_owned(),
        "" => format!("{setting} ''"),
        word => format!("{setting} {word}"),
    });
    match (setting, words) {
        ("--app" | "--env", [first, ..]) => format!("with {setting} {first}"),
        (_, []) => format!("without {setting}"),
        _ => format!("with {}", options.collect::<Vec<_>>().join(" ")),
    }
}

/// Appends the number of words and each word after its length.
fn push_list(bytes: &mut Vec<u8>, words: impl IntoIterator<Item: AsRef<str>>) {
    let words: Vec<_> = words.into_iter().collect();
    bytes.extend_from_slice(&length_prefixed::encode_length(words.len()));
    for word in &words {
        length_prefixed::push(bytes, word.as_ref().as_bytes());
    }
}

/// Takes off the front of `rest` what [`push_list`] has appended.
fn take_list(rest: &mut &[u8]) -> Option<Vec<String>> {
    let count = length_prefixed::take_length(rest)?;
    let mut words = Vec::new();
    for _ in 0..count {
        words.push(
            str::from_utf8(length_prefixed::take(rest)?)
                .ok()?
                .to_owned(),
        );
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Tries all triples of lists of up to two words of up to two letters.
    #[test]
    fn different_lists_have_different_encodings() {
        let words = ["", "a", "b", "aa", "ab"];
        let mut lists: Vec<Vec<&str>> = vec![vec![]];
        lists.extend(words.iter().map(|one| vec![*one]));
        for one in words {
            lists.extend(words.iter().map(|other| vec![one, *other]));
        }
        let mut seen = HashSet::new();
        for one in &lists {
            for two in &lists {
                for three in &lists {
                    let mut bytes = Vec::new();
                    push_list(&mut bytes, one);
                    push_list(&mut bytes, two);
                    push_list(&mut bytes, three);
                    assert!(seen.insert(bytes), "{one:?} {two:?} {three:?}");
                }
            }
        }
    }
}
