#![forbid(unsafe_code)]
//! The syntax of references: finds them in a value and splits them into their parts. What a
//! reference resolves to is decided in `resolver`.
//!
//! The rule is the server's (`backend/api/utils/secrets.py` of Phase Console 2.73.2): `${…}` is a
//! reference if its inside is not empty and holds no brace. `${App::Env.path}` refers to another app,
//! `${Env.path}` to another environment and `${path}` to the same one. A path is a key that may have
//! folders in front of it, each with a slash behind it.
//!
//! Almost any text can name a secret, so text that only looks like a reference simply finds none.
//! [`has_unresolved_reference`] tells a reference that the user should know about from the syntax of a
//! shell.

/// The parts of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub(crate) app: Option<&'a str>,
    /// `None` refers to the environment of the secret that contains the reference.
    pub(crate) environment: Option<&'a str>,
    /// The folders and the key as they are written, with slashes between them.
    path: &'a str,
}

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Text(&'a str),
    /// A reference, and its raw text including the braces.
    Reference(Reference<'a>, &'a str),
}

/// Whether the value contains anything that may be a reference. Values that are not UTF-8 contain none.
pub(crate) fn has_reference(value: &[u8]) -> bool {
    has_reference_where(value, |_, _| true)
}

/// Whether a value, after references have been resolved, still contains one that the user should know
/// about, if all that are left name nothing. A shell's parameter expansion, such as `${VAR:-x}`, is one only if it reads like a reference
/// made of words, such as `${A-B}`.
pub(crate) fn has_unresolved_reference(value: &[u8]) -> bool {
    has_reference_where(value, |reference, inside| {
        reference.has_usual_names() || !is_shell_expansion(inside)
    })
}

/// Whether the value contains a reference for which `counts` is true. It also gets the text between the
/// braces.
fn has_reference_where(value: &[u8], counts: impl Fn(Reference<'_>, &str) -> bool) -> bool {
    let counts = |piece| match piece {
        Piece::Text(_) => false,
        Piece::Reference(reference, raw) => {
            let inside = raw.strip_prefix("${").and_then(|raw| raw.strip_suffix('}'));
            inside.is_some_and(|inside| counts(reference, inside))
        }
    };
    value.contains(&b'$') && str::from_utf8(value).is_ok_and(|text| pieces(text).any(counts))
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
        if inside.is_empty() || inside.contains(['{', '}']) {
            return None;
        }
        let (app, rest) = match inside.split_once("::") {
            Some((app, rest)) => (Some(app), rest),
            None => (None, inside),
        };
        let (environment, path) = match rest.split_once('.') {
            Some((environment, path)) => (Some(environment), path),
            None => (None, rest),
        };
        Some(Self {
            app,
            environment,
            path,
        })
    }

    /// The path of the folder: `/` for the root, else with a leading slash and no trailing one. Empty
    /// names between slashes do not count.
    pub(crate) fn folder(self) -> String {
        let (folders, _) = self.path.rsplit_once('/').unwrap_or_default();
        let mut path = String::from("/");
        for name in folders.split('/').filter(|name| !name.is_empty()) {
            if path.len() > 1 {
                path.push('/');
            }
            path.push_str(name);
        }
        path
    }

    pub(crate) fn key(self) -> &'a str {
        self.path.rsplit_once('/').map_or(self.path, |(_, key)| key)
    }

    /// Whether all names consist of words, as those of nearly all apps, environments, folders and keys
    /// do. An app's name may contain anything if an environment follows.
    pub(crate) fn has_usual_names(self) -> bool {
        let is_app_name = |app: &str| match self.environment {
            Some(_) => app.trim() == app && !app.is_empty() && !app.contains(char::is_control),
            None => is_words(app),
        };
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        self.app.is_none_or(is_app_name)
            && self.environment.is_none_or(is_words)
            && path.split('/').all(is_words)
    }
}

/// Whether `text` is a usual name of an environment, a folder or a key.
fn is_words(text: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.');
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_') && text.chars().all(is_inner)
}

