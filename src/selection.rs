#![forbid(unsafe_code)]
//! Which of the fetched secrets are selected: folders, tags, patterns, and one row for each key.
//!
//! Pure. Never a silent winner: of one key in several folders the rank decides, and equal ranks
//! with different values are an error that names them.

use crate::config::{FolderPattern, Pattern, SelectionOptions};
use crate::error::Error;
use crate::log::{Event, Log};
use crate::secret::Secret;

/// Selects. `place` names the environment in messages.
///
/// # Errors
/// `not-found` for a filter that selects nothing and for required keys that are missing;
/// `ambiguous` for a key with different values of equal rank.
pub(crate) fn select(
    secrets: Vec<Secret>,
    filter: &SelectionOptions,
    place: &str,
    log: &dyn Log,
) -> Result<Vec<Secret>, Error> {
    if secrets.is_empty()
        && filter.paths.is_empty()
        && filter.tags.is_empty()
        && filter.only.is_empty()
    {
        log.log(Event::EnvironmentEmpty { scope: place });
    }
    let mut rows = secrets;
    let nothing = |option, given: &str| match filter.allow_empty {
        true => Ok(()),
        false => Err(Error::FilterSelectsNothing {
            option,
            value: given.to_owned(),
            scope: place.to_owned(),
        }),
    };
    for folder in &filter.paths {
        if !rows.iter().any(|row| folder.matches(&row.folder)) {
            nothing(folder.source(), folder.text())?;
        }
    }
    rows.retain(|row| rank(&filter.paths, row).is_some());
    for tag in &filter.tags {
        if !rows.iter().any(|row| row.tags.contains(tag)) {
            nothing("--tags", tag)?;
        }
    }
    rows.retain(|row| {
        filter.tags.is_empty() || row.tags.iter().any(|tag| filter.tags.contains(tag))
    });
    for pattern in &filter.only {
        if !rows.iter().any(|row| pattern.matches(&row.key)) {
            nothing(pattern.option(), pattern.text())?;
        }
    }
    let any = |patterns: &[Pattern], key: &str| patterns.iter().any(|pattern| pattern.matches(key));
    rows.retain(|row| filter.only.is_empty() || any(&filter.only, &row.key));
    rows.retain(|row| !any(&filter.except, &row.key));

    let chosen = one_for_each_key(rows, &filter.paths)?;
    let present = |key: &String| chosen.binary_search_by(|row| row.key.cmp(key)).is_ok();
    let missing: Vec<String> = filter
        .require
        .iter()
        .filter(|key| !present(key))
        .cloned()
        .collect();
    match missing.is_empty() {
        true => Ok(chosen),
        false => Err(Error::RequiredKeyMissing { keys: missing }),
    }
}

/// The last `--path` that the row's folder matches; without any, all rows are equal.
fn rank(paths: &[FolderPattern], row: &Secret) -> Option<usize> {
    match paths {
        [] => Some(0),
        paths => paths.iter().rposition(|folder| folder.matches(&row.folder)),
    }
}

