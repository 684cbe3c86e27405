#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ./ioasis dist as its user meets it: the archive alone, in an environment with nothing in it. Packs what is built.
java_home=${JAVA_HOME:?is to be a JDK 25 or newer}
. "$(dirname -- "$0")/lib.sh"

pack() {
    IOASIS_NO_BUILD=1 JAVA_HOME=$java_home TMPDIR=$here
    export IOASIS_NO_BUILD JAVA_HOME TMPDIR
    run "$project/ioasis" dist "$scratch/my.tar.gz"
    expect_status 0
    expect out "my.tar.gz: "
    run "$project/ioasis" dist "$scratch/my.tar.gz"
    expect_status 2
    expect err "my.tar.gz is there: it is not replaced"
    run "$project/ioasis" dist --frob
    expect_status 2
    [ -z "$(ls -d "$here"/ioasis.* 2>/dev/null)" ] || fail "nothing to be left"
}
check "an archive is packed and replaces nothing" pack

# What the build has written anew so that the JVM keeps it: magic number, minor and major version.
changed() {
    mkdir jars
    tar -C jars -xzf "$scratch/my.tar.gz"
    expect jars/ioasis/lib/CHANGES "picocli-*.jar: its classes are in the format of Java 8"
    "$java_home/bin/jar" --extract --file jars/ioasis/lib/picocli-*.jar picocli/CommandLine.class
    version=$(od -A n -t x1 -N 8 picocli/CommandLine.class | tr -d ' ')
    [ "$version" = cafebabe00000034 ] || fail "a class of Java 8, not $version"
}
check "what is changed of others' classes is as it is said" changed

# Another folder than it was packed in, no PATH, no JAVA_HOME, no HOME.
bare() {
    env -i PATH=/nowhere "$here/some where/ioasis/ioasis" "$@"
}

unpacked() {
    mkdir "$here/some where"
    tar -C "$here/some where" -xzf "$scratch/my.tar.gz"
    run bare --version
    expect_status 0
    expect out "ioasis 0."
    run bare viot --output table --iommu 00:01.0 --range 00:02.0
    expect_status 0
    run bare viot --check table
    expect_status 0
    # In the place of the shell in the background, so that the signal reaches it.
    (exec env -i PATH=/nowhere "$here/some where/ioasis/ioasis" serve --iommu iommu.sock --rng rng.sock) >said 2>complaints &
    server=$!
    tries=0
    until grep -q '^viot ' said; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] && kill -0 $server || fail "the server to be ready: $(cat said complaints)"
        sleep 0.1
    done
    run bare check
    expect_status 1
    expect out "no VMM has connected"
    run bare dump --json
    expect_status 0
    run bare host -- /bin/echo served
    expect_status 0
    expect out served
    kill -s TERM $server
    status=0
    wait $server || status=$?
    expect_status 0
    [ ! -e iommu.sock ] || fail "nothing to be left"
}
check "the archive alone serves, asks, checks and hosts without a JDK" unpacked

finish