/// Whether `${inside}` has the form of a parameter expansion of POSIX sh, bash, ksh or zsh:
///
/// | form | examples |
/// | --- | --- |
/// | a default, an alternative, an error | `${VAR-x}` `${VAR:-x}` `${VAR=x}` `${VAR:+x}` `${VAR:?x}` |
/// | a part; a modifier of zsh | `${VAR:0:3}` `${VAR: -1}` `${VAR:h}` |
/// | a prefix or a suffix removed | `${VAR#x}` `${VAR##*/}` `${VAR%x}` `${VAR%%.*}` |
/// | a replacement | `${VAR/a/b}` `${VAR//a/b}` `${VAR/#a/b}` |
/// | the case changed | `${VAR^}` `${VAR^^}` `${VAR,}` `${VAR,,}` `${VAR~}` |
/// | a transformation | `${VAR@Q}` `${VAR@U}` |
/// | an element | `${VAR[0]}` `${VAR[@]}` `${VAR[key]:-x}` |
/// | the length | `${#VAR}` `${#VAR[@]}` |
/// | indirection, matching names | `${!VAR}` `${!VAR:-x}` `${!PREFIX*}` `${!VAR[@]}` |
/// | a flag of zsh | `${(f)VAR}` `${=VAR}` `${^VAR}` `${~VAR}` `${+VAR}` |
/// | a command | `${ echo x; }` `${\| REPLY=x; }` |
///
/// A parameter is a name, a number or one of `@ * # ? $ ! -`. What follows an operator may be anything.
fn is_shell_expansion(inside: &str) -> bool {
    let is_command = inside.starts_with([' ', '\t', '\n', '|'])
        && (inside.trim_end().ends_with(';') || inside.ends_with('\n'));
    let length = inside.strip_prefix('#').and_then(after_parameter);
    let indirect = inside.strip_prefix('!').and_then(after_parameter);
    let flagged = match inside.strip_prefix('(') {
        Some(flags) => flags.split_once(')').map(|(_, rest)| rest),
        None => inside.strip_prefix(['=', '^', '~', '+']),
    };
    is_command
        || after_parameter(inside).is_some_and(is_operation)
        || length == Some("")
        || indirect.is_some_and(|rest| is_operation(rest) || matches!(rest, "*" | "@"))
        || flagged.and_then(after_parameter).is_some_and(is_operation)
}

/// Returns what follows the parameter and its subscript at the start of `text`; `None` if there is none.
fn after_parameter(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = match text.chars().next()? {
        c if c.is_ascii_digit() => text.find(|c: char| !c.is_ascii_digit()),
        c if is_name(c) => text.find(|c: char| !is_name(c)),
        '@' | '*' | '#' | '?' | '$' | '!' | '-' => Some(1),
        _ => return None,
    };
    let (_, rest) = text.split_at(length.unwrap_or(text.len()));
    match rest.strip_prefix('[') {
        Some(subscript) => subscript.split_once(']').map(|(_, rest)| rest),
        None => Some(rest),
    }
}

