#![forbid(unsafe_code)]
//! The format of AWS's shared files, as AWS's SDK for Python reads it (`RawConfigParser`). A file that the
//! SDK rejects is an error here too: skipping a part of it could select another principal.

use std::path::{Path, PathBuf};

use crate::auth::credential_chain::MAX_FILE_SIZE;
use crate::config::credential_file::{open_regular, read_bounded};
use crate::error::os_error_text;
use crate::secret::SecretBytes;

/// Which of the two files it is: they name the sections of profiles differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Sections are `[name]`.
    Credentials,
    /// Sections are `[default]` and `[profile name]`.
    Config,
}

/// One of the two files.
pub(super) struct SharedFile {
    pub(super) path: PathBuf,
    kind: FileKind,
    content: Content,
}

enum Content {
    /// The file cannot be opened, for this reason.
    Unreadable(String),
    /// The file exists but cannot be used, for this reason.
    Unusable(String),
    /// Text that [`parse`] accepts.
    Valid(SecretBytes),
}

impl SharedFile {
    pub(super) fn read(path: &Path, kind: FileKind) -> Self {
        let with_path = |why: &str| format!("{}: {why}", path.display());
        let content = match open_regular(path) {
            Err(error) => Content::Unreadable(with_path(&os_error_text(&error))),
            // `/dev/null` is the usual way to disable the file.
            Ok(None) if path == Path::new("/dev/null") => Content::Valid(SecretBytes::default()),
            Ok(None) => Content::Unusable(with_path("it is not a regular file")),
            Ok(Some(file)) => match read_bounded(file, MAX_FILE_SIZE) {
                Err(error) => Content::Unusable(with_path(&os_error_text(&error))),
                Ok(bytes) => match check(&bytes, kind) {
                    Ok(()) => Content::Valid(bytes),
                    Err(why) => Content::Unusable(with_path(&why)),
                },
            },
        };
        Self {
            path: path.to_owned(),
            kind,
            content,
        }
    }

    /// A file whose path has `$` or `~user`, which phase-run does not expand.
    pub(super) fn unexpanded(path: &Path, kind: FileKind) -> Self {
        let why = format!("{}: $ and ~user are not expanded", path.display());
        Self {
            path: path.to_owned(),
            kind,
            content: Content::Unusable(why),
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn from_bytes(bytes: &[u8], kind: FileKind) -> Self {
        let bytes = SecretBytes::new(bytes.to_vec());
        Self {
            path: PathBuf::from("file"),
            kind,
            content: match check(&bytes, kind) {
                Ok(()) => Content::Valid(bytes),
                Err(why) => Content::Unusable(why),
            },
        }
    }

    /// The reason if the file cannot be opened.
    pub(super) fn unreadable(&self) -> Option<&str> {
        match &self.content {
            Content::Unreadable(why) => Some(why),
            Content::Unusable(_) | Content::Valid(_) => None,
        }
    }

    /// The reason if the file exists but cannot be used.
    pub(super) fn unusable(&self) -> Option<&str> {
        match &self.content {
            Content::Unusable(why) => Some(why),
            Content::Unreadable(_) | Content::Valid(_) => None,
        }
    }

    /// The lines of a profile, from the last section that has its name; `None` if no section has.
    #[expect(
        clippy::expect_used,
        reason = "the content was checked when it was read"
    )]
    pub(super) fn profile(&self, name: &str) -> Option<Vec<Line<'_>>> {
        let Content::Valid(bytes) = &self.content else {
            return None;
        };
        let text = str::from_utf8(bytes.expose());
        let lines = parse(
            text.ok().expect("the content was checked to be UTF-8"),
            self.kind,
        );
        let mut lines = lines.ok().expect("the content was checked to be valid");
        let is_named = |line: &&Line<'_>| line.profile == Some(name);
        let section = lines.iter().rfind(is_named)?.section;
        lines.retain(|line| line.section == section);
        Some(lines)
    }
}

/// Checks the size, the encoding and the syntax.
fn check(bytes: &SecretBytes, kind: FileKind) -> Result<(), String> {
    if bytes.expose().len() as u64 > MAX_FILE_SIZE {
        return Err(format!("it is longer than {MAX_FILE_SIZE} bytes"));
    }
    let text = str::from_utf8(bytes.expose()).map_err(|_| "it is not UTF-8".to_owned())?;
    match parse(text, kind) {
        Ok(_) => Ok(()),
        Err((line, why)) => Err(format!("line {line}: {why}")),
    }
}

/// A section header, with an empty key, or a line `key = value`.
#[derive(Debug)]
pub(super) struct Line<'t> {
    /// The number of the section.
    section: usize,
    /// The profile that the section defines, if it defines one.
    profile: Option<&'t str>,
    pub(super) key: &'t str,
    pub(super) value: &'t str,
}

