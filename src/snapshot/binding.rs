#![forbid(unsafe_code)]
//! What a snapshot is a copy of, as bytes that are equal for equal questions alone.

use crate::config::{
    DecryptionMode, DynamicSecrets, FetchConfig, FolderPattern, Pattern, SelectionOptions,
};

/// Everything that decides which values are chosen: a snapshot of another host, app, environment,
/// filter, mode or with other dynamic secrets does not open. One list after the other, each with its
/// length and the length of each of its words before them, so that no two questions look alike.
pub(super) fn of(request: &FetchConfig, filter: &SelectionOptions) -> Vec<u8> {
    let target = &request.target;
    // As the catalogue compares apps.
    let app = target.app.iter().map(|app| app.value.to_lowercase());
    let environment = target.environment.iter().map(|word| word.value.clone());
    let environment_scope = target
        .environment_scope
        .iter()
        .map(|(id, _)| id.to_lowercase());
    let mode = match request.mode {
        DecryptionMode::Auto => "auto",
        DecryptionMode::Rest => "rest",
        DecryptionMode::EndToEnd => "e2ee",
    };
    // Those that are only listed are those that would be leased.
    let dynamic = match request.dynamic {
        DynamicSecrets::Skip => None,
        DynamicSecrets::List | DynamicSecrets::Lease { .. } => Some("dynamic"),
    };
    let mut bytes = Vec::new();
    list(&mut bytes, [request.host.rest_url("")]);
    list(&mut bytes, app);
    list(&mut bytes, environment);
    list(&mut bytes, environment_scope);
    list(&mut bytes, [mode]);
    list(&mut bytes, dynamic);
    list(&mut bytes, filter.paths.iter().map(FolderPattern::text));
    list(&mut bytes, &filter.tags);
    list(&mut bytes, filter.only.iter().map(Pattern::text));
    list(&mut bytes, filter.except.iter().map(Pattern::text));
    list(&mut bytes, &filter.require);
    list(&mut bytes, filter.allow_empty.then_some("allow-empty"));
    bytes
}

fn list(bytes: &mut Vec<u8>, words: impl IntoIterator<Item: AsRef<str>>) {
    let mut count = 0_u64;
    let mut text = Vec::new();
    for word in words {
        let word = word.as_ref().as_bytes();
        count += 1;
        text.extend_from_slice(&(word.len() as u64).to_le_bytes());
        text.extend_from_slice(word);
    }
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Bounded exhaustive: up to three lists of up to two words of up to two letters.
    #[test]
    fn no_two_lists_look_alike() {
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
                    list(&mut bytes, one);
                    list(&mut bytes, two);
                    list(&mut bytes, three);
                    assert!(seen.insert(bytes), "{one:?} {two:?} {three:?}");
                }
            }
        }
    }
}
