#![forbid(unsafe_code)]
//! Which of the fetched secrets are selected: by folder, tag and key.

use super::Pattern;
use super::reader::ConfigReader;
use crate::cli::Opt;
use crate::error::Error;

/// Which of the fetched secrets are selected.
#[derive(Default)]
pub(crate) struct SelectionOptions {
    pub(crate) folders: Vec<FolderPattern>,
    pub(crate) tags: Vec<String>,
    pub(crate) only: Vec<Pattern>,
    pub(crate) except: Vec<Pattern>,
    pub(crate) require: Vec<String>,
    pub(crate) allow_empty: bool,
}

/// One `--path`: the folders whose secrets are selected.
#[derive(Debug)]
pub(crate) struct FolderPattern {
    scope: FolderScope,
    text: String,
    set_by: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum FolderScope {
    All,
    /// This folder only.
    Folder(String),
    /// This folder and all folders below it.
    Subtree(String),
}

impl FolderPattern {
    /// Parses `/a` (that folder), `/a/**` (that folder and all below it) or the empty text (all folders).
    /// `set_by` is the option or variable that names it.
    pub(crate) fn parse(text: &str, set_by: &'static str) -> Self {
        let subtree = text
            .strip_suffix("**")
            .filter(|rest| rest.is_empty() || rest.ends_with('/'));
        let scope = match subtree.map(normalize).as_deref() {
            _ if text.is_empty() => FolderScope::All,
            Some("/") => FolderScope::All,
            Some(folder) => FolderScope::Subtree(folder.to_owned()),
            None => FolderScope::Folder(normalize(text)),
        };
        Self {
            scope,
            text: text.to_owned(),
            set_by,
        }
    }

    /// Returns whether the pattern matches `folder`, which is written as the server writes it.
    pub(crate) fn matches(&self, folder: &str) -> bool {
        match &self.scope {
            FolderScope::All => true,
            FolderScope::Folder(only) => only == folder,
            FolderScope::Subtree(top) => folder
                .strip_prefix(top.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// Returns the folder if the pattern matches only one, so that the server can filter by it.
    pub(crate) fn single_folder(&self) -> Option<&str> {
        match &self.scope {
            FolderScope::Folder(folder) => Some(folder),
            FolderScope::All | FolderScope::Subtree(_) => None,
        }
    }

    /// Returns whether the pattern matches every folder.
    pub(crate) fn matches_all(&self) -> bool {
        self.scope == FolderScope::All
    }

    /// Returns the pattern as it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the option or variable that named the folder.
    pub(crate) fn set_by(&self) -> &'static str {
        self.set_by
    }
}

/// Adds the leading slash and removes repeated and trailing ones, as the server does.
fn normalize(folder: &str) -> String {
    let parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

impl ConfigReader<'_> {
    /// Reads the options that select secrets.
    ///
    /// # Errors
    /// `usage` or `config` for a malformed pattern or list.
    pub(super) fn read_selection(&self) -> Result<SelectionOptions, Error> {
        Ok(SelectionOptions {
            folders: self.read_folders()?,
            tags: self.read_comma_separated(Opt::Tags)?,
            only: self.read_patterns(Opt::Only)?,
            except: self.read_patterns(Opt::Except)?,
            require: self.read_comma_separated(Opt::Require)?,
            allow_empty: self.args.has(Opt::AllowEmpty),
        })
    }

    fn read_folders(&self) -> Result<Vec<FolderPattern>, Error> {
        let option = Opt::Path.name();
        let arguments = self.args.texts(Opt::Path)?;
        if !arguments.is_empty() {
            let arguments = arguments.into_iter();
            return Ok(arguments
                .map(|text| FolderPattern::parse(text, option))
                .collect());
        }
        let Some(list) = self.read_text(Opt::Path)? else {
            return Ok(Vec::new());
        };
        let folders = list.value.split(':').map(|text| match text {
            "" => Err(Error::InvalidVariable {
                name: list.set_by.name(),
                value: list.value.to_owned(),
                expected: "folders separated by colons (/** is every folder)",
            }),
            text => Ok(FolderPattern::parse(text, list.set_by.name())),
        });
        folders.collect()
    }

    /// Reads names from all values of an option.
    ///
    /// # Errors
    /// `usage` for an empty name.
    fn read_comma_separated(&self, option: Opt) -> Result<Vec<String>, Error> {
        let texts = self.args.texts(option)?;
        let names = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
        let names = names.map(|name| match name {
            "" => Err(Error::InvalidValue {
                option: option.name(),
                value: texts.join(","),
                expected: "names separated by commas",
            }),
            name => Ok(name.to_owned()),
        });
        names.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_folder_is_normalized_like_the_server() {
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
    fn folder_pattern_matches_its_folders() {
        for (text, folder, matches) in [
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
                matches,
                "{text} {folder}"
            );
        }
    }
}
