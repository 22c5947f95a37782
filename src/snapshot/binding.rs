#![forbid(unsafe_code)]
//! The settings that a snapshot is bound to, encoded as associated data.

use crate::config::{
    DecryptionMode, DynamicMode, FetchConfig, FolderPattern, Pattern, SelectionOptions,
};
use crate::secret::length_prefixed;

/// Encodes every setting that decides which values are selected, so that a snapshot cannot be decrypted
/// with other settings. The lengths make different settings differ in their bytes.
pub(super) fn encode(config: &FetchConfig, selection: &SelectionOptions) -> Vec<u8> {
    let target = &config.target;
    // App names are case-insensitive.
    let app = target.app.iter().map(|app| app.value.to_lowercase());
    let environment = target.environment.iter().map(|word| word.value.clone());
    let environment_scope = target
        .environment_scope
        .iter()
        .map(|(id, _)| id.to_lowercase());
    let mode = match config.mode {
        DecryptionMode::Auto => "auto",
        DecryptionMode::Rest => "rest",
        DecryptionMode::EndToEnd => "e2ee",
    };
    // A dry run lists the dynamic secrets that a start would lease.
    let dynamic = match config.dynamic_mode {
        DynamicMode::Skip => None,
        DynamicMode::List | DynamicMode::Lease { .. } => Some("dynamic"),
    };
    let mut bytes = Vec::new();
    push_list(&mut bytes, [config.host.rest_url("")]);
    push_list(&mut bytes, app);
    push_list(&mut bytes, environment);
    push_list(&mut bytes, environment_scope);
    push_list(&mut bytes, [mode]);
    push_list(&mut bytes, dynamic);
    push_list(
        &mut bytes,
        selection.folders.iter().map(FolderPattern::text),
    );
    push_list(&mut bytes, &selection.tags);
    push_list(&mut bytes, selection.only.iter().map(Pattern::text));
    push_list(&mut bytes, selection.except.iter().map(Pattern::text));
    push_list(&mut bytes, &selection.require);
    push_list(&mut bytes, selection.allow_empty.then_some("allow-empty"));
    bytes
}

/// Appends the number of words and each word after its length.
fn push_list(bytes: &mut Vec<u8>, words: impl IntoIterator<Item: AsRef<str>>) {
    let words: Vec<_> = words.into_iter().collect();
    bytes.extend_from_slice(&length_prefixed::encode_length(words.len()));
    for word in &words {
        length_prefixed::push(bytes, word.as_ref().as_bytes());
    }
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
