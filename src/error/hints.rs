#![forbid(unsafe_code)]
//! Hints that depend on what the user has typed or set.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::text::list;
use super::{FolderRanking, MisplacedWord, ProjectField, SetBy, Setting};

/// What to write in place of a path that begins with `~`.
pub(crate) const WHOLE_PATH: &str =
    "the whole path: only a shell replaces ~, and only at the start of a word without quotes";

/// The hint for a path that begins with `~`; `None` for any other.
pub(super) fn tilde_hint(path: &Path) -> Option<String> {
    let begins_with_tilde = path.as_os_str().as_bytes().starts_with(b"~");
    begins_with_tilde.then(|| format!("use {WHOLE_PATH}"))
}

/// The hint for a setting that failed, if a variable has set it and the value has what an env file leaves
/// in it: quotation marks around it, which Docker keeps, or the end of a line.
pub(crate) fn env_file_hint(set_by: &SetBy, value: impl AsRef<OsStr>) -> Option<String> {
    let SetBy::Variable(name) = set_by else {
        return None;
    };
    match value.as_ref().as_bytes() {
        [.., b'\r'] | [.., b'\r', b'\n'] => Some(format!(
            "change the file that sets {name} to Unix line endings: the value ends with a carriage return"
        )),
        [.., b'\n'] => Some(format!("remove the line break at the end of {name}")),
        // With more of them in between, they are part of a shell command.
        [first @ (b'"' | b'\''), inner @ .., last] if first == last && !inner.contains(first) => {
            Some(quotation_marks_hint(name))
        }
        _ => None,
    }
}

fn quotation_marks_hint(name: &str) -> String {
    format!("remove the quotation marks where {name} is set: an env file of Docker keeps them")
}

/// The same hint for one of the folders in `PHASE_PATH`. Quotation marks around all of them are at one end
/// of the first and of the last.
fn env_file_hint_for_folder(folder: &str) -> Option<String> {
    const NAME: &str = "PHASE_PATH";
    let quotation_marks = ['"', '\''];
    let is_at_an_end = folder.starts_with(quotation_marks) || folder.ends_with(quotation_marks);
    env_file_hint(&SetBy::Variable(NAME), folder)
        .or_else(|| is_at_an_end.then(|| quotation_marks_hint(NAME)))
}

/// The hint for a path that is not meant as it is written: with quotation marks, or with a `~`.
pub(super) fn path_hint(set_by: &SetBy, path: &Path) -> Option<String> {
    env_file_hint(set_by, path).or_else(|| tilde_hint(path))
}

/// The hint for a CA file that cannot be used.
pub(super) fn ca_file_hint(file: &Setting<PathBuf>) -> Option<String> {
    path_hint(&file.set_by, &file.value).or_else(|| match file.set_by {
        SetBy::Variable(name) => Some(format!("unset {name}, or name another file with --ca-file")),
        SetBy::Option(_) | SetBy::ProjectFile { .. } | SetBy::LoginFile(_) => None,
    })
}

/// The hint for a token that Phase does not accept.
pub(super) fn rejected_token_hint(host: &str, from: &str) -> String {
    match from.starts_with("the login of ") {
        true => "log in again with phase auth".to_owned(),
        false => format!("check that the token exists, has not expired and belongs to {host}"),
    }
}

/// The hint for a token that is malformed.
pub(super) fn invalid_token_hint(from: &str, why: &str) -> String {
    match from.starts_with("descriptor ") && why == "it is empty" {
        true => format!("check the command that writes to {from}: it wrote nothing"),
        false => "copy the whole token from the Phase console: pss_service:v2:… or pss_user:v1:… with four fields of 64 hex digits".to_owned(),
    }
}

/// The hint for a token that cannot be read. `set_by` is what names its file, if it is in one.
pub(super) fn unreadable_token_hint(
    from: &str,
    set_by: Option<&SetBy>,
    cause: Option<ErrorKind>,
) -> Option<String> {
    if let Some(hint) = set_by.and_then(|set_by| env_file_hint(set_by, Path::new(from))) {
        return Some(hint);
    }
    let Some(set_by) = set_by.filter(|_| !from.starts_with("fd:")) else {
        let can_help = from != "standard input" && cause != Some(ErrorKind::TimedOut);
        return can_help
            .then(|| "give phase-run an open descriptor, such as 3<FILE in a shell".to_owned());
    };
    let hint = match cause {
        Some(ErrorKind::PermissionDenied) => {
            "give this user permission to read the file and to enter its directory".to_owned()
        }
        Some(ErrorKind::NotFound) => {
            format!("check the path in {set_by}, and the mount if this is a container")
        }
        Some(ErrorKind::IsADirectory) => format!(
            "{} the path of the file, not of its directory",
            set_by.change_to("--token-file")
        ),
        _ => format!("check the file that {set_by} names"),
    };
    path_hint(set_by, Path::new(from)).or(Some(hint))
}

