#![forbid(unsafe_code)]
//! How the selected secrets are injected into the command's environment.

use super::Pattern;
use super::reader::ConfigReader;
use crate::cli::Opt;
use crate::error::Error;

/// The options of injection.
#[derive(Default)]
pub(crate) struct InjectionOptions {
    pub(crate) prefix: String,
    pub(crate) files: Vec<FileRule>,
    pub(crate) keep: KeepPolicy,
    /// `--clean`, with the patterns of `--pass`.
    pub(crate) clean: Option<Vec<Pattern>>,
    pub(crate) keep_token: bool,
    pub(crate) allowed_names: Vec<Pattern>,
    /// `--strict`: an unresolved reference is an error.
    pub(crate) strict: bool,
}

/// Which variables that are already set take precedence over a secret of the same name.
#[derive(Default)]
pub(crate) enum KeepPolicy {
    #[default]
    Nothing,
    Matching(Vec<Pattern>),
    Everything,
}

/// One `--file KEY[=VAR]`: secrets whose values become files.
#[derive(Debug)]
pub(crate) struct FileRule {
    pub(crate) key: Pattern,
    /// The variable that holds the file's path; by default, the one that would hold the value.
    pub(crate) variable: Option<String>,
}

impl FileRule {
    /// Parses all values of `--file`. Rules with a variable come first: each is about a single key,
    /// and takes precedence over a pattern that matches the key.
    ///
    /// # Errors
    /// `usage` for a pattern with a variable, an empty part, or the same key twice.
    pub(crate) fn parse_all(texts: &[&str]) -> Result<Vec<Self>, Error> {
        let option = Opt::File.name();
        let invalid = |text: &str, expected| {
            Err(Error::InvalidValue {
                option,
                value: text.to_owned(),
                expected,
            })
        };
        let mut rules: Vec<Self> = Vec::new();
        for text in texts {
            let (key, variable) = match text.split_once('=') {
                Some((key, variable)) => (key, Some(variable.to_owned())),
                None => (*text, None),
            };
            if variable.as_ref().is_some_and(|name| name.contains(',')) {
                let value = (*text).to_owned();
                return Err(Error::CommaInPattern { option, value });
            }
            if let Some(path) = variable.as_ref().filter(|name| name.contains('/')) {
                return Err(Error::PathAsVariable {
                    key: key.to_owned(),
                    path: path.clone(),
                });
            }
            let is_invalid_name = |name: &String| name.is_empty() || name.contains('=');
            if key.is_empty() || variable.as_ref().is_some_and(is_invalid_name) {
                return invalid(text, "KEY or KEY=VAR");
            }
            let key = Pattern::parse(key, option)?;
            if variable.is_some() && !key.is_literal() {
                return invalid(text, "a single key before =VAR, not a pattern");
            }
            if key.is_literal() && rules.iter().any(|rule| rule.key.text() == key.text()) {
                return invalid(text, "a key that no other --file names");
            }
            rules.push(Self { key, variable });
        }
        rules.sort_by_key(|rule| rule.variable.is_none());
        Ok(rules)
    }
}

impl ConfigReader<'_> {
    /// Reads the options that decide how secrets are injected.
    ///
    /// # Errors
    /// `usage` for a malformed pattern or rule.
    pub(super) fn read_injection(&self) -> Result<InjectionOptions, Error> {
        let keep = match self.args.has(Opt::KeepExisting) {
            true => KeepPolicy::Everything,
            false => KeepPolicy::Matching(self.read_patterns(Opt::Keep)?),
        };
        let clean = match self.args.has(Opt::Clean) {
            true => Some(self.read_patterns(Opt::Pass)?),
            false => None,
        };
        Ok(InjectionOptions {
            prefix: self.args.text(Opt::Prefix)?.unwrap_or_default().to_owned(),
            files: FileRule::parse_all(&self.args.texts(Opt::File)?)?,
            keep,
            clean,
            keep_token: self.args.has(Opt::KeepToken),
            allowed_names: self.read_patterns(Opt::AllowName)?,
            strict: self.args.has(Opt::Strict),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_rule_with_variable_comes_first() {
        let rules = FileRule::parse_all(&["TLS_*", "TLS_KEY=KEY_FILE"]).unwrap();
        assert_eq!(rules.first().unwrap().variable.as_deref(), Some("KEY_FILE"));
        for wrong in [
            vec!["="],
            vec!["A="],
            vec!["=B"],
            vec!["A=B=C"],
            vec!["A=B,C=D"],
            vec!["A=/tmp/a"],
            vec!["A,B"],
            vec!["A*=B"],
            vec!["A", "A=B"],
            vec!["A", "A"],
        ] {
            assert!(FileRule::parse_all(&wrong).is_err(), "{wrong:?}");
        }
    }
}
