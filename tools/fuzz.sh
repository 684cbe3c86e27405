#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the fuzz targets of the tests (virtio/iommu/FuzzTargets.java, host/HostFuzzTargets.java, peer/ServerFuzzTargets.java)
# for a while under Jazzer:
# inputs are bred from the corpus by what they reach, and what is fuzzed must do on each what its model does.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" fuzz "$@"
. "$IOASIS_ROOT/tools/lib.sh"

of_device="request-queue event-queue config-writes save-file kept-state packed-ring table-queue arm-table-queue"
of_host="smmuv3-commands smmuv3-queue smmuv3-contexts vtd-entries vtd-queue vtd-contexts amd-commands amd-contexts
virtio-invalidations"
of_server="vfio-user-commands vfio-user-versions vfio-user-answers vhost-user-requests"
targets="$of_device $(echo $of_host) $of_server"
usage="Usage: ioasis fuzz [--seconds N] [--target NAME] [--seed N]
       ioasis fuzz --coverage
Fuzzes the virtio-iommu device beside its model, the packed ring, what guests with tables of their own write for an IOMMU,
and what VMMs and device servers send, with Jazzer for N seconds (60) in all. Targets: $targets;
each in turn unless one is named. --seed is that of Jazzer (by chance). Inputs that reach something new are kept in
target/fuzz/ and serve the next run. A finding is printed with the few steps that are needed for it and with the file to
keep it by; the status is then 1. --coverage runs the corpus alone and writes docs/fuzz-coverage.md: what it reaches of
each class."

seconds=60
seed=
coverage=
is_number() {
    case $1 in
        # A leading zero would make it octal.
        '' | 0?* | *[!0-9]* | ??????????*) return 1 ;;
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
                say "ioasis fuzz: $1 needs a number of at most nine digits"
                exit 2
            fi
            [ "$1" = --seed ] && seed=$2 || seconds=$2
            shift 2
            ;;
        --target)
            case " $targets " in
                *" ${2-} "*) targets=${2-} ;;
                *)
                    say "ioasis fuzz: --target needs one of: $targets"
                    exit 2
                    ;;
            esac
            shift 2
            ;;
        --coverage)
            coverage=1
            shift
            ;;
        *)
            say "ioasis fuzz: unknown argument $1"
            say "$usage"
            exit 2
            ;;
    esac
done
count=$(set -- $targets && echo $#)
# Jazzer takes 0 seconds for no end.
if [ "$seconds" -lt "$count" ]; then
    say "ioasis fuzz: --seconds $seconds is less than one for each of $count targets"
    exit 2
fi
need_maven

work=$root/target/fuzz
modules=host
module_of() { # target
    case " $of_server " in *" $1 "*) echo server && return ;; esac
    case " $(echo $of_host) " in *" $1 "*) echo host && return ;; esac
    echo core
}
# Where a target's corpus is.
corpus_of() { # target
    case $(module_of "$1") in
        server) echo server/src/test/resources/org/ioasis/peer/corpus ;;
        host) echo host/src/test/resources/org/ioasis/host/corpus ;;
        core) echo core/src/test/resources/org/ioasis/virtio/iommu/corpus ;;
    esac
}
entry_of() { # target
    case $(module_of "$1") in
        server) echo org.ioasis.peer.ServerFuzzTargets ;;
        host) echo org.ioasis.host.HostFuzzTargets ;;
        core) echo org.ioasis.virtio.iommu.FuzzTargets ;;
    esac
}
classes=$work/classes.$$
at_exit() {
    give_lock
    rm -rf "$classes"
}
trap at_exit EXIT
tick() { # log
    now=$(date +%s)
    if [ $((now - told)) -ge 30 ]; then
        told=$now
        say "  still at $doing ($((now - began)) s)"
    fi
}
maven() { # what for, argument...
    doing=$1
    shift
    start_ticking
    if ! run_maven "$work/maven.log" -pl "$modules" -am "$@"; then
        say "ioasis fuzz: $doing failed:"
        show_log "$work/maven.log"
        exit 1
    fi
}
take_lock
mkdir -p "$work/findings"
rm -rf "$work/seeds"

