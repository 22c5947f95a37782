#![forbid(unsafe_code)]
//! The syntax of references: finds them in a value and splits them into their parts. What a
//! reference resolves to is decided in `resolver`.
//!
//! `${KEY}`, `${folder/KEY}`, `${Env.KEY}`, `${Env.folder/KEY}`, `${App::Env.KEY}` and
//! `${App::Env.folder/KEY}`; a folder may start with a slash. Similar syntax of other languages
//! (`${{ x }}`, `${X:-y}`, `${#x}`) is plain text.

/// The parts of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) app: Option<&'a str>,
    /// `None` refers to the environment of the secret that contains the reference.
    pub(crate) environment: Option<&'a str>,
    /// Without its leading slash; empty for the root folder.
    pub(crate) folder: &'a str,
    pub(crate) key: &'a str,
}

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    /// A reference, and its raw text including the braces.
    Reference(Reference<'a>, &'a str),
}

/// Whether the value contains a well-formed reference. Values that are not UTF-8 contain none.
pub(crate) fn has_reference(value: &[u8]) -> bool {
    value.contains(&b'$')
        && str::from_utf8(value)
            .is_ok_and(|text| pieces(text).any(|piece| matches!(piece, Piece::Reference(..))))
}

/// Splits a value into references and the text between them. Joined together, the pieces are the value.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut search_from = 0;
        while let Some((start, inside, end)) = find_innermost_braces(rest, search_from) {
            let Some(reference) = Reference::parse(inside) else {
                search_from = start + "${".len();
                continue;
            };
            // Text before the reference is a piece of its own; the next call then finds the
            // reference at the start.
            let (piece, after) = match start {
                0 => {
                    let (raw, after) = rest.split_at(end);
                    (Piece::Reference(reference, raw), after)
                }
                start => {
                    let (before, after) = rest.split_at(start);
                    (Piece::Text(before), after)
                }
            };
            rest = after;
            return Some(piece);
        }
        Some(Piece::Text(std::mem::take(&mut rest)))
    })
}

/// Finds the next `${…}` at or after `search_from` that contains no other one. Returns its start,
/// the text between its braces, and its end.
fn find_innermost_braces(text: &str, search_from: usize) -> Option<(usize, &str, usize)> {
    let (_, after) = text.split_at_checked(search_from)?;
    let outermost = search_from + after.find("${")?;
    let (_, after) = text.split_at_checked(outermost)?;
    let (before_end, _) = text.split_at_checked(outermost + after.find('}')?)?;
    let (before, inside) = before_end.rsplit_once("${")?;
    Some((before.len(), inside, before_end.len() + "}".len()))
}

impl<'a> Reference<'a> {
    /// Parses the text between the braces. Returns `None` if it is not a reference.
    fn parse(inside: &'a str) -> Option<Self> {
        let (app, rest) = match inside.split_once("::") {
            Some((app, rest)) => (Some(app), rest),
            None => (None, inside),
        };
        let (environment, path) = match rest.split_once('.') {
            Some((environment, path)) => (Some(environment), path),
            None => (None, rest),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let (folder, key) = path.rsplit_once('/').unwrap_or(("", path));
        // An app's name may contain any character, but then an environment must follow.
        let is_app_name = |app: &str| match environment {
            Some(_) => app.trim() == app && !app.is_empty() && !app.contains(char::is_control),
            None => is_name(app),
        };
        let well_formed = app.is_none_or(is_app_name)
            && environment.is_none_or(is_name)
            && path.split('/').all(is_name);
        well_formed.then_some(Self {
            app,
            environment,
            folder,
            key,
        })
    }
}

/// Whether `text` can name an environment, a folder or a key in a reference.
fn is_name(text: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.');
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_') && text.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_distinct_from_other_syntax() {
        for text in [
            "${KEY}",
            "x-${DOES_NOT_EXIST}-y",
            "${Staging.HIDDEN}",
            "${a/b/KEY}",
            "${/a/KEY}",
            "${Env.a/KEY}",
            "${Env./a/KEY}",
            "${App::Env.KEY}",
            "${My App::Env.a/KEY}",
            "${R&D (new)::Env.KEY}",
            "$${KEY}",
            "${{ x }}${KEY}",
            "${${KEY}}",
            "${ ${KEY}",
            "${App::KEY}",
        ] {
            assert!(has_reference(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "$KEY",
            "${",
            "${}",
            "${{ secrets.X }}",
            "${KEY",
            "${X:-y}",
            "${X:=y}",
            "${#X}",
            "${!X}",
            "${X[1]}",
            "${X%y}",
            "${X@Q}",
            "${ KEY}",
            "${.KEY}",
            "${::KEY}",
            "${ A::B.KEY}",
            "${a//b}",
            "${a/}",
            "$(KEY)",
            "#{KEY}",
            "${a\nb}",
            "${\"a\"}",
        ] {
            assert!(!has_reference(text.as_bytes()), "{text}");
        }
        assert!(!has_reference(b"\xff${KEY}"));
    }

    #[test]
    fn each_form_parses_into_its_parts() {
        for (inside, app, environment, folder, key) in [
            ("KEY", None, None, "", "KEY"),
            ("/KEY", None, None, "", "KEY"),
            ("a/KEY", None, None, "a", "KEY"),
            ("/a/b/KEY", None, None, "a/b", "KEY"),
            ("Env.KEY", None, Some("Env"), "", "KEY"),
            ("Env.a/KEY", None, Some("Env"), "a", "KEY"),
            ("Env./a/b/K.EY", None, Some("Env"), "a/b", "K.EY"),
            ("A p::Env.KEY", Some("A p"), Some("Env"), "", "KEY"),
            ("A::Env.a/KEY", Some("A"), Some("Env"), "a", "KEY"),
            ("A::KEY", Some("A"), None, "", "KEY"),
        ] {
            let expected = Reference {
                app,
                environment,
                folder,
                key,
            };
            assert_eq!(Reference::parse(inside), Some(expected), "{inside}");
        }
    }

    /// Tries every value of up to six parts of a small alphabet.
    #[test]
    fn pieces_add_up_to_the_whole_value() {
        let parts = ["${", "}", "A", "::", ".", "/", "$", "{", " ", "ü"];
        for length in 0..=6_u32 {
            for mut number in 0..parts.len().pow(length) {
                let mut text = String::new();
                for _ in 0..length {
                    text.push_str(parts[number % parts.len()]);
                    number /= parts.len();
                }
                let whole: String = pieces(&text)
                    .map(|piece| match piece {
                        Piece::Text(text) => text,
                        Piece::Reference(_, raw) => raw,
                    })
                    .collect();
                assert_eq!(whole, text);
            }
        }
    }
}