/// Whether `text`, which follows a parameter, is empty or starts with an operator.
fn is_operation(text: &str) -> bool {
    const TRANSFORMATIONS: &str = "QEPAaKkUuL";
    match text.strip_prefix('@') {
        Some(letter) => letter.len() == 1 && TRANSFORMATIONS.contains(letter),
        None => {
            text.is_empty()
                || text.starts_with(['-', '=', '?', '+', ':', '%', '#', '/', '^', ',', '~'])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_decide_what_is_a_reference() {
        for text in [
            "${KEY}",
            "x-${DOES_NOT_EXIST}-y",
            "${Staging.HIDDEN}",
            "${R&D (new)::Env.KEY}",
            "$${KEY}",
            "${{ x }}${KEY}",
            "${${KEY}}",
            "${ ${KEY}",
            "${{${KEY}",
            "${App::KEY}",
            "${ KEY}",
            "${a//b}",
            "${a\nb}",
            "${X:-y}",
            "${.}",
            "${🔑}",
        ] {
            assert!(has_reference(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "$KEY",
            "${",
            "${}",
            "${KEY",
            "$(KEY)",
            "#{KEY}",
            "{KEY}",
            "${a{b}",
            "${{KEY}",
            "${{ secrets.X }}",
            "${{KEY}}",
        ] {
            assert!(!has_reference(text.as_bytes()), "{text}");
        }
        assert!(!has_reference(b"\xff${KEY}"));
    }

    /// The server's `decompose_path_and_key` and its patterns split these in the same way.
    #[test]
    fn each_form_parses_into_its_parts() {
        for (inside, app, environment, folder, key) in [
            ("KEY", None, None, "/", "KEY"),
            ("/KEY", None, None, "/", "KEY"),
            ("//KEY", None, None, "/", "KEY"),
            ("a/KEY", None, None, "/a", "KEY"),
            ("a//KEY", None, None, "/a", "KEY"),
            ("//a///b//KEY", None, None, "/a/b", "KEY"),
            ("/a/b/KEY", None, None, "/a/b", "KEY"),
            ("a/", None, None, "/a", ""),
            ("C:D", None, None, "/", "C:D"),
            ("f+g/K&R", None, None, "/f+g", "K&R"),
            ("🔑", None, None, "/", "🔑"),
            (" KEY ", None, None, "/", " KEY "),
            ("Env.KEY", None, Some("Env"), "/", "KEY"),
            ("Env.a/KEY", None, Some("Env"), "/a", "KEY"),
            ("Env./a/b/K.EY", None, Some("Env"), "/a/b", "K.EY"),
            ("E+v.a//K::Y", Some("E+v.a//K"), None, "/", "Y"),
            (".D", None, Some(""), "/", "D"),
            ("A p::Env.KEY", Some("A p"), Some("Env"), "/", "KEY"),
            ("A::Env.a//KEY", Some("A"), Some("Env"), "/a", "KEY"),
            ("A.B::C.D", Some("A.B"), Some("C"), "/", "D"),
            ("A::B::C.D", Some("A"), Some("B::C"), "/", "D"),
            ("A::KEY", Some("A"), None, "/", "KEY"),
        ] {
            let reference = Reference::parse(inside).unwrap();
            let parts = (reference.app, reference.environment, reference.key());
            assert_eq!(parts, (app, environment, key), "{inside}");
            assert_eq!(reference.folder(), folder, "{inside}");
        }
    }

    #[test]
    fn leftover_reference_counts_unless_it_is_shell_syntax() {
        for inside in [
            "KEY",
            "1",
            "a/b",
            "/a/b",
            "Env.KEY",
            "App::Env.KEY",
            "App::KEY",
            "A-B",
            "VAR/a/b",
            "VAR::3",
            "WITH SPACE",
            "é",
            "e\u{301}",
            "🔑",
            "K&R",
            "A@B",
            "A@QQ",
            "(P)",
            "(P",
            "-D",
            ".D",
            "D.",
            " KEY",
            " KEY ",
            "/a//K",
            "//K",
            "a b:c",
            "Env.K:-x",
            "Env.a//K",
            "B[0",
            "foo()",
            "a\nb",
            "\"a\"",
            "=",
            "^-D",
            "!A@B",
            "#A:-x",
            "a;b",
            "::KEY",
            " A::B.KEY",
        ] {
            let text = format!("<${{{inside}}}>");
            assert!(has_unresolved_reference(text.as_bytes()), "{text}");
        }
        for inside in [
            "VAR:-x",
            "VAR:-",
            "VAR:-a.b",
            "VAR:=x",
            "VAR:?x",
            "VAR:+x",
            "VAR-/",
            "VAR=x",
            "VAR?",
            "VAR+x",
            "VAR:0:3",
            "VAR: -1",
            "VAR::-1",
            "C:D",
            "VAR#x",
            "VAR##*/",
            "VAR%",
            "VAR%%.*",
            "VAR/a*/b",
            "VAR//a/b",
            "VAR/#a/b",
            "a//K",
            "a/",
            "VAR^",
            "VAR^^",
            "VAR,",
            "VAR,,[a-z]",
            "VAR~~",
            "VAR@Q",
            "VAR@a",
            "VAR[0]",
            "VAR[@]",
            "VAR[a b]:-x",
            "#VAR",
            "#VAR[@]",
            "#",
            "##",
            "#-",
            "!VAR",
            "!VAR:-x",
            "!PRE*",
            "!PRE@",
            "!VAR[@]",
            "!",
            "@",
            "*",
            "?",
            "$",
            "-",
            "1:-x",
            "(f)VAR",
            "(@s:,:)VAR:-x",
            "=VAR",
            "^VAR",
            "~VAR",
            "+VAR",
            " echo x; ",
            "| REPLY=x; ",
            "\techo x\n",
            "-:-x",
        ] {
            let text = format!("<${{{inside}}}>");
            assert!(!has_unresolved_reference(text.as_bytes()), "{text}");
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
