#![forbid(unsafe_code)]
//! What `--generate` prints: the manual page, a completion for each shell, the README's tables.
//!
//! A form is a text of its own language, in a file beside this one, with `@PLACES@` that are filled
//! from the table of options and from [`facts`]. An option, what it is called and what can be
//! offered for its value stand in the table alone.

mod completion;
mod facts;
mod man;
mod markdown;

use super::Opt;
use crate::error::Error;

/// A word of `--generate`, and what makes its text.
type Form = (&'static str, fn() -> String);

const FORMS: [Form; 5] = [
    ("man", man::page),
    ("bash", completion::bash),
    ("zsh", completion::zsh),
    ("fish", completion::fish),
    ("markdown", markdown::tables),
];

/// The text of this form.
///
/// # Errors
/// `usage` for a word that is none.
pub(crate) fn generate(form: &str) -> Result<String, Error> {
    FORMS
        .iter()
        .find(|(word, _)| *word == form)
        .map(|(_, text)| text())
        .ok_or_else(|| Error::InvalidValue {
            option: Opt::Generate.name(),
            value: form.to_owned(),
            expected: "man, bash, zsh, fish or markdown",
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Completion;

    #[test]
    fn the_table_names_the_forms() {
        let words = FORMS.map(|(word, _)| word);
        let row = Opt::Generate.row();
        let Completion::ParsedArgs(named) = row.takes() else {
            panic!("{row:?}")
        };
        assert_eq!(named, words.join("|"));
        let wants = generate("html").unwrap_err().to_string();
        assert!(words.iter().all(|word| wants.contains(word)), "{wants}");
    }
}
