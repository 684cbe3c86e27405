#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ./ioasis sweep in a small tree, without Spark: when it builds, what it starts, and what it says without a network. What a
# sweep finds is tested by module sweep.
. "$(dirname -- "$0")/lib.sh"

make_sweep_tree() {
    make_tree
    mkdir -p "$tree/sweep/src/main/java"
    printf '<project>\n<ioasis.sweep.opens>--add-opens a/b=c --add-opens d/e=f</ioasis.sweep.opens>\n</project>\n' >"$tree/sweep/pom.xml"
    : >"$tree/sweep/src/main/java/Job.java"
    cat >"$here/packages" <<'END'
#!/bin/sh
case " $* " in
    *" -Psweep "*) ;;
    *) exit 0 ;;
esac
mkdir -p sweep/target/libraries
: >sweep/target/ioasis-sweep-1.jar
: >sweep/target/libraries/ioasis-core-1.jar
: >sweep/target/libraries/spark.jar
END
    cat >"$here/offline" <<'END'
#!/bin/sh
case " $* " in
    *" -Psweep "*) ;;
    *) exit 0 ;;
esac
printf '[ERROR] Failed to execute goal on project ioasis-sweep: Could not resolve dependencies\n'
exit 1
END
    chmod +x "$here/packages" "$here/offline"
}

starts() {
    make_sweep_tree
    FAKE_MAVEN=$here/packages
    export FAKE_MAVEN
    run "$tree/ioasis" sweep 'a b.parquet' --json
    expect_status 0
    expect err "the first time fetches Apache Spark"
    expect "$tree/maven-calls" "package -Psweep -Dmaven.test.skip=true -pl sweep -am"
    expect out "<a/b=c>"
    expect out "<org.ioasis.sweep.job.SweepMain>"
    expect out "<a b.parquet>"
    expect out "sweep/target/ioasis-sweep-1.jar:"
    expect_not out "spark.jar"
    # The program, whose check of the arguments comes first, and the sweep.
    expect out "<org.ioasis.app/org.ioasis.sweep.SweepArguments>"
    expect_builds 2
    run "$tree/ioasis" sweep x
    expect_builds 2
    expect_not err "building"
    expect_not out "SweepArguments"
    later
    touch "$tree/core/src/main/java/Changed.java"
    run "$tree/ioasis" sweep x
    expect_builds 3
    run env FAKE_JAVA_STATUS=2 "$tree/ioasis" sweep x
    expect_status 2
}
check "a sweep builds its module when the sources are newer, and hands its arguments over" starts

without_network() {
    make_sweep_tree
    run env FAKE_MAVEN="$here/offline" "$tree/ioasis" sweep x
    expect_status 69
    expect err "Apache Spark's libraries, which a sweep needs and the build does not, could not be fetched"
    expect err "Could not resolve dependencies"
    expect_not out "SweepMain"
    run env FAKE_MAVEN=fail "$tree/ioasis" sweep x
    expect_status 1
    expect err "a planted error"
    # What failed is not taken for built.
    run env FAKE_MAVEN="$here/packages" "$tree/ioasis" sweep x
    expect_status 0
    expect_builds 4
}
check "a sweep that cannot fetch its libraries says so" without_network

refuses() {
    make_sweep_tree
    run env FAKE_MAVEN="$here/packages" FAKE_JAVA_STATUS=2 "$tree/ioasis" sweep --iotlb 63 'a b.parquet'
    expect_status 2
    expect out "<org.ioasis.app/org.ioasis.sweep.SweepArguments>"
    expect out "<63>"
    expect out "<a b.parquet>"
    expect_not err "Apache Spark"
    expect_not "$tree/maven-calls" "-Psweep"
    run env IOASIS_NO_BUILD=1 "$tree/ioasis" sweep x
    expect_status 69
    expect err "the sweep is not built, and IOASIS_NO_BUILD forbids to build"
}
check "a sweep refuses wrong arguments before it fetches anything, and builds nothing where it must not" refuses

helps() {
    make_sweep_tree
    for word in --help -h; do
        run "$tree/ioasis" sweep $word
        expect_status 0
        expect out "--flush    strict, each UNMAP"
    done
    expect_builds 0
}
check "the help of a sweep needs no build" helps

finish
