#compdef phase-run
# zsh completion for phase-run, printed by phase-run --generate zsh.

_phase-run() {
	local curcontext=$curcontext state line ret=1
	local -a state_descr
	local -A opt_args
	_arguments -s -S -C \
@OPTIONS@
		'(-)1:command:->command' \
		'*::argument:->arguments' && ret=0
	# After -c, arguments belong to the shell command line.
	if [[ -n $state ]] && (( ${#opt_args[(I)@LINES@]} )); then
		_files && ret=0
	elif [[ $state == command ]]; then
		_command_names -e && ret=0
	elif [[ $state == arguments ]]; then
		_normal && ret=0
	fi
	return ret
}

if [[ $funcstack[1] == _phase-run ]]; then
	_phase-run "$@"
else
	compdef _phase-run phase-run
fi
