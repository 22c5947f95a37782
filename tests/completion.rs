//! The completions in real shells: what each offers at which place.

#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::fs::create_dir;

use crate::documents::{OptionRow, options};
use crate::support::{Sandbox, Terminal, inherited, require_programs};

/// Ctrl-T inserts every completion into the line, Ctrl-G prints the line.
const BASH: &str = r#"
PS1='@@ ' HISTFILE=
complete -W 'alpha beta' own-command
bind 'set bell-style none'
bind '"\C-t": insert-completions'
bind -x '"\C-g": printf "{{%s}}" "$READLINE_LINE"; READLINE_LINE='
. ./phase-run.bash
"#;

const BASH_COMPLETION: &str = ". /usr/share/bash-completion/bash_completion";

/// The same for zsh, which finds the completion by the name of its file.
const ZSH: &str = r#"
PS1='@@ ' HISTFILE=
fpath=($PWD/zsh $fpath)
autoload -U compinit && compinit -u -D
own() { compadd alpha beta }
compdef own own-command
all() { _main_complete; compstate[insert]=all compstate[list]= }
show() { zle -I; print -rn -- "{{$BUFFER}}"; BUFFER= }
zle -C all complete-word all
zle -N show
bindkey -e '^T' all '^G' show
"#;

/// fish prints completions itself.
const FISH: &str = "source phase-run.fish
complete -c own-command -x -a 'alpha beta'
complete -C $argv[1]";

/// Returns a directory with the completions, a file and a program.
fn directory() -> Sandbox {
    let sandbox = Sandbox::offline();
    create_dir(sandbox.directory().join("zsh")).unwrap();
    for (form, file) in [
        ("bash", "phase-run.bash"),
        ("zsh", "zsh/_phase-run"),
        ("fish", "phase-run.fish"),
    ] {
        let printed = sandbox.run(["--generate", form]).output().assert_ok();
        sandbox.file(file, printed.stdout);
    }
    sandbox.file("roots.pem", "");
    sandbox.executable("own-command", "#!/bin/sh\n");
    sandbox
}

/// Where the package bash-completion installs itself.
const BASH_COMPLETION_PACKAGE: &str = "/usr/share/bash-completion/bash_completion";

/// The line editor of a shell on a terminal.
struct Editor(Terminal);

impl Editor {
    fn bash(sandbox: &Sandbox, before: &str) -> Self {
        sandbox.file("bashrc", [before, BASH].concat());
        let words = ["bash", "--noprofile", "--rcfile", "./bashrc", "-i"];
        Editor::open(sandbox, &words)
    }

    fn zsh(sandbox: &Sandbox) -> Self {
        sandbox.file(".zshrc", ZSH);
        Editor::open(sandbox, &["zsh", "-d", "-i"])
    }

    fn open(sandbox: &Sandbox, words: &[&str]) -> Self {
        let terminal = sandbox
            .bare(words)
            .env("PATH", path(sandbox))
            .env("ZDOTDIR", sandbox.directory())
            .env("INPUTRC", "/dev/null")
            .env("TERM", "dumb")
            .on_terminal();
        let mut editor = Editor(terminal);
        let _ = editor.0.until("@@ ");
        editor
    }

    /// Returns what replaces the last word of the line.
    fn offers(&mut self, line: &str) -> Vec<String> {
        self.0.press(&format!("{line}\x14\x07"));
        let _ = self.0.until("{{");
        let shown = self.0.until("}}");
        let (before, word) = line.rsplit_once(' ').unwrap();
        let offered = shown.strip_suffix("}}").unwrap();
        let offered = offered.strip_prefix(before).unwrap().trim();
        if offered == word {
            return Vec::new();
        }
        sorted(offered.split_whitespace())
    }
}

fn fish(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let run = sandbox.bare(["fish", "--no-config", "-c", FISH, line]);
    let run = run
        .env("PATH", path(sandbox))
        .env("HOME", sandbox.directory());
    let output = run.output().assert_ok();
    let lines = output.text().lines();
    sorted(lines.map(|line| line.split('\t').next().unwrap()))
}

fn path(sandbox: &Sandbox) -> OsString {
    let path = [sandbox.directory().as_os_str(), &inherited("PATH").unwrap()];
    path.join(":".as_ref())
}

/// Sorts the words; zsh appends `=` to an option that takes a value.
fn sorted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<String> = words
        .map(|word| word.strip_suffix('=').unwrap_or(word).to_owned())
        .collect();
    words.sort();
    words
}

/// Checks the completions of these lines in every shell.
fn in_every_shell(cases: &[(String, Vec<String>)]) {
    if !require_programs(&["zsh", "fish", BASH_COMPLETION_PACKAGE]) {
        return;
    }
    let sandbox = directory();
    let mut bash = Editor::bash(&sandbox, BASH_COMPLETION);
    let mut zsh = Editor::zsh(&sandbox);
    for (line, expected) in cases {
        assert_eq!(&bash.offers(line), expected, "bash: {line}");
        assert_eq!(&zsh.offers(line), expected, "zsh: {line}");
        assert_eq!(&fish(&sandbox, line), expected, "fish: {line}");
    }
}

