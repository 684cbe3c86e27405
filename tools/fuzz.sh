#!/bin/sh
# Runs the fuzz targets of the tests for a while: new inputs made from the corpus by chance, the device beside its model.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" fuzz "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis fuzz [--seconds N] [--seed N]
Fuzzes the virtio-iommu device beside its model for N seconds (60). Inputs are made from the corpus by chance, without
feedback from coverage. A finding is printed with the few steps that are needed for it, and as a line for
core/src/test/resources/org/ioasis/virtio/iommu/corpus.txt; the status is then 1."

seconds=60
seed=
is_number() {
    case $1 in
        '' | *[!0-9]* | ???????????????????*) return 1 ;;
    esac
}
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        --seconds | --seed)
            if [ $# -lt 2 ] || ! is_number "$2"; then
                say "ioasis fuzz: $1 needs a number"
                exit 2
            fi
            [ "$1" = --seed ] && seed=$2 || seconds=$2
            shift 2
            ;;
        *)
            say "ioasis fuzz: unknown argument $1"
            say "$usage"
            exit 2
            ;;
    esac
done
need_maven

at_exit() {
    give_lock
}
trap at_exit EXIT
take_lock
mkdir -p "$root/target"
log=$root/target/fuzz.log
doing="the fuzz targets"
start_ticking
tick() { # log
    now=$(date +%s)
    if [ $((now - told)) -ge 15 ]; then
        told=$now
        say "  still at $doing ($((now - began)) s)"
    fi
}
say "fuzzing for $seconds s ..."
set -- test -pl core -am -Dtest=FuzzTest -Dsurefire.failIfNoSpecifiedTests=false "-Dioasis.fuzz.seconds=$seconds" \
    "-Dioasis.test.timeout=$((seconds + 120))"
[ -z "$seed" ] || set -- "$@" "-Dioasis.seed=$seed"
status=0
run_maven "$log" "$@" || status=$?
give_lock
if grep '^fuzz: ' "$log" && [ $status -eq 0 ]; then
    exit 0
fi
sed -n -e '/AssertionError: *$/,/^\tat /p' "$log" | sed '/^\tat /d' | sed 60q
say "ioasis fuzz: a finding, or the run failed; see $log"
exit 1
