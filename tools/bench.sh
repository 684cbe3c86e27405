#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ours and the algorithms of other VMMs on the standard workloads, in one run: builds the module bench and the programs
# of bench/peers, then starts the comparison pinned to one processor.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" bench "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis bench [--quick] [--rounds N] [--json FILE] [--plot DIR] [--peers auto|required|none] [--only TEXT]
       ioasis bench --trackers FILE.svg
Prints workload by subject in ns per operation: one round of the main workloads with --quick, else five of all.
--rounds measures it so often instead.
--peers auto compares with those that can be built here (cc, GLib's library, rustc), required insists on all.
--plot draws what was measured, each chart beside the peers, as SVG files in DIR.
--only runs the workloads whose names contain TEXT.
--trackers measures the ways to keep what mediated devices pin, and draws them, instead."

quick=
rounds=
json=
plot=
only=
trackers=
peers=auto
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        --quick) quick=1 ;;
        --rounds | --json | --plot | --peers | --only | --trackers)
            if [ $# -lt 2 ]; then
                say "ioasis bench: $1 needs a value"
                say "$usage"
                exit 2
            fi
            case $1 in
                --rounds) rounds=$2 ;;
                --json) json=$2 ;;
                --plot) plot=$2 ;;
                --peers) peers=$2 ;;
                --only) only=$2 ;;
                --trackers) trackers=$2 ;;
            esac
            shift
            ;;
        *)
            say "ioasis bench: unknown argument $1"
            say "$usage"
            exit 2
            ;;
    esac
    shift
done
case $peers in
    auto | required | none) ;;
    *)
        say "ioasis bench: --peers is auto, required or none, not $peers"
        exit 2
        ;;
esac
case $rounds in
    0* | *[!0-9]* | ????*)
        say "ioasis bench: --rounds is 1 to 999, not $rounds"
        exit 2
        ;;
esac
if [ -n "$trackers" ] && { [ -n "$quick$rounds$json$plot$only" ] || [ "$peers" != auto ]; }; then
    say "ioasis bench: --trackers measures something of its own; leave out --quick, --rounds, --json, --plot, --peers and --only"
    exit 2
fi
if ! command -v taskset >/dev/null 2>&1; then
    say "ioasis bench: taskset (package util-linux) is needed to pin what is measured."
    exit $unavailable
fi

need_maven
take_lock
start_ticking
say "ioasis: building the benchmarks ..."
if ! run_maven "$root/target/bench-build.log" package -Dmaven.test.skip=true -pl bench -am; then
    say "ioasis: the build failed:"
    show_log "$root/target/bench-build.log"
    exit 1
fi

check_peer() {
    case $1 in
        */hostserve | */hostcall) ;; # one without the other does nothing
        *) "$1" check ;;
    esac
}

[ -z "$trackers" ] || peers=none

# Each peer for itself, so that one that cannot be built does not cost the others.
folder=
if [ "$peers" != none ]; then
    folder=$root/target/peers
    if ! command -v make >/dev/null 2>&1; then
        missing=" make"
        folder=
    else
        missing=
        : >"$root/target/peers.log"
        for peer in qemu iovatree rbtree fast btree hostmodel hostserve hostcall walker; do
            if ! make -C "$root/bench/peers" B="$folder" "$folder/$peer" >>"$root/target/peers.log" 2>&1 ||
                ! check_peer "$folder/$peer" >>"$root/target/peers.log" 2>&1; then
                missing="$missing $peer"
                rm -f "$folder/$peer"
            fi
        done
    fi
    if [ -n "$missing" ]; then
        if [ "$peers" = required ]; then
            say "ioasis bench: these peers could not be built or fail their check:$missing"
            say "They need make, cc, the library libglib-2.0.so.0 and rustc. The log: $root/target/peers.log"
            exit $unavailable
        fi
        say "ioasis bench: without these peers, which could not be built here:$missing"
    fi
fi
give_lock

# The last processor: the first one has most of the interrupts.
processor=$(($(getconf _NPROCESSORS_ONLN) - 1))
main=org.ioasis.bench.Bench
set -- --processor "$processor"
[ -z "$folder" ] || set -- "$@" --peer-folder "$folder"
[ -z "$quick" ] || set -- "$@" --quick
[ -z "$rounds" ] || set -- "$@" --rounds "$rounds"
[ -z "$json" ] || set -- "$@" --json "$json"
[ -z "$plot" ] || set -- "$@" --plot "$plot"
[ -z "$only" ] || set -- "$@" --only "$only"
commit=$(git -C "$root" rev-parse HEAD 2>/dev/null) || commit=
[ -z "$commit" ] || git -C "$root" diff --quiet HEAD 2>/dev/null || commit=$commit-changed
[ -z "$commit" ] || set -- "$@" --commit "$commit"
if [ -n "$trackers" ]; then
    main=org.ioasis.bench.Trackers
    set -- "$trackers"
fi
exec taskset -c "$processor" "$JAVA_HOME/bin/java" --sun-misc-unsafe-memory-access=allow \
    --enable-native-access=ALL-UNNAMED -cp "$root/bench/target/classes:$root/bench/target/libraries/*" \
    "$main" "$@"
