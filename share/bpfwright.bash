# bash completion for bpfwright
_bpfwright() {
    local words='' now=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} before=${COMP_WORDS[COMP_CWORD-1]}
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W 'build conformance-plugin debug demo doctor inspect load ps run test-run types verify --help --version' -- "$now"))
        return
    fi
    case "$verb:$before" in
        build:--target) words='oldest here' ;;
        doctor:-f|doctor:--format) words='table json jsonl csv' ;;
        inspect:--only) words='programs maps externs types code' ;;
        inspect:--target) words='oldest here' ;;
        inspect:-f|inspect:--format) words='table json jsonl csv' ;;
        load:--xdp-mode) words='auto native generic' ;;
        load:-f|load:--format) words='table json jsonl csv' ;;
        ps:-f|ps:--format) words='table json jsonl csv' ;;
        run:-f|run:--format) words='table jsonl csv' ;;
        test-run:--machine) words='user kernel' ;;
        test-run:--engine) words='jit interpreter' ;;
        test-run:-f|test-run:--format) words='table json jsonl csv' ;;
        verify:--kernel) words='5.10 6.1 6.12 6.18 7.3 all' ;;
        verify:-f|verify:--format) words='text json' ;;
    esac
    [ -n "$words" ] || [ "${now#-}" = "$now" ] || case "$verb" in
        build) words='--help --output --target -h -o' ;;
        conformance-plugin) words='--elf --help --interpret --jit --program -h' ;;
        debug) words='--dap --dap-port --event --help --packet --pcap --seed -h' ;;
        demo) words='--help --seconds -h' ;;
        doctor) words='--broken --format --help --json --output -f -h -j -o' ;;
        inspect) words='--format --help --json --only --output --target -f -h -j -o' ;;
        load) words='--attach --cgroup --egress --format --help --hz --interface --json --log --output --pin --xdp-mode -f -h -i -j -o' ;;
        ps) words='--follow --format --help --json --measure --output -f -h -j -o' ;;
        run) words='--changed --for --format --help --json --output --record --replay -f -h -j -o' ;;
        test-run) words='--engine --format --help --in --json --machine --maps --out --output --seed -f -h -j -o' ;;
        types) words='--help --output --tracepoint -h -o -t' ;;
        verify) words='--btf --budget-s --format --help --json --kernel --no-search --seed --verbose -f -h -j -v' ;;
    esac
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$now"))
    else
        COMPREPLY=($(compgen -f -- "$now"))
    fi
}
complete -o filenames -F _bpfwright bpfwright
