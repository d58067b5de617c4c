# bash completion for bpfwright
_bpfwright() {
    local words='' now=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} before=${COMP_WORDS[COMP_CWORD-1]}
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W 'balancer blast build conformance-plugin debug demo doctor inspect load net profile ps run test-run tool trace types verify --help --version' -- "$now"))
        return
    fi
    case "$verb:$before" in
        balancer:--kind) words='ipip gue both' ;;
        balancer:--mss) words='any auto' ;;
        balancer:--mode) words='auto native generic' ;;
        balancer:-f|balancer:--format) words='table json' ;;
        blast:--mode) words='auto native generic' ;;
        blast:-f|blast:--format) words='table json' ;;
        build:--target) words='oldest here' ;;
        doctor:-f|doctor:--format) words='table json jsonl csv' ;;
        inspect:--only) words='programs maps externs types code' ;;
        inspect:--target) words='oldest here' ;;
        inspect:-f|inspect:--format) words='table json jsonl csv' ;;
        load:--xdp-mode) words='auto native generic' ;;
        load:-f|load:--format) words='table json jsonl csv' ;;
        net:-f|net:--format) words='table json' ;;
        profile:--unwind) words='tables frames' ;;
        profile:--state) words='running interruptible uninterruptible stopped traced' ;;
        profile:-f|profile:--format) words='table folded flamegraph html pprof speedscope json' ;;
        ps:-f|ps:--format) words='table json jsonl csv' ;;
        run:-f|run:--format) words='table jsonl csv' ;;
        test-run:--machine) words='user kernel' ;;
        test-run:--engine) words='jit interpreter' ;;
        test-run:-f|test-run:--format) words='table json jsonl csv' ;;
        trace:-f) words='text json' ;;
        trace:-B) words='none line full' ;;
        verify:--kernel) words='5.10 6.1 6.12 6.18 7.3 all' ;;
        verify:-f|verify:--format) words='text json' ;;
    esac
    [ -n "$words" ] || [ "${now#-}" = "$now" ] || case "$verb" in
        balancer) words='--at --duration --follow --format --gue-port --help --interface --json --kind --mode --mss --name --tunnel --udp --vip -d -f -h -i -j' ;;
        blast) words='--allow-default-route --batch --count --cpus --dns --dport --duration --format --from --help --icmp --imix --interface --length --mode --netns --no-times --output --own-times --pass-on --pcap --quiet --rate --receive --receive-netns --seed --show --sign --speed --sport --syn-flood --to --udp --udp6 --vlan --vxlan --write -c -d -f -h -i -o -q' ;;
        build) words='--help --output --target -h -o' ;;
        conformance-plugin) words='--elf --help --interpret --jit --program -h' ;;
        debug) words='--dap --dap-port --event --help --packet --pcap --seed -h' ;;
        demo) words='--help --seconds -h' ;;
        doctor) words='--broken --format --help --json --output -f -h -j -o' ;;
        inspect) words='--format --help --json --only --output --target -f -h -j -o' ;;
        load) words='--attach --cgroup --egress --format --help --hz --interface --json --log --output --pin --xdp-mode -f -h -i -j -o' ;;
        net) words='--confirm --duration --flows --follow --format --help --interface --json --name -d -f -h -i -j' ;;
        profile) words='--cgroup --comm --cpu --diff --duration --format --frequency --help --kernel-stacks-only --max-us --min-us --no-python --off-cpu --output --pid --quiet --state --tid --unwind --user-stacks-only -C -F -K -U -d -f -h -o -p -q -t' ;;
        ps) words='--follow --format --help --json --measure --output -f -h -j -o' ;;
        run) words='--changed --for --format --help --json --output --record --replay -f -h -j -o' ;;
        test-run) words='--engine --format --help --in --json --machine --maps --out --output --seed -f -h -j -o' ;;
        tool) words='--help -h' ;;
        trace) words='--bench --dry-run --fmt --for --help --include --info --no-warnings --quiet --test --unsafe --verbose --version -B -I -V -c -d -e -f -h -k -l -o -p -q -v' ;;
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
