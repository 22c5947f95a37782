# bash completion for phase-run, printed by phase-run --generate bash. Needs bash 4.3.

_phase_run()
{
	local line=${COMP_LINE:0:COMP_POINT} words=() starts=() rest index
	# Bash also splits at = and :, so join what no blank separates.
	for ((index = 0; index <= COMP_CWORD; index++)); do
		rest=${line#"${line%%[![:blank:]]*}"}
		if ((index > 0)) && [[ $rest == "$line" ]]; then
			words[-1]+=${COMP_WORDS[index]}
		else
			words+=("${COMP_WORDS[index]}")
			starts+=("$index")
		fi
		line=${rest#"${COMP_WORDS[index]}"}
	done

	# Find the option that still needs its value, whether the options have ended, and whether -c was given.
	local last=$((${#words[@]} - 1)) option='' over='' shell='' word
	for ((index = 1; index < last; index++)); do
		word=${words[index]}
		if [[ $option ]]; then
			option=''
			continue
		fi
		case $word in
		--) over=1 index=$((index + 1)) ;;
		--*) ;;
		# Skip flags: the first letter that takes a value ends the word.
		-?*) while [[ $word == -[@SWITCHES@]?* ]]; do word=-${word:2}; done ;;
		*) over=1 ;;
		esac
		[[ $over ]] && break
		case $word in
		@LINES@) shell=1 ;;
		esac
		case $word in
		@VALUED@) option=$word ;;
		esac
	done

	local current=${words[last]}
	if [[ ! $over && ! $option ]]; then
		case $current in
		--*=*)
			option=${current%%=*} current=${current#*=}
			;;
		-*)
			COMPREPLY=($(compgen -W '@NAMES@' -- "$current"))
			return
			;;
		esac
	fi
	COMPREPLY=()
	case $option in
	'') ;;
@OFFERS@
	*) return ;;
	esac

	# Complete the command and its arguments.
	local completes
	if [[ ! $shell ]]; then
		for completes in _comp_command_offset _command_offset; do
			if declare -F "$completes" >/dev/null; then
				"$completes" "${starts[index]}"
				return
			fi
		done
	fi
	if [[ $shell || $current == */* ]] || ((index < last)); then
		compopt -o default
	else
		COMPREPLY=($(compgen -c -- "$current"))
	fi
}

complete -F _phase_run phase-run