fn cases(cases: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
    let cases = cases.iter();
    cases
        .map(|(line, words)| ((*line).to_owned(), owned(words)))
        .collect()
}

#[test]
fn every_shell_offers_every_option() {
    if !require_programs(&["zsh", "fish", BASH_COMPLETION_PACKAGE]) {
        return;
    }
    let sandbox = directory();
    let mut bash = Editor::bash(&sandbox, BASH_COMPLETION);
    let mut zsh = Editor::zsh(&sandbox);
    let names: Vec<String> = options().iter().flat_map(OptionRow::names).collect();
    let long = names.iter().filter(|name| name.starts_with("--"));
    let long = sorted(long.map(String::as_str));
    for (shell, mut offered) in [
        ("bash", bash.offers("phase-run --")),
        ("zsh", zsh.offers("phase-run --")),
        ("fish", fish(&sandbox, "phase-run --")),
    ] {
        offered.retain(|name| name != "--");
        assert_eq!(offered, long, "{shell}");
    }
    for (shell, offered) in [
        ("bash", bash.offers("phase-run -")),
        ("zsh", zsh.offers("phase-run -")),
        ("fish", fish(&sandbox, "phase-run -")),
    ] {
        for name in &names {
            assert!(
                offered.contains(name),
                "{shell} offers no {name}: {offered:?}"
            );
        }
    }
}

/// Files, commands and fixed words are offered in each way to write an option, and nothing else.
#[test]
fn shells_complete_option_values() {
    let mut lines = Vec::new();
    for row in options() {
        let Some(value) = &row.value else { continue };
        let words = match value.as_str() {
            "FILE" => vec!["roots.pem"],
            "LINE" => vec!["own-command"],
            words if *words == words.to_lowercase() => words.split('|').collect(),
            _ => vec![],
        };
        let start = match words.as_slice() {
            [word] => word.get(..4).unwrap(),
            _ => "",
        };
        for name in row.names() {
            let expected = sorted(words.iter().copied());
            lines.push((format!("phase-run {name} {start}"), expected));
        }
        if let [word] = words.as_slice() {
            let name = &row.name;
            let expected = vec![format!("{name}={word}")];
            lines.push((format!("phase-run {name}={start}"), expected));
        }
    }
    assert!(lines.len() > 30);
    in_every_shell(&lines);
    in_every_shell(&cases(&[
        ("phase-run --mode=a", &["--mode=auto"]),
        ("phase-run --log-format=j", &["--log-format=json"]),
        ("phase-run -q --mode a", &["auto"]),
    ]));
}

/// Options end at `--` or at the first argument that is not one, for completions as well.
#[test]
fn command_completes_as_without_phase_run() {
    in_every_shell(&cases(&[
        ("phase-run own-c", &["own-command"]),
        ("phase-run -- own-c", &["own-command"]),
        ("phase-run --app shop own-c", &["own-command"]),
        ("phase-run own-command ", &["alpha", "beta"]),
        ("phase-run own-command al", &["alpha"]),
        ("phase-run own-command -- al", &["alpha"]),
        ("phase-run -qe prod -- own-command x al", &["alpha"]),
        ("phase-run -eprod own-command al", &["alpha"]),
        ("phase-run --app=a --mode auto own-command al", &["alpha"]),
        ("phase-run own-command --mo", &[]),
        ("phase-run -- own-command --mo", &[]),
        ("phase-run own-command --mode a", &["alpha"]),
        // A value with a space or with one of bash's word separators is one argument.
        ("phase-run --host http://localhost:8000 --mo", &["--mode"]),
        ("phase-run --app 'a b' own-command al", &["alpha"]),
        ("phase-run --token-file fd:3 own-command al", &["alpha"]),
        ("phase-run --token-command 'x y' own-command al", &["alpha"]),
        ("phase-run --path '' own-command al", &["alpha"]),
    ]));
}

/// Arguments after `-c` become `$0 $1 …`: no command follows.
#[test]
fn arguments_after_shell_line_complete_as_files() {
    in_every_shell(&cases(&[
        ("phase-run -c 'cat $0' roo", &["roots.pem"]),
        ("phase-run -qc 'cat $0' roo", &["roots.pem"]),
        (
            "phase-run --command 'cat $1' own-command roo",
            &["roots.pem"],
        ),
        (
            "phase-run --command='cat $1' own-command roo",
            &["roots.pem"],
        ),
        ("phase-run -c 'cat $0' -- roo", &["roots.pem"]),
        ("phase-run -c 'cat $0' --mo", &["--mode"]),
    ]));
}

/// Without the package bash-completion, commands and files are offered.
#[test]
fn bash_completes_without_bash_completion() {
    let sandbox = directory();
    let mut bash = Editor::bash(&sandbox, "");
    for (line, expected) in cases(&[
        ("phase-run --mo", &["--mode"]),
        ("phase-run --mode e", &["e2ee"]),
        ("phase-run --ca-file roo", &["roots.pem"]),
        ("phase-run -q own-c", &["own-command"]),
        ("phase-run ./own-c", &["./own-command"]),
        ("phase-run own-command roo", &["roots.pem"]),
        ("phase-run own-command --mo", &[]),
    ]) {
        assert_eq!(bash.offers(&line), expected, "{line}");
    }
}
