#![forbid(unsafe_code)]
//! Which of the fetched secrets are selected: folders, tags, patterns, and one row for each key.
//!
//! Pure. Never a silent winner: of one key in several folders the rank decides, and equal ranks
//! with different values are an error that names them.

use std::collections::{HashMap, HashSet};

use crate::config::{Filter, Folder, Pattern};
use crate::error::Error;
use crate::notice::{Notice, Say};
use crate::secret::Secret;

/// Selects. `place` names the environment in messages.
///
/// # Errors
/// `not-found` for a filter that selects nothing and for required keys that are missing;
/// `ambiguous` for a key with different values of equal rank.
pub(crate) fn select(
    secrets: Vec<Secret>,
    filter: &Filter,
    place: &str,
    say: Say<'_>,
) -> Result<Vec<Secret>, Error> {
    if secrets.is_empty()
        && filter.paths.is_empty()
        && filter.tags.is_empty()
        && filter.only.is_empty()
    {
        say(Notice::EnvironmentEmpty { place });
    }
    let mut seen = HashSet::new();
    let mut rows: Vec<Secret> = secrets;
    rows.retain(|row| seen.insert(row.id.clone()));

    let nothing = |option, given: &str| match filter.allow_empty {
        true => Ok(()),
        false => Err(Error::FilterSelectsNothing {
            option,
            given: given.to_owned(),
            place: place.to_owned(),
        }),
    };
    for folder in &filter.paths {
        if !rows.iter().any(|row| folder.covers(&row.folder)) {
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
    let present: HashSet<&str> = chosen.iter().map(|row| row.key.as_str()).collect();
    let missing: Vec<String> = filter
        .require
        .iter()
        .filter(|key| !present.contains(key.as_str()))
        .cloned()
        .collect();
    match missing.is_empty() {
        true => Ok(chosen),
        false => Err(Error::RequiredMissing { keys: missing }),
    }
}

/// The last `--path` that the row's folder matches; without any, all rows are equal.
fn rank(paths: &[Folder], row: &Secret) -> Option<usize> {
    match paths {
        [] => Some(0),
        paths => paths.iter().rposition(|folder| folder.covers(&row.folder)),
    }
}

fn one_for_each_key(rows: Vec<Secret>, paths: &[Folder]) -> Result<Vec<Secret>, Error> {
    let mut best: HashMap<String, usize> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let rank = rank(paths, row).unwrap_or(0);
        let highest = best.entry(row.key.clone()).or_insert(rank);
        *highest = (*highest).max(rank);
    }
    let mut chosen: Vec<Secret> = Vec::with_capacity(best.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(best.len());
    for row in rows {
        if best.get(&row.key) != Some(&rank(paths, &row).unwrap_or(0)) {
            continue;
        }
        match places.get(&row.key).and_then(|place| chosen.get(*place)) {
            None => {
                places.insert(row.key.clone(), chosen.len());
                chosen.push(row);
            }
            Some(first) if first.value.expose() == row.value.expose() => {}
            Some(first) => {
                let mut folders = vec![first.folder.clone(), row.folder];
                folders.sort();
                return Err(Error::KeyAmbiguous {
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

    /// `folder key value tags`, the id being the row's number unless a fifth word gives it.
    fn rows(table: &[&str]) -> Vec<Secret> {
        let row = |(number, line): (usize, &&str)| {
            let words: Vec<&str> = line.split(' ').collect();
            let word = |n: usize| words.get(n).copied().unwrap_or_default();
            Secret {
                id: if word(4).is_empty() {
                    number.to_string()
                } else {
                    word(4).to_owned()
                },
                folder: word(0).to_owned(),
                key: word(1).to_owned(),
                value: SecretBytes::new(word(2).as_bytes().to_vec()),
                tags: word(3)
                    .split(',')
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
                kind: "secret".to_owned(),
            }
        };
        table.iter().enumerate().map(row).collect()
    }

    /// `--path a --only b`: the options, without a shell.
    fn filter(line: &str) -> Filter {
        let mut filter = Filter::default();
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        for pair in words.chunks(2) {
            let value = pair.get(1).copied().unwrap_or_default();
            match pair[0] {
                "--path" => filter.paths.push(Folder::parse(value, "--path")),
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

    const SHOP: [&str; 8] = [
        "/ DB one net",
        "/ LOG json billing,logging",
        "/ LOG json billing,logging 1",
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
            let outcome = match select(rows(&SHOP), &filter(line), "shop", &|_| ()) {
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
            &Filter::default(),
            "shop",
            &|_| (),
        )
        .unwrap();
        assert_eq!(chosen.len(), 1);
    }
}