/// The hint for a command that no folder of PATH has.
pub(super) fn missing_command_hint(command: &str) -> String {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match command.split_once('=') {
        Some((name, _)) if is_name(name) => {
            return format!("set it with env: env {command} COMMAND");
        }
        _ => {}
    }
    match command {
        "run" => MisplacedWord::Run.hint().to_owned(),
        "help" => MisplacedWord::Help.hint().to_owned(),
        "auth" | "init" | "secrets" | "shell" | "users" => {
            format!("run phase {command}, which is Phase's own CLI: phase-run has no subcommands")
        }
        option if option.starts_with('-') && !option.trim_matches('-').is_empty() => {
            let rest = match option {
                "--dry-run" | "--help" | "-h" | "--version" | "-V" => "",
                _ => " … -- COMMAND",
            };
            format!(
                "put options of phase-run before the -- and the command; for an image: docker run --entrypoint /phase-run IMAGE {option}{rest}"
            )
        }
        _ => "check the name and PATH; an alias or a function of your shell is not a program"
            .to_owned(),
    }
}

/// The hint for an app that the token cannot read.
pub(super) fn app_hint(app: &str, set_by: &SetBy, readable: &[String]) -> String {
    if let Some(hint) = env_file_hint(set_by, app) {
        return hint;
    }
    match (nearest_name(app, readable), set_by) {
        (Some(name), _) => set_by.change_to_value("--app", name),
        (
            None,
            SetBy::ProjectFile {
                path,
                field: ProjectField::AppId,
            },
        ) => format!(
            "check appId in {}, or remove it there and set phaseApp to the name of an app",
            path.display()
        ),
        (None, _) if readable.is_empty() => format!(
            "check {}, or grant this account access to the app in the Phase console",
            set_by.name()
        ),
        (None, _) => format!(
            "{} one of these names or an app's ID",
            set_by.change_to("--app")
        ),
    }
}

/// The hint for an environment that the token cannot read.
pub(super) fn environment_hint(environment: &str, set_by: &SetBy, readable: &[String]) -> String {
    if let Some(hint) = env_file_hint(set_by, environment) {
        return hint;
    }
    match nearest_name(environment, readable) {
        Some(name) => set_by.change_to_value("--env", name),
        None => format!(
            "{} the name of an environment that this token can read",
            set_by.change_to("--env")
        ),
    }
}

/// The hint for `--require`: the selected key that was probably meant, or how to list them.
pub(super) fn required_key_hint(missing: &[String], selected: &[String]) -> String {
    let mut nearest = missing.iter().filter_map(|key| nearest_name(key, selected));
    match nearest.next() {
        Some(key) => format!("use --require {}", shell_quoted(key)),
        None => {
            "run with --dry-run and without --require, --path and other filters to list all secrets"
                .to_owned()
        }
    }
}

/// The end of a message that lists what a filter could name.
pub(super) fn existing_names(option: &str, existing: &[String]) -> String {
    let what = match option {
        "--tags" if existing.is_empty() => return "; no secret there has a tag".to_owned(),
        _ if existing.is_empty() => return "; there are no secrets".to_owned(),
        "--tags" => "tags",
        "--only" | "--file" => return String::new(),
        _ => "folders",
    };
    format!("; its {what} are {}", list(existing.iter(), ", "))
}

/// The hint for a filter that matches nothing: the name that was probably meant, or how to list what
/// exists.
pub(super) fn filter_hint(option: &str, value: &str, existing: &[String]) -> String {
    if option == "PHASE_PATH"
        && let Some(hint) = env_file_hint_for_folder(value)
    {
        return hint;
    }
    let is_folder = !["--tags", "--only", "--file"].contains(&option);
    match nearest_name(value, existing) {
        _ if existing.is_empty() && option == "--tags" => {
            "remove --tags, or pass --allow-empty".to_owned()
        }
        _ if existing.is_empty() => {
            "choose another environment or other filters, or pass --allow-empty".to_owned()
        }
        _ if is_folder && value.contains([',', ':']) => several_folders_hint(option, value),
        _ if is_folder && let Some(hint) = folder_pattern_hint(option, value, existing) => hint,
        Some(name) if option == "PHASE_PATH" => format!("use {name} in PHASE_PATH"),
        Some(name) => format!("use {option} {}", shell_quoted(name)),
        None if is_folder || option == "--tags" => {
            "use one of these, or pass --allow-empty".to_owned()
        }
        None => format!(
            "run with --dry-run and without {option}, --path and other filters to list all secrets, or pass --allow-empty"
        ),
    }
}

/// The hint for several folders in one value of `--path`, or with commas in `PHASE_PATH`.
fn several_folders_hint(option: &str, value: &str) -> String {
    let folders = value.split([',', ':']).filter(|folder| !folder.is_empty());
    match option {
        "PHASE_PATH" => {
            let folders: Vec<&str> = folders.collect();
            format!(
                "use a colon between two folders: PHASE_PATH={}",
                folders.join(":")
            )
        }
        _ => format!(
            "repeat the option for each folder: {}",
            repeated(option, folders)
        ),
    }
}