/// The number of a line, and what is wrong there.
type SyntaxError = (usize, &'static str);

fn parse(text: &str, kind: FileKind) -> Result<Vec<Line<'_>>, SyntaxError> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    let mut last_indent = 0;
    let raw_lines = text.split("\r\n").flat_map(|part| part.split(['\n', '\r']));
    for (nth, raw_line) in raw_lines.enumerate() {
        let error = |why| Err((nth + 1, why));
        let text = raw_line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        let indent = raw_line.len() - raw_line.trim_start().len();
        // A line with more indentation continues the value before, or is part of a nested block, whose
        // own value is empty.
        match lines.last() {
            Some(last) if !last.key.is_empty() && indent > last_indent => match last.value {
                "" => continue,
                _ => return error("a value continues on the next line"),
            },
            _ => last_indent = indent,
        }
        let header = text
            .strip_prefix('[')
            .and_then(|rest| rest.rsplit_once(']'));
        let line = if let Some((header, _)) = header {
            if header == "DEFAULT" || sections.contains(&header) {
                return error("a duplicate section, or [DEFAULT]");
            }
            sections.push(header);
            Line {
                section: sections.len(),
                profile: profile_name(header, kind),
                key: "",
                value: "",
            }
        } else {
            let Some(last) = lines.last() else {
                return error("a line before the first section");
            };
            let Some((key, value)) = text.split_once(['=', ':']) else {
                return error("neither a section nor key = value");
            };
            Line {
                section: last.section,
                profile: last.profile,
                key: key.trim(),
                value: value.trim(),
            }
        };
        // The key of a section's header is empty, so this finds an empty key too.
        let before = lines.iter().rev();
        let mut same_section = before.take_while(|other| other.section == line.section);
        if same_section.any(|other| other.key.eq_ignore_ascii_case(line.key)) {
            return error("a duplicate or empty key");
        }
        lines.push(line);
    }
    Ok(lines)
}

/// The name of the profile that a section defines, if it defines one.
fn profile_name(header: &str, kind: FileKind) -> Option<&str> {
    match (kind, header) {
        (FileKind::Credentials, name) => Some(name),
        (FileKind::Config, "default") => Some("default"),
        (FileKind::Config, header) => {
            let name = header.strip_prefix("profile")?;
            let name = name.starts_with([' ', '\t']).then(|| name.trim())?;
            let unquoted = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote);
            Some(unquoted('"').or_else(|| unquoted('\'')).unwrap_or(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, kind: FileKind) -> Result<String, SyntaxError> {
        let line = |line: &Line<'_>| {
            let profile = line.profile.unwrap_or("-");
            format!("{profile}|{}|{}", line.key, line.value)
        };
        let lines = parse(text, kind)?;
        Ok(lines.iter().map(line).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn sections_keys_and_values_are_parsed() {
        for (text, credentials, config) in [
            (
                "[default]\nA=a=b \n",
                "default|| default|A|a=b",
                "default|| default|A|a=b",
            ),
            ("[x]\na: b", "x|| x|a|b", "-|| -|a|b"),
            (
                "[profile x]\ra=b\r\n\r\n",
                "profile x|| profile x|a|b",
                "x|| x|a|b",
            ),
            ("[profile \"x y\"]\n", "profile \"x y\"||", "x y||"),
            ("[profiles]", "profiles||", "-||"),
            ("[ x ]\n", " x ||", "-||"),
            (
                "  [x]\n  a=b\n  c=d\n",
                "x|| x|a|b x|c|d",
                "-|| -|a|b -|c|d",
            ),
            ("# a\n[x]\n; b\n\n # c\na=b", "x|| x|a|b", "-|| -|a|b"),
            (
                "[x]\ns3 =\n  a = b\n  c\nd = e",
                "x|| x|s3| x|d|e",
                "-|| -|s3| -|d|e",
            ),
            ("", "", ""),
        ] {
            assert_eq!(
                parsed(text, FileKind::Credentials).as_deref(),
                Ok(credentials),
                "{text:?}"
            );
            assert_eq!(
                parsed(text, FileKind::Config).as_deref(),
                Ok(config),
                "{text:?}"
            );
        }
    }

    #[test]
    fn syntax_error_names_its_line() {
        for (text, line) in [
            ("a=b", 1),
            ("\u{feff}[x]\na=b", 1),
            ("[x]\na=b\n[x]\n", 3),
            ("[x]\na=b\nA=c", 3),
            ("[x]\na=b\n  c", 3),
            ("[x]\nword", 2),
            ("[x]\n=b", 2),
            ("[DEFAULT]\na=b", 1),
        ] {
            let error = parsed(text, FileKind::Credentials).map_err(|(line, _)| line);
            assert_eq!(error, Err(line), "{text:?}");
        }
    }
}
