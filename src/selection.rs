#![forbid(unsafe_code)]
//! Selects secrets by folder, tag and pattern, and leaves one secret for each key.
//!
//! No secret wins silently: if a key is in several folders, the order of `--path` decides, and
//! different values of equal precedence are an error that names the folders.

use crate::config::{FolderPattern, Pattern, SelectionOptions};
use crate::error::Error;
use crate::log::{Event, Log};
use crate::secret::Secret;

/// Selects secrets and returns them sorted by key. `environment_label` is for messages.
///
/// # Errors
/// `not-found` if a filter selects nothing or a required key is missing, `ambiguous` if a key has
/// different values of equal precedence.
pub(crate) fn select(
    mut secrets: Vec<Secret>,
    options: &SelectionOptions,
    environment_label: &str,
    log: &dyn Log,
) -> Result<Vec<Secret>, Error> {
    if secrets.is_empty()
        && options.folders.is_empty()
        && options.tags.is_empty()
        && options.only.is_empty()
    {
        log.log(Event::EnvironmentEmpty { environment_label });
    }
    let check = |unmatched: Option<(&'static str, &str)>| match unmatched {
        Some((option, value)) if !options.allow_empty => Err(Error::FilterSelectsNothing {
            option,
            value: value.to_owned(),
            scope: environment_label.to_owned(),
        }),
        _ => Ok(()),
    };
    let has_tag = |tag: &String, secret: &Secret| secret.tags.contains(tag);
    let has_key = |pattern: &Pattern, secret: &Secret| pattern.matches(&secret.key);
    let unmatched = retain_matching(&mut secrets, &options.folders, is_in);
    check(unmatched.map(|folder| (folder.set_by(), folder.text())))?;
    let unmatched = retain_matching(&mut secrets, &options.tags, has_tag);
    check(unmatched.map(|tag| ("--tags", tag.as_str())))?;
    let unmatched = retain_matching(&mut secrets, &options.only, has_key);
    check(unmatched.map(|pattern| (pattern.option(), pattern.text())))?;
    secrets.retain(|secret| {
        !options
            .except
            .iter()
            .any(|pattern| has_key(pattern, secret))
    });

    let selected = one_secret_per_key(secrets, &options.folders)?;
    check_required(&selected, &options.require)?;
    Ok(selected)
}

fn is_in(folder: &FolderPattern, secret: &Secret) -> bool {
    folder.matches(&secret.folder)
}

/// Keeps the secrets that any of the filters matches, or all secrets if there is no filter. Returns the
/// first filter that matches no secret.
fn retain_matching<'f, F>(
    secrets: &mut Vec<Secret>,
    filters: &'f [F],
    matches: impl Fn(&F, &Secret) -> bool,
) -> Option<&'f F> {
    let matches_none = |filter: &&F| !secrets.iter().any(|secret| matches(filter, secret));
    let unmatched = filters.iter().find(matches_none);
    secrets.retain(|secret| {
        filters.is_empty() || filters.iter().any(|filter| matches(filter, secret))
    });
    unmatched
}

fn check_required(selected: &[Secret], required: &[String]) -> Result<(), Error> {
    let is_missing = |key: &&String| !selected.iter().any(|secret| secret.key == **key);
    let missing: Vec<String> = required.iter().filter(is_missing).cloned().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::RequiredKeyMissing { keys: missing }),
    }
}

/// Sorts by key and keeps the secret with the highest precedence for each key: the one in the folder of
/// the last `--path` that matches. Without `--path`, all secrets have equal precedence.
fn one_secret_per_key(
    mut secrets: Vec<Secret>,
    folders: &[FolderPattern],
) -> Result<Vec<Secret>, Error> {
    let precedence = |secret: &Secret| folders.iter().rposition(|folder| is_in(folder, secret));
    secrets.sort_by(|a, b| {
        a.key
            .cmp(&b.key)
            .then_with(|| precedence(b).cmp(&precedence(a)))
    });
    let mut selected: Vec<Secret> = Vec::with_capacity(secrets.len());
    let mut secrets = secrets.into_iter();
    while let Some(secret) = secrets.next() {
        match selected.last().filter(|best| best.key == secret.key) {
            None => selected.push(secret),
            Some(best) if precedence(best) > precedence(&secret) => {}
            Some(best) if best.value.equals(&secret.value) => {}
            Some(best) => {
                let competes = |other: &Secret| {
                    other.key == secret.key && precedence(other) == precedence(&secret)
                };
                let others = secrets.take_while(competes).map(|other| other.folder);
                let mut folders = vec![best.folder.clone(), secret.folder.clone()];
                folders.extend(others);
                folders.sort();
                folders.dedup();
                let key = secret.key;
                return Err(match folders.as_slice() {
                    [folder] => Error::DuplicateKey {
                        key,
                        folder: folder.clone(),
                    },
                    _ => Error::AmbiguousKey { key, folders },
                });
            }
        }
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    const IGNORE: fn(Event<'_>) = |_| ();

    /// Parses lines of `folder key value tags`.
    fn secrets(table: &[&str]) -> Vec<Secret> {
        let secret = |line: &&str| {
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
                secret_type: "secret".into(),
                dynamic_secret_name: None,
            }
        };
        table.iter().map(secret).collect()
    }

    /// Parses a command line such as `--path a --only b`.
    fn options(line: &str) -> SelectionOptions {
        let mut options = SelectionOptions::default();
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        for pair in words.chunks(2) {
            let value = pair.get(1).copied().unwrap_or_default();
            match pair[0] {
                "--path" => options.folders.push(FolderPattern::parse(value, "--path")),
                "--tags" => options.tags = value.split(',').map(str::to_owned).collect(),
                "--only" => options.only.push(Pattern::parse(value, "--only").unwrap()),
                "--except" => options
                    .except
                    .push(Pattern::parse(value, "--except").unwrap()),
                "--require" => options.require.push(value.to_owned()),
                "--allow-empty" => options.allow_empty = true,
                other => panic!("{other}"),
            }
        }
        options
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
    fn filters_select_expected_secrets() {
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
            ("--path /nope", "--path /nope matches nothing in shop"),
            (
                "--path / --path /nope",
                "--path /nope matches nothing in shop",
            ),
            ("--path /BACKEND", "--path /BACKEND matches nothing in shop"),
            ("--tags Net", "--tags Net matches nothing in shop"),
            ("--tags net,nope", "--tags nope matches nothing in shop"),
            ("--only X*", "--only X* matches nothing in shop"),
            (
                "--only D* --require A --require DB --require B",
                "required secrets are not selected: A, B",
            ),
        ] {
            let outcome = match select(secrets(&SHOP), &options(line), "shop", &IGNORE) {
                Ok(selected) => {
                    let mut pairs: Vec<String> = selected
                        .iter()
                        .map(|secret| {
                            format!(
                                "{}={}",
                                secret.key,
                                std::str::from_utf8(secret.value.expose()).unwrap()
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
    fn same_value_in_two_folders_is_one_secret() {
        let selected = select(
            secrets(&["/a K v", "/b K v"]),
            &SelectionOptions::default(),
            "shop",
            &IGNORE,
        )
        .unwrap();
        assert_eq!(selected.len(), 1);
    }
}
