#![forbid(unsafe_code)]
//! Shell patterns, folders, and which secrets become files, as they are written on the line.

use crate::error::Error;

/// A shell pattern for keys and names: `*`, `?`, `[a-z]`, `[!a-z]`. Case counts.
#[derive(Debug)]
pub(crate) struct Pattern {
    glob: glob::Pattern,
    text: String,
    option: &'static str,
}

impl Pattern {
    /// # Errors
    /// `usage` when the pattern is malformed.
    pub(crate) fn parse(text: &str, option: &'static str) -> Result<Self, Error> {
        // The library takes these for other characters than a shell does.
        if text.contains("[:") || text.contains('\\') {
            return Err(Error::InvalidValue {
                option,
                value: text.to_owned(),
                expected: "a pattern of *, ?, [a-z] and [!a-z] (a class is written [a-z], and nothing is quoted)",
            });
        }
        // `**` means folders to the library; to a shell it is `*` twice.
        let mut single = text.to_owned();
        while single.contains("**") {
            single = single.replace("**", "*");
        }
        let glob = glob::Pattern::new(&single).map_err(|_| Error::InvalidValue {
            option,
            value: text.to_owned(),
            expected: "a shell pattern (a [ needs its ])",
        })?;
        Ok(Self {
            glob,
            text: text.to_owned(),
            option,
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.glob.matches(name)
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The option that it was typed for.
    pub(crate) fn option(&self) -> &'static str {
        self.option
    }

    /// Whether it can only match itself.
    fn is_literal(&self) -> bool {
        !self.text.contains(['*', '?', '['])
    }
}

/// Which folders a `--path` means.
#[derive(Debug)]
pub(crate) struct FolderPattern {
    reach: Reach,
    text: String,
    source: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Reach {
    Every,
    Exact(String),
    /// The folder and all below it.
    Below(String),
}

impl FolderPattern {
    /// `/a` is that folder alone, `/a/**` the folder and all below, the empty text every folder.
    pub(crate) fn parse(text: &str, source: &'static str) -> Self {
        let below = text
            .strip_suffix("**")
            .filter(|rest| rest.is_empty() || rest.ends_with('/'));
        let reach = match below.map(normalised).as_deref() {
            _ if text.is_empty() => Reach::Every,
            Some("/") => Reach::Every,
            Some(folder) => Reach::Below(folder.to_owned()),
            None => Reach::Exact(normalised(text)),
        };
        Self {
            reach,
            text: text.to_owned(),
            source,
        }
    }

    /// Whether secrets of this folder are meant; `folder` is normalised, as the server's are.
    pub(crate) fn matches(&self, folder: &str) -> bool {
        match &self.reach {
            Reach::Every => true,
            Reach::Exact(exact) => exact == folder,
            Reach::Below(above) => folder
                .strip_prefix(above.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// The folder, if it is a single one: the server can then leave out the rest.
    pub(crate) fn single_folder(&self) -> Option<&str> {
        match &self.reach {
            Reach::Exact(folder) => Some(folder),
            Reach::Every | Reach::Below(_) => None,
        }
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// `--path` or `PHASE_PATH`.
    pub(crate) fn source(&self) -> &'static str {
        self.source
    }
}

/// First slash added, double and last ones dropped, as the server does it.
fn normalised(folder: &str) -> String {
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// One `--file KEY[=VAR]`.
#[derive(Debug)]
pub(crate) struct FileRule {
    pub(crate) key: Pattern,
    /// The variable that holds the path; by default the name that KEY would get.
    pub(crate) variable: Option<String>,
}

impl FileRule {
    /// Rules with a variable of their own come first: they are about one key, and win over patterns.
    ///
    /// # Errors
    /// `usage` for a pattern with a variable, an empty part, or one key twice.
    pub(crate) fn parse_all(texts: &[&str]) -> Result<Vec<Self>, Error> {
        let wrong = |text: &str, wants| {
            Err(Error::InvalidValue {
                option: "--file",
                value: text.to_owned(),
                expected: wants,
            })
        };
        let mut rules: Vec<Self> = Vec::new();
        for text in texts {
            let (key, variable) = match text.split_once('=') {
                Some((key, variable)) => (key, Some(variable.to_owned())),
                None => (*text, None),
            };
            let impossible = |name: &String| name.is_empty() || name.contains('=');
            if key.is_empty() || variable.as_ref().is_some_and(impossible) {
                return wrong(text, "KEY or KEY=VAR");
            }
            let key = Pattern::parse(key, "--file")?;
            if variable.is_some() && !key.is_literal() {
                return wrong(text, "one KEY: a pattern cannot have one VAR");
            }
            if key.is_literal() && rules.iter().any(|rule| rule.key.text == key.text) {
                return wrong(text, "new: this key already has a --file");
            }
            rules.push(Self { key, variable });
        }
        rules.sort_by_key(|rule| rule.variable.is_none());
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_the_shells() {
        for (pattern, name, matches) in [
            ("DB_*", "DB_URL", true),
            ("DB_*", "db_url", false),
            ("*", "", true),
            ("**", "A/B", true),
            ("A**Z", "ABZ", true),
            ("?", "ü", true),
            ("?", "AB", false),
            ("[A-C]X", "BX", true),
            ("[!A]X", "AX", false),
            ("A.B", "AxB", false),
            ("*", ".A", true),
            ("A*B", "A/x/B", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern, "--only").unwrap().matches(name),
                matches,
                "{pattern} {name}"
            );
        }
        for malformed in ["A[", "[[:lower:]]*", "A\\*B"] {
            assert!(Pattern::parse(malformed, "--only").is_err(), "{malformed}");
        }
    }

    #[test]
    fn folders_are_normalised_like_the_servers() {
        for (text, exact) in [
            ("/", Some("/")),
            ("//", Some("/")),
            ("a", Some("/a")),
            ("backend//db/", Some("/backend/db")),
            ("/A/b ", Some("/A/b ")),
            ("/a**", Some("/a**")),
            ("", None),
            ("**", None),
            ("/a/**", None),
        ] {
            assert_eq!(
                FolderPattern::parse(text, "--path").single_folder(),
                exact,
                "{text}"
            );
        }
    }

    #[test]
    fn folders_cover_what_they_say() {
        for (text, folder, covered) in [
            ("", "/a/b", true),
            ("/**", "/", true),
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("/a", "/A", false),
            ("/a/**", "/a", true),
            ("a//**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/", "/a", false),
        ] {
            assert_eq!(
                FolderPattern::parse(text, "--path").matches(folder),
                covered,
                "{text} {folder}"
            );
        }
    }

    #[test]
    fn a_rule_about_one_key_comes_first() {
        let rules = FileRule::parse_all(&["TLS_*", "TLS_KEY=KEY_FILE"]).unwrap();
        assert_eq!(rules.first().unwrap().variable.as_deref(), Some("KEY_FILE"));
        for wrong in [
            vec!["="],
            vec!["A="],
            vec!["=B"],
            vec!["A=B=C"],
            vec!["A*=B"],
            vec!["A", "A=B"],
            vec!["A", "A"],
        ] {
            assert!(FileRule::parse_all(&wrong).is_err(), "{wrong:?}");
        }
    }
}
