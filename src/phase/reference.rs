#![forbid(unsafe_code)]
//! References in values, as Phase writes them: where they stand, and what they name.
//!
//! `${KEY}`, `${folder/KEY}`, `${Env.KEY}`, `${Env.folder/KEY}`, `${App::Env.KEY}` and
//! `${App::Env.folder/KEY}`; a folder may have a first slash. What other languages write in such
//! braces (`${{ x }}`, `${X:-y}`, `${#x}`) is plain text.

/// What a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) app: Option<&'a str>,
    /// Without one it is the environment that the reference stands in.
    pub(crate) environment: Option<&'a str>,
    /// Without its first slash; empty is the root.
    pub(crate) folder: &'a str,
    pub(crate) key: &'a str,
}

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    /// With its raw text, braces and all.
    Reference(Reference<'a>, &'a str),
}

/// Whether a well-formed reference stands in a value. What is not UTF-8 holds none.
pub(crate) fn holds_reference(value: &[u8]) -> bool {
    value.contains(&b'$')
        && str::from_utf8(value)
            .is_ok_and(|text| pieces(text).any(|piece| matches!(piece, Piece::Reference(..))))
}

/// Cuts a value into references and what stands between them. All pieces are all of the value.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some((start, inside, end)) = braces(rest, from) {
            let Some(reference) = Reference::parse(inside) else {
                from = start + "${".len();
                continue;
            };
            // What stands before it comes first; then this is found again, at the start.
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

/// The next `${…}` from there on that holds no other: where it starts, what it holds, where it ends.
fn braces(text: &str, from: usize) -> Option<(usize, &str, usize)> {
    let start = from + text.get(from..)?.find("${")?;
    let (_, inside) = text.get(start..)?.split_at("${".len());
    let length = inside.find('}').unwrap_or(inside.len());
    let (inside, _) = inside.split_at(length);
    match inside.rfind("${") {
        Some(inner) => braces(text, start + "${".len() + inner),
        None => Some((start, inside, start + "${".len() + length + "}".len()))
            .filter(|(.., end)| *end <= text.len()),
    }
}

impl<'a> Reference<'a> {
    /// What stands between the braces, if that is a reference.
    fn parse(inside: &'a str) -> Option<Self> {
        let (app, rest) = match inside.split_once("::") {
            Some((app, rest)) => (Some(app), rest),
            None => (None, inside),
        };
        let (environment, place) = match rest.split_once('.') {
            Some((environment, place)) => (Some(environment), place),
            None => (None, rest),
        };
        let place = place.strip_prefix('/').unwrap_or(place);
        let (folder, key) = place.rsplit_once('/').unwrap_or(("", place));
        // Only an app may be called anything, and then its environment stands behind it.
        let named = |app: &str| match environment {
            Some(_) => app.trim() == app && !app.is_empty() && !app.contains(char::is_control),
            None => is_word(app),
        };
        let well_formed = app.is_none_or(named)
            && environment.is_none_or(is_word)
            && place.split('/').all(is_word);
        well_formed.then_some(Self {
            app,
            environment,
            folder,
            key,
        })
    }
}

fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.');
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_') && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_other_syntaxes() {
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
            assert!(holds_reference(text.as_bytes()), "{text}");
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
            assert!(!holds_reference(text.as_bytes()), "{text}");
        }
        assert!(!holds_reference(b"\xff${KEY}"));
    }

    #[test]
    fn each_form_names_what_it_says() {
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

    /// Bounded exhaustive: nothing of a value is lost, whatever is between braces.
    #[test]
    fn all_pieces_are_all_of_the_value() {
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
