# fish completion for phase-run, printed by phase-run --generate fish.

# Prints the command and its arguments, each followed by NUL, once the options have ended.
function __phase_run_command
    set -l words (commandline -opc) (commandline -ct)
    set -e words[1]
    argparse --stop-nonopt @SPECS@ -- $words 2>/dev/null
    or return
    set -q argv[1]
    and not string match -q -- '-*' $argv[1]
    or return
    # After -c, arguments belong to the shell command line.
    set -q @LINE@
    and set -p argv :
    string join0 -- $argv
end

function __phase_run_complete_command
    set -l words (__phase_run_command | string split0)
    set -q words[1]
    or return
    set -l current $words[-1]
    set -e words[-1]
    complete -C (string join ' ' -- (string escape -- $words) $current)
end

function __phase_run_is_before
    not __phase_run_command >/dev/null
end

complete -c phase-run -x -a '(__phase_run_complete_command)'
@OPTIONS@