if [ -n "$coverage" ]; then
    rm -f "$work/corpus.exec"
    maven "the corpus" test -Pfuzz '-Dtest=FuzzTest,HostFuzzTest#theCorpusHolds' -Dsurefire.failIfNoSpecifiedTests=false \
        "-Dioasis.test.jvm=-Xmx1g -javaagent:$root/core/target/jacoco/jacocoagent.jar=destfile=$work/corpus.exec"
    "$JAVA_HOME/bin/java" -cp "$(cat "$root/core/target/fuzz.classpath")" "$root/tools/FuzzCoverage.java" \
        "$work/corpus.exec" "$root/core/target/classes" "$root/host/target/classes" >"$work/coverage.md"
    mv "$work/coverage.md" "$root/docs/fuzz-coverage.md"
    grep '^| all ' "$root/docs/fuzz-coverage.md"
    exit 0
fi

modules=server
maven "the build" test-compile -Pfuzz
# A copy, so that the next build does not change what runs here.
mkdir "$classes"
classpath=
for module in sys core host server; do
    mkdir "$classes/$module"
    cp -R "$root/$module/target/classes/." "$root/$module/target/test-classes/." "$classes/$module"
    classpath=$classpath$classes/$module:
done
classpath=$classpath$(cat "$root/core/target/fuzz.classpath"):$(cat "$root/server/target/fuzz.classpath")
give_lock

# Whole names: Jazzer knows no others but packages.
uninstrumented=org.ioasis.virtio.iommu.Driver:org.ioasis.virtqueue.MockDriver:org.ioasis.virtqueue.PackedFuzz
for driver in DriverQueue SplitDriver PackedDriver; do
    uninstrumented=$uninstrumented:org.ioasis.virtqueue.$driver
done
found=0
for target in $targets; do
    corpus=$(corpus_of "$target")
    mkdir -p "$work/corpus/$target"
    "$JAVA_HOME/bin/java" "$root/tools/FuzzCorpus.java" unpack "$root/$corpus/$target.hex" "$work/seeds/$target"
    log=$work/$target.log
    doing=$target
    say "fuzzing $target for $((seconds / count)) s ..."
    start_ticking
    # One JVM that is small: guest memory is off its heap and ends with each run. Test drivers need no instrumentation.
    (
        cd "$work"
        exec "$JAVA_HOME/bin/java" -Xmx512m -XX:+UseSerialGC -XX:+EnableDynamicAgentLoading \
            --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow \
            "-Dioasis.fuzz.target=$target" -cp "$classpath" com.code_intelligence.jazzer.Jazzer \
            "--target_class=$(entry_of "$target")" '--instrumentation_includes=org.ioasis.**' \
            "--instrumentation_excludes=$uninstrumented" \
            "--reproducer_path=$work" "-artifact_prefix=findings/$target-" -max_len=2048 -len_control=20 -timeout=60 \
            "-max_total_time=$((seconds / count))" ${seed:+"-seed=$seed"} "corpus/$target" "seeds/$target"
    ) >"$log" 2>&1 </dev/null &
    child=$!
    status=0
    await_child "$log" || status=$?
    if [ $status -eq 0 ]; then
        sed -n 's/^#\([0-9]*\).*DONE *cov: \([0-9]*\) ft: \([0-9]*\) .*exec\/s: \([0-9]*\).*/\1 inputs (\4 a second), \2 edges and \3 features reached, no finding/p' \
            "$log" | sed "s/^/$target: /"
    else
        found=1
        sed -n -e '/^== Java Exception/,/^\tat /p' "$log" | sed '/^\tat /d' | sed 60q
        file=$(sed -n 's/.*Test unit written to //p' "$log" | sed 1q)
        if [ -n "$file" ]; then
            say "$target: a finding. To keep it:"
            say "  java tools/FuzzCorpus.java line NAME target/fuzz/$file >>$corpus/$target.hex"
        else
            say "$target: the run failed; see $log"
        fi
    fi
done
exit $found
