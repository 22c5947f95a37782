#![forbid(unsafe_code)]
//! What `--generate` prints: the manual page, a completion for each shell, `docs/reference.md`.
//!
//! The manual page and the completions are templates in files beside this one, with `@PLACEHOLDERS@`
//! that are filled from the table of options and from [`facts`].

mod completion;
mod facts;
mod man;
mod markdown;

use super::Opt;
use crate::error::Error;

/// A value of `--generate` and the function that returns its document.
type GeneratedDocument = (&'static str, fn() -> String);

const DOCUMENTS: [GeneratedDocument; 5] = [
    ("man", man::page),
    ("bash", completion::bash),
    ("zsh", completion::zsh),
    ("fish", completion::fish),
    ("markdown", markdown::reference),
];

/// Returns the document of this name.
///
/// # Errors
/// `usage` for an unknown name.
pub(crate) fn document(name: &str) -> Result<String, Error> {
    DOCUMENTS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, make)| make())
        .ok_or_else(|| Error::InvalidValue {
            option: Opt::Generate.name(),
            value: name.to_owned(),
            expected: "man, bash, zsh, fish or markdown",
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Completion;

    #[test]
    fn every_document_is_offered_and_named() {
        let names = DOCUMENTS.map(|(name, _)| name);
        let Completion::OneOf(offered) = Opt::Generate.spec().completion() else {
            panic!("--generate offers no words")
        };
        assert_eq!(offered, names.join("|"));
        let message = document("html").unwrap_err().to_string();
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
    }
}
