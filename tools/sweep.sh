#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Recorded DMA through other designs of an IOMMU, as a job of Apache Spark: builds the module sweep, for which Maven
# fetches Spark the first time, and starts it.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" sweep "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis sweep [--granule LIST] [--flush LIST] [--iotlb LIST] [--format LIST] [--report DIR] [--json]
                    [--master URL] FILE...
Asks what other designs of an IOMMU would have done with recorded DMA: each FILE of --record with each combination.
--granule  the smallest part that is mapped: 4k, 16k, 64k (default: 4k,64k)
--flush    strict, each UNMAP is invalidated before its answer; lazy:N, N of a domain together; lazy:N:Tms, and none
           waits longer than T ms (default: strict,lazy:256)
--iotlb    entries, a power of two from 16 to 1048576, or none (default: 64,1024,none)
--format   page tables: x86-64, arm64, amd (default: all)
--report   writes index.html with plots, figures.json and figures.parquet into DIR: a new folder, an empty one, or one
           of an earlier report
--json     prints the figures as JSON and nothing else
--master   where Apache Spark runs it (default: local[*], as many processors here as half of the memory has room for);
           workers elsewhere find each FILE under the same name and have JDK 25
The first sweep fetches Apache Spark's libraries, about 150 MB, by Maven. What the figures mean: docs/sweep.md."

case ${1-} in
    -h | --help)
        printf '%s\n' "$usage"
        exit 0
        ;;
esac

stamp=$root/target/sweep/built
libraries=$root/sweep/target/libraries

# Whether what was built last has all that the sources say now.
is_sweep_fresh() {
    [ -r "$stamp" ] || return 1
    set -- "$root/pom.xml" "$root/.mvn" "$root"/sweep/pom.xml "$root"/sweep/src/main
    for module in sys core host server machine look parquet app; do
        [ ! -e "$root/$module" ] || set -- "$@" "$root/$module/pom.xml" "$root/$module/src/main"
    done
    [ -z "$(find "$@" -newer "$stamp" 2>/dev/null)" ]
}

build_sweep() {
    # A run of the tests has built it without this.
    if [ -n "${IOASIS_NO_BUILD-}" ]; then
        [ ! -d "$libraries" ] || return 0
        say "ioasis: the sweep is not built, and IOASIS_NO_BUILD forbids to build."
        exit $unavailable
    fi
    is_sweep_fresh && return 0
    need_maven
    take_lock
    if is_sweep_fresh; then
        give_lock
        return 0
    fi
    if [ -d "$libraries" ]; then
        say "ioasis: building the sweep ..."
    else
        say "ioasis: building the sweep (the first time fetches Apache Spark's libraries, about 150 MB) ..."
    fi
    mkdir -p "$root/target/sweep"
    : >"$root/target/sweep/started"
    rm -rf "$libraries"
    start_ticking
    status=0
    run_maven "$root/target/sweep-build.log" package -Psweep -Dmaven.test.skip=true -pl sweep -am || status=$?
    if [ $status -ne 0 ]; then
        if grep -q -e 'Could not resolve dependencies' -e 'Could not transfer artifact' \
            -e 'Cannot access .* in offline mode' "$root/target/sweep-build.log"; then
            say "ioasis: Apache Spark's libraries, which a sweep needs and the build does not, could not be fetched. Maven said:"
            show_log "$root/target/sweep-build.log"
            say "Once they are in Maven's repository, a sweep needs no network."
            exit $unavailable
        fi
        say "ioasis: the build failed:"
        show_log "$root/target/sweep-build.log"
        exit 1
    fi
    mv "$root/target/sweep/started" "$stamp"
    give_lock
}

# What cannot be meant is refused before anything is fetched for it.
check_arguments() { # argument...
    build
    image=$(current_image)
    "$JAVA_HOME/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC --module-path "$image" --class-path "$image/classpath/*" \
        --enable-native-access=org.ioasis.sys -m org.ioasis.app/org.ioasis.sweep.SweepArguments "$@" || exit $?
}

[ -n "${IOASIS_NO_BUILD-}" ] || [ -d "$libraries" ] || check_arguments "$@"
build_sweep

# The modules that Spark and Hadoop look into, as sweep/pom.xml has them for the tests.
opens=$(sed -n 's/.*<ioasis.sweep.opens>\(.*\)<.*/\1/p' "$root/sweep/pom.xml")
jars=
for jar in "$root"/sweep/target/ioasis-sweep-*.jar "$libraries"/ioasis-*.jar "$libraries"/parquet-*.jar; do
    jars=$jars${jars:+:}$jar
done
# Room for a design on each processor (sweep/Room.java), but no more than half of the memory.
heap=$(awk -v processors="$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" '
    /^MemTotal:/ {
        half = int($2 / 2048)
        wanted = 1024 + 512 * processors
        print wanted < half ? wanted : half
    }' /proc/meminfo 2>/dev/null) || heap=
# shellcheck disable=SC2086
set -- $opens --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow -XX:+UseParallelGC "-Xmx${heap:-2048}m" \
    "-Dioasis.opens=$opens" "-Dioasis.jars=$jars" -cp "$root/sweep/target/classes:$libraries/*" \
    org.ioasis.sweep.job.SweepMain "$@"
unset IOASIS_ROOT
exec "$JAVA_HOME/bin/java" "$@"
