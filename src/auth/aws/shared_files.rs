#![forbid(unsafe_code)]
//! The form of AWS's shared files, as AWS's own kit for Python reads it (RawConfigParser): a file that
//! it refuses is refused here, because what is passed over could have named another principal.

use std::path::{Path, PathBuf};

use super::super::identity::MAX_SIZE;
use crate::config::credential_file::{regular, whole};
use crate::error::os_error_text;
use crate::secret::SecretBytes;

/// Which of the two files, whose sections are named differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[name]`.
    Credentials,
    /// `[default]` and `[profile name]`.
    Config,
}

/// One of the files.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    kind: Kind,
    text: Text,
}

enum Text {
    Absent(String),
    Broken(String),
    There(SecretBytes),
}

impl Shared {
    pub(super) fn read(path: &Path, kind: Kind) -> Self {
        let of_file = |why: &str| format!("{}: {why}", path.display());
        let file = regular(path).map(|file| file.map(|file| whole(file, MAX_SIZE)));
        let text = match file {
            Ok(Some(Ok(bytes))) => Self::checked(bytes, kind),
            // How the file is switched off.
            Ok(None) if path == Path::new("/dev/null") => Ok(SecretBytes::default()),
            Ok(None) => Err("it is no regular file".to_owned()),
            Ok(Some(Err(error))) => Err(os_error_text(&error)),
            Err(error) => {
                let text = Text::Absent(of_file(&os_error_text(&error)));
                let path = path.to_owned();
                return Self { path, kind, text };
            }
        };
        Self {
            path: path.to_owned(),
            kind,
            text: text.map_or_else(|why| Text::Broken(of_file(&why)), Text::There),
        }
    }

    /// A path that is not as it is written.
    pub(super) fn elsewhere(path: &Path, kind: Kind) -> Self {
        let why = format!("{}: $ and ~ are not followed there", path.display());
        Self {
            path: path.to_owned(),
            kind,
            text: Text::Broken(why),
        }
    }

    fn checked(bytes: SecretBytes, kind: Kind) -> Result<SecretBytes, String> {
        if bytes.expose().len() as u64 > MAX_SIZE {
            return Err(format!("it is longer than {MAX_SIZE} bytes"));
        }
        let text = str::from_utf8(bytes.expose()).map_err(|_| "it is not UTF-8".to_owned())?;
        match lines(text, kind) {
            Ok(_) => Ok(bytes),
            Err((line, why)) => Err(format!("line {line}: {why}")),
        }
    }

    /// Why it is not there, or cannot be used.
    pub(super) fn absent(&self) -> Option<&str> {
        match &self.text {
            Text::Absent(why) => Some(why),
            Text::Broken(_) | Text::There(_) => None,
        }
    }

    pub(super) fn broken(&self) -> Option<&str> {
        match &self.text {
            Text::Broken(why) => Some(why),
            Text::Absent(_) | Text::There(_) => None,
        }
    }

    /// What the profile says, in the last section of that name; none where there is no such profile.
    pub(super) fn profile(&self, name: &str) -> Option<Vec<Line<'_>>> {
        let Text::There(bytes) = &self.text else {
            return None;
        };
        let text = str::from_utf8(bytes.expose()).unwrap_or_default();
        let lines = lines(text, self.kind).unwrap_or_default();
        let of_name = |line: &&Line<'_>| line.profile == Some(name);
        let last = lines.iter().rfind(of_name)?.section;
        Some(
            lines
                .into_iter()
                .filter(|line| line.section == last)
                .collect(),
        )
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn of(bytes: &[u8], kind: Kind) -> Self {
        let bytes = SecretBytes::new(bytes.to_vec());
        let text = Self::checked(bytes, kind);
        Self {
            path: PathBuf::from("file"),
            kind,
            text: text.map_or_else(Text::Broken, Text::There),
        }
    }
}

/// `key = value` in a section; a section's own line has an empty key.
#[derive(Debug)]
pub(super) struct Line<'t> {
    section: usize,
    profile: Option<&'t str>,
    pub(super) key: &'t str,
    pub(super) value: &'t str,
}

/// The number of a line, and what is wrong there.
type Flaw = (usize, &'static str);

fn lines(text: &str, kind: Kind) -> Result<Vec<Line<'_>>, Flaw> {
    let mut found: Vec<Line<'_>> = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    let mut indent = 0;
    let ends = text.split("\r\n").flat_map(|part| part.split(['\n', '\r']));
    for (nth, line) in ends.enumerate() {
        let flaw = |why| Err((nth + 1, why));
        let shown = line.trim();
        if shown.is_empty() || shown.starts_with(['#', ';']) {
            continue;
        }
        let in_from = line.len() - line.trim_start().len();
        // What stands further in belongs to the value before: of a nested block, which has no other.
        if let Some(before) = found.last().filter(|before| !before.key.is_empty())
            && in_from > indent
        {
            match before.value {
                "" => continue,
                _ => return flaw("a value that goes on over lines"),
            }
        }
        indent = in_from;
        if let Some((header, _)) = shown
            .strip_prefix('[')
            .and_then(|rest| rest.rsplit_once(']'))
        {
            if header == "DEFAULT" || sections.contains(&header) {
                return flaw("a section that stands twice, or is for all");
            }
            sections.push(header);
            found.push(Line {
                section: sections.len(),
                profile: named(header, kind),
                key: "",
                value: "",
            });
            continue;
        }
        let Some(last) = found.last() else {
            return flaw("it is in no section");
        };
        let (section, profile) = (last.section, last.profile);
        let Some((key, value)) = shown.split_once(['=', ':']) else {
            return flaw("neither a section nor a key with its value");
        };
        let (key, value) = (key.trim(), value.trim());
        let here = found.iter().rev();
        let mut here = here.take_while(|line| line.section == section);
        if here.any(|line| line.key.eq_ignore_ascii_case(key)) {
            return flaw("a key that stands twice, or none");
        }
        found.push(Line {
            section,
            profile,
            key,
            value,
        });
    }
    Ok(found)
}

/// The profile that a section is of.
fn named(header: &str, kind: Kind) -> Option<&str> {
    match (kind, header) {
        (Kind::Credentials, name) => Some(name),
        (Kind::Config, "default") => Some("default"),
        (Kind::Config, header) => {
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

    fn shown(text: &str, kind: Kind) -> Result<String, Flaw> {
        let line = |line: &Line<'_>| {
            let profile = line.profile.unwrap_or("-");
            format!("{profile}|{}|{}", line.key, line.value)
        };
        let lines = lines(text, kind)?;
        Ok(lines.iter().map(line).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn sections_keys_and_values_are_told_apart() {
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
                shown(text, Kind::Credentials).as_deref(),
                Ok(credentials),
                "{text:?}"
            );
            assert_eq!(shown(text, Kind::Config).as_deref(), Ok(config), "{text:?}");
        }
    }

    #[test]
    fn what_is_refused_elsewhere_is_refused_by_its_line() {
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
            let flaw = shown(text, Kind::Credentials).map_err(|(line, _)| line);
            assert_eq!(flaw, Err(line), "{text:?}");
        }
    }
}
