#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The litmus tests of module stress in all that jcstress can vary: compilers per thread, JVM options, processors. The
# short form of the same tests is a part of every test run.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" stress "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis stress [--mode quick|default|tough|stress] [--only TEXT]
Runs the litmus tests (handshakes between threads) under jcstress, each in JVMs of its own, in about 20 minutes with
--mode quick and hours with the later ones (default: default). --only runs the tests whose names contain TEXT. A
forbidden result is printed with how often it was seen; the status is then 1. A report goes to target/stress."

mode=default
only=
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        --mode | --only)
            if [ $# -lt 2 ]; then
                say "ioasis stress: $1 needs a value"
                say "$usage"
                exit 2
            fi
            [ "$1" = --mode ] && mode=$2 || only=$2
            shift 2
            ;;
        *)
            say "ioasis stress: unknown argument $1"
            say "$usage"
            exit 2
            ;;
    esac
done
case $mode in
    quick | default | tough | stress) ;;
    *)
        say "ioasis stress: --mode is quick, default, tough or stress, not $mode"
        exit 2
        ;;
esac

need_maven
take_lock
start_ticking
say "ioasis: building the litmus tests ..."
if ! run_maven "$root/target/stress-build.log" package -Dmaven.test.skip=true -pl stress -am; then
    say "ioasis: the build failed:"
    show_log "$root/target/stress-build.log"
    exit 1
fi
give_lock

# jcstress leaves files where it is started. The strides are those of Strides.java, which memory is measured for.
folder=$root/target/stress
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
exec "$JAVA_HOME/bin/java" --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED \
    -cp "$root/stress/target/classes:$root/stress/target/libraries/*" org.openjdk.jcstress.Main \
    -m "$mode" -t "$only" -r "$folder" -strideSize 128 -strideCount 8 \
    -jvmArgsPrepend "--sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED"