/// Sorted by key; of each key the row of the highest rank.
fn one_for_each_key(mut rows: Vec<Secret>, paths: &[FolderPattern]) -> Result<Vec<Secret>, Error> {
    rows.sort_by(|a, b| {
        a.key
            .cmp(&b.key)
            .then_with(|| rank(paths, b).cmp(&rank(paths, a)))
    });
    let mut chosen: Vec<Secret> = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter();
    while let Some(row) = rows.next() {
        match chosen.last().filter(|best| best.key == row.key) {
            None => chosen.push(row),
            Some(best) if rank(paths, best) > rank(paths, &row) => {}
            Some(best) if best.value.equals(&row.value) => {}
            Some(best) => {
                let equals = |other: &Secret| {
                    other.key == row.key && rank(paths, other) == rank(paths, &row)
                };
                let others = rows.take_while(equals).map(|other| other.folder);
                let mut folders = vec![best.folder.clone(), row.folder.clone()];
                folders.extend(others);
                folders.sort();
                folders.dedup();
                return Err(Error::AmbiguousKey {
                    key: row.key,
                    folders,
                });
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    const IGNORE: fn(Event<'_>) = |_| ();

    /// `folder key value tags`
    fn rows(table: &[&str]) -> Vec<Secret> {
        let row = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let word = |n: usize| words.get(n).copied().unwrap_or_default();
            Secret {
                folder: word(0).to_owned(),
                key: word(1).to_owned(),
                value: SecretBytes::new(word(2).as_bytes().to_vec()),
                tags: word(3)
                    .split(',')
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
                kind: "secret".into(),
                dynamic: None,
            }
        };
        table.iter().map(row).collect()
    }

    /// `--path a --only b`: the options, without a shell.
    fn filter(line: &str) -> SelectionOptions {
        let mut filter = SelectionOptions::default();
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        for pair in words.chunks(2) {
            let value = pair.get(1).copied().unwrap_or_default();
            match pair[0] {
                "--path" => filter.paths.push(FolderPattern::parse(value, "--path")),
                "--tags" => filter.tags = value.split(',').map(str::to_owned).collect(),
                "--only" => filter.only.push(Pattern::parse(value, "--only").unwrap()),
                "--except" => filter
                    .except
                    .push(Pattern::parse(value, "--except").unwrap()),
                "--require" => filter.require.push(value.to_owned()),
                "--allow-empty" => filter.allow_empty = true,
                other => panic!("{other}"),
            }
        }
        filter
    }

    const SHOP: [&str; 7] = [
        "/ DB one net",
        "/ LOG json billing,logging",
        "/backend PORT 9000 net",
        "/web PORT 8080",
        "/backend/db URL x",
        "/Backend CASE y",
        "/web SAME 1",
    ];

    #[test]
    fn selection_table() {
        for (line, expected) in [
            ("--path /backend", "PORT=9000"),
            ("--path backend//", "PORT=9000"),
            ("--path /backend/**", "PORT=9000 URL=x"),
            ("--path /", "DB=one LOG=json"),
            ("--path / --path /web", "DB=one LOG=json PORT=8080 SAME=1"),
            ("--path /web --path /backend", "PORT=9000 SAME=1"),
            ("--path /backend --path /web", "PORT=8080 SAME=1"),
            (
                "--path /** --path /web",
                "CASE=y DB=one LOG=json PORT=8080 SAME=1 URL=x",
            ),
            ("--tags net --path /backend", "PORT=9000"),
            ("--tags billing,logging", "LOG=json"),
            ("--except PORT", "CASE=y DB=one LOG=json SAME=1 URL=x"),
            ("--only D* --only URL", "DB=one URL=x"),
            ("--only D* --except DB", ""),
            ("--only D* --require DB", "DB=one"),
            ("--path /nope --allow-empty", ""),
            ("", "PORT has different values in /backend and /web"),
            (
                "--path /**",
                "PORT has different values in /backend and /web",
            ),
            ("--path /nope", "--path /nope selects nothing in shop"),
            (
                "--path / --path /nope",
                "--path /nope selects nothing in shop",
            ),
            ("--path /BACKEND", "--path /BACKEND selects nothing in shop"),
            ("--tags Net", "--tags Net selects nothing in shop"),
            ("--tags net,nope", "--tags nope selects nothing in shop"),
            ("--only X*", "--only X* selects nothing in shop"),
            (
                "--only D* --require A --require DB --require B",
                "required but not among the selected: A, B",
            ),
        ] {
            let outcome = match select(rows(&SHOP), &filter(line), "shop", &IGNORE) {
                Ok(chosen) => {
                    let mut pairs: Vec<String> = chosen
                        .iter()
                        .map(|row| {
                            format!(
                                "{}={}",
                                row.key,
                                std::str::from_utf8(row.value.expose()).unwrap()
                            )
                        })
                        .collect();
                    pairs.sort();
                    pairs.join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(outcome, expected, "{line}");
        }
    }

    #[test]
    fn the_same_value_in_two_folders_is_one() {
        let chosen = select(
            rows(&["/a K v", "/b K v"]),
            &SelectionOptions::default(),
            "shop",
            &IGNORE,
        )
        .unwrap();
        assert_eq!(chosen.len(), 1);
    }
}
