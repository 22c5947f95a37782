//! The completions at work, in the shells that they are for: what is offered where.

use std::ffi::OsString;
use std::fs::create_dir;

use crate::documents::{OptionRow, options};
use crate::support::{Sandbox, Terminal, has_programs, inherited};

/// Every completion of bash's own machinery is put in the line, and the line printed.
const BASH: &str = r#"
PS1='@@ ' HISTFILE=
complete -W 'alpha beta' own-command
bind 'set bell-style none'
bind '"\C-t": insert-completions'
bind -x '"\C-g": printf "{{%s}}" "$READLINE_LINE"; READLINE_LINE='
. ./phase-run.bash
"#;

const BASH_COMPLETION: &str = ". /usr/share/bash-completion/bash_completion";

/// The same in zsh's; the completion is found by its file's name.
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

/// fish prints them itself.
const FISH: &str = "source phase-run.fish
complete -c own-command -x -a 'alpha beta'
complete -C $argv[1]";

/// A directory with the completions, a file and a program.
fn directory() -> Sandbox {
    let sandbox = Sandbox::offline();
    create_dir(sandbox.directory().join("zsh")).unwrap();
    for (form, file) in [
        ("bash", "phase-run.bash"),
        ("zsh", "zsh/_phase-run"),
        ("fish", "phase-run.fish"),
    ] {
        let printed = sandbox.run(["--generate", form]).output().ok();
        sandbox.file(file, printed.stdout);
    }
    sandbox.file("roots.pem", "");
    sandbox.executable("own-command", "#!/bin/sh\n");
    sandbox
}

/// What the package bash-completion installs.
const BASH_COMPLETION_PACKAGE: &str = "/usr/share/bash-completion/bash_completion";

/// A line editor on a terminal.
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

    /// What is in the place of the line's last word.
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
    let output = run.output().ok();
    let lines = output.text().lines();
    sorted(lines.map(|line| line.split('\t').next().unwrap()))
}

fn path(sandbox: &Sandbox) -> OsString {
    let path = [sandbox.directory().as_os_str(), &inherited("PATH").unwrap()];
    path.join(":".as_ref())
}

/// `--app=` is how zsh says that a value may follow.
fn sorted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<String> = words
        .map(|word| word.strip_suffix('=').unwrap_or(word).to_owned())
        .collect();
    words.sort();
    words
}

/// The same lines in each shell.
fn in_every_shell(cases: &[(String, Vec<String>)]) {
    if !has_programs(&["zsh", "fish", BASH_COMPLETION_PACKAGE]) {
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

/// Each by each of its names.
#[test]
fn every_shell_offers_every_option() {
    if !has_programs(&["zsh", "fish", BASH_COMPLETION_PACKAGE]) {
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

/// What can be known of a value is offered in each way to write it, and nothing where nothing is.
#[test]
fn a_value_is_offered_what_it_can_be() {
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

/// "Options end at `--` or at the first word that is not an option", there too: what follows is
/// completed as if it stood alone.
#[test]
fn the_command_is_completed_as_if_it_stood_alone() {
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
        // A value with what bash splits at, or with a blank, is one word.
        ("phase-run --host http://localhost:8000 --mo", &["--mode"]),
        ("phase-run --app 'a b' own-command al", &["alpha"]),
        ("phase-run --token-file fd:3 own-command al", &["alpha"]),
        ("phase-run --path '' own-command al", &["alpha"]),
    ]));
}

/// "`-c`: further words become `$0 $1 …`": no command follows.
#[test]
fn the_words_behind_a_line_for_a_shell_are_no_command() {
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

/// The package bash-completion is what knows other commands' completions; without it there are names
/// of commands, and files.
#[test]
fn bash_alone_is_enough_for_commands_and_files() {
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
