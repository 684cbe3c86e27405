#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each example of the documents compiles against artifacts that were installed into a local Maven repository, as a user's
# program would, and does what it says. Runs what is built; nothing is written outside the scratch folder.
java_home=${JAVA_HOME:?is to be a JDK 25 or newer}
maven_args=${MAVEN_ARGS-}
. "$(dirname -- "$0")/lib.sh"

example=$project/docs/examples/CopyFunction.java
repository=$scratch/repository
version=$(sed -n 's/^  <version>\(.*\)<\/version>$/\1/p' "$project/pom.xml")
read -r image <"$project/target/images/current"
image=$project/target/images/$image

install() { # POM, file, option...
    pom=$1
    file=$2
    shift 2
    # shellcheck disable=SC2086
    JAVA_HOME=$java_home mvn -B -q $maven_args org.apache.maven.plugins:maven-install-plugin:3.1.4:install-file \
        -Dfile="$file" -DpomFile="$pom" -DlocalRepositoryPath="$repository" "$@"
}

installs() {
    install "$project/pom.xml" "$project/pom.xml" -Dpackaging=pom
    for name in sys core host server; do
        install "$project/$name/pom.xml" "$image/ioasis-$name-$version.jar"
        [ -s "$repository/org/ioasis/ioasis-$name/$version/ioasis-$name-$version.jar" ] || fail "the jar of $name"
        [ -s "$repository/org/ioasis/ioasis-$name/$version/ioasis-$name-$version.pom" ] || fail "the POM of $name"
    done
    [ -s "$repository/org/ioasis/ioasis/$version/ioasis-$version.pom" ] || fail "the POM that the others inherit from"
}
check "the artifacts install into a local repository" installs

# What these need of others comes from the build; a user's Maven would fetch it.
module_path=
for jar in "$image"/jackson-core-*.jar "$image"/jspecify-*.jar; do
    module_path=$module_path:$jar
done
for name in sys core host server; do
    module_path=$module_path:$repository/org/ioasis/ioasis-$name/$version
done

# Compiles one file as a module of its own, so that only what is exported can be used.
compile() { # source, module that it uses
    mkdir classes source
    # Packages without a name are for the unnamed module: the example gets one here.
    sed '1i package example;' "$1" >"source/${1##*/}"
    printf 'module example { requires %s; }\n' "$2" >source/module-info.java
    "$java_home/bin/javac" --release 25 --module-path "$module_path" -d classes source/*.java
}

example_works() {
    compile "$example" org.ioasis.server
    run "$java_home/bin/java" --module-path "$module_path:classes" --enable-native-access=org.ioasis.sys \
        --illegal-native-access=deny -m example/example.CopyFunction
    expect_status 0
    expect out "attach: OK"
    expect out "map: OK"
    expect out "copied: hello"
    expect out "not mapped: FAULT"
    expect out "address=16896"
}
check "the example compiles on exported packages and its DMA is translated" example_works

first_works() {
    compile "$project/docs/examples/FirstDma.java" org.ioasis.core
    run "$java_home/bin/java" --module-path "$module_path:classes" -m example/example.FirstDma
    expect_status 0
    expect out "attach: OK"
    expect out "map: OK"
    expect out "read: OK hello"
    expect out "write: FAULT"
    expect out "address=32768"
}
check "the first example needs the engine alone" first_works

two_devices_work() {
    compile "$project/docs/examples/TwoDevices.java" org.ioasis.host
    run "$java_home/bin/java" --module-path "$module_path:classes" -m example/example.TwoDevices
    expect_status 0
    expect out "camera: OK"
    expect out "encoder: OK picture"
    expect out "replaced: FAULT"
    expect out "held: 16 pages, unmapped: 65536"
}
check "two devices share an address space until one is replaced to another" two_devices_work

mediated_works() {
    compile "$project/docs/examples/MediatedCopy.java" org.ioasis.host
    run "$java_home/bin/java" --module-path "$module_path:classes" -m example/example.MediatedCopy
    expect_status 0
    expect out "pinned: 2"
    expect out "written: 42 43"
    expect out "unmapped: 32768, pinned: 0"
}
check "a mediated device recovers what it has pinned from its commands" mediated_works

hidden_is_hidden() {
    sed 's/IntervalStore::new/org.ioasis.iommu.UnmapWaits::new/' "$example" >CopyFunction.java
    if compile "$here/CopyFunction.java" org.ioasis.server 2>err; then
        fail "what is not public to be out of reach"
    fi
    expect err "UnmapWaits is not public"
}
check "what is not public cannot be used" hidden_is_hidden

are_short() {
    for file in "$project"/docs/examples/*.java; do
        [ "$(wc -l <"$file")" -le 50 ] || fail "${file##*/} to have at most 50 lines"
    done
}
check "the examples have at most 50 lines" are_short

finish