/// The hint for a folder with a `*` anywhere else than in `/**` at the end: the first folder that begins
/// like it.
fn folder_pattern_hint(option: &str, value: &str, existing: &[String]) -> Option<String> {
    let (start, _) = value.split_once('*')?;
    let start = start.trim_end_matches('/');
    let folder = existing.iter().find(|folder| folder.starts_with(start))?;
    let subtree = match start {
        "" => "/**".to_owned(),
        _ => format!("{folder}/**"),
    };
    let subtree = match option {
        "PHASE_PATH" => subtree,
        _ => shell_quoted(&subtree),
    };
    Some(format!(
        "use {subtree} for a folder and those below it: no other pattern matches folders"
    ))
}

/// The hint for a pattern with a comma outside of brackets.
pub(super) fn repeated_option_hint(option: &str, value: &str) -> String {
    let patterns = value.split(',').map(str::trim);
    let patterns = patterns.filter(|pattern| !pattern.is_empty());
    format!(
        "repeat the option: {}; or write [,] for a comma in a name",
        repeated(option, patterns)
    )
}

/// The hint for a pattern with a `=`, as if the option could set the variable.
pub(super) fn equals_sign_hint(option: &str, name: &str) -> String {
    let is_single = !name.is_empty() && !name.contains(['*', '?', '[']);
    match option {
        "--keep" if is_single => {
            format!("set the variable before phase-run: {name}=VALUE phase-run --keep {name} …")
        }
        "--pass" if is_single => {
            format!("set it with env: phase-run --clean … -- env {name}=VALUE COMMAND")
        }
        _ if name.is_empty() => format!("use {option} NAME"),
        _ => format!("use {option} {}", shell_quoted(name)),
    }
}

/// The hint for an option that does not exist.
pub(super) fn unknown_option_hint(option: &str, nearest: Option<&str>) -> String {
    match (option, nearest) {
        ("--env-file" | "--dotenv", _) => {
            "run set -a; . ./.env in your shell first: phase-run itself reads no .env file"
                .to_owned()
        }
        (_, Some(known)) => format!("use {known}"),
        (_, None) => "run phase-run --help for a list of all options".to_owned(),
    }
}

/// The option once for each value.
fn repeated<'v>(option: &str, values: impl Iterator<Item = &'v str>) -> String {
    let words = values.map(|value| format!("{option} {}", shell_quoted(value)));
    words.collect::<Vec<_>>().join(" ")
}

/// The hint for a key in several folders: the folders that keep everything and prefer one of them.
pub(super) fn ranking_hint(key: &str, ranking: &FolderRanking) -> String {
    let FolderRanking {
        winner,
        paths,
        is_new,
    } = ranking;
    let folders = paths.value.iter().map(String::as_str);
    let (line, or) = match paths.set_by {
        SetBy::Option(option) => (format!("pass {}", repeated(option, folders)), "or"),
        _ => {
            let folders = folders.map(|folder| if folder.is_empty() { "/**" } else { folder });
            let folders: Vec<&str> = folders.collect();
            let line = format!("set {}={}", paths.set_by, folders.join(":"));
            (line, "or pass")
        }
    };
    match is_new {
        true => format!("{line} to prefer {winner}, {or} --except {key} to leave it out"),
        false => format!(
            "{line} to prefer {winner}, because the last folder that matches wins; or leave {key} out with --except"
        ),
    }
}

/// The name that was probably meant by `typed`: at most one typing error for each three letters.
fn nearest_name<'n>(typed: &str, names: &'n [String]) -> Option<&'n String> {
    /// The most names that it is compared with. Each comparison is quadratic in their lengths.
    const MAX_COMPARED: usize = 1000;
    /// The most characters of `typed`. A name that long is copied, not typed.
    const MAX_LENGTH: usize = 100;
    let max_distance = typed.len() / 3;
    let length = typed.chars().count();
    if length > MAX_LENGTH {
        return None;
    }
    let distance =
        |name: &String| strsim::osa_distance(&typed.to_lowercase(), &name.to_lowercase());
    let nearest = names
        .iter()
        .filter(|name| name.chars().count().abs_diff(length) <= max_distance)
        .take(MAX_COMPARED)
        .min_by_key(|name| (distance(name), strsim::osa_distance(typed, name)));
    nearest.filter(|name| distance(name) <= max_distance)
}

/// The word as it can be typed in a shell.
pub(crate) fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./=,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_found_without_quadratic_work() {
        let names = ["x".repeat(1 << 24), "x".repeat(100), "x".repeat(101)];
        // Comparing a value with the first of these names would take minutes.
        let hint = filter_hint("--tags", &"x".repeat(99), &names);
        assert_eq!(hint, format!("use --tags {}", "x".repeat(100)));
        let hint = filter_hint("--tags", &format!("{}y", "x".repeat(100)), &names);
        assert_eq!(hint, "use one of these, or pass --allow-empty");
    }
}
