#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What embedders and authors of devices do: the artifacts are installed into a Maven repository of the test's own, each
# example compiles against them and does what it says, and docs/embedding.md is followed from an empty folder, its files and
# its commands as they stand there. Runs what is built; the repository stays in target/, so that what is not of ours is
# downloaded once.
java_home=${JAVA_HOME:?is to be a JDK 25 or newer}
maven_args=${MAVEN_ARGS-}
. "$(dirname -- "$0")/lib.sh"
IOASIS_NO_BUILD=1
export IOASIS_NO_BUILD

example=$project/docs/examples/CopyFunction.java
document=$project/docs/embedding.md
repository=$project/target/embedding/repository
version=$(sed -n 's/^  <version>\(.*\)<\/version>$/\1/p' "$project/pom.xml")
read -r image <"$project/target/images/current"
image=$project/target/images/$image

# As an author has them on the PATH: the JDK, Maven with its repository, and the launcher.
mkdir "$scratch/bin"
maven=$(command -v mvn)
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "%s" -B -ntp -q %s "-Dmaven.repo.local=%s" "$@"\n' "$maven" "$maven_args" "$repository" >"$scratch/bin/mvn"
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec "%s/ioasis" "$@"\n' "$project" >"$scratch/bin/ioasis"
chmod +x "$scratch/bin/mvn" "$scratch/bin/ioasis"

installs() {
    rm -rf "$repository/org/ioasis"
    JAVA_HOME=$java_home MAVEN_ARGS=$maven_args run "$project/ioasis" install "$repository"
    expect_status 0
    for name in sys core host server machine; do
        folder=$repository/org/ioasis/ioasis-$name/$version
        for file in .jar .pom -sources.jar -javadoc.jar; do
            [ -s "$folder/ioasis-$name-$version$file" ] || fail "ioasis-$name-$version$file"
        done
        expect out "org.ioasis:ioasis-$name:$version"
    done
    [ -s "$repository/org/ioasis/ioasis/$version/ioasis-$version.pom" ] || fail "the POM that the others inherit from"
}
check "the artifacts install into a repository, with sources and Javadoc" installs

javadoc_is_of_the_api() {
    folder=$repository/org/ioasis
    "$java_home/bin/jar" --list --file "$folder/ioasis-machine/$version/ioasis-machine-$version-javadoc.jar" >machine
    expect machine "org.ioasis.machine/org/ioasis/testkit/MockGuest.html"
    "$java_home/bin/jar" --list --file "$folder/ioasis-server/$version/ioasis-server-$version-javadoc.jar" >server
    expect server "org/ioasis/pci/DmaFunction.html"
    expect_not server "org/ioasis/program/Supervisor.html"
    "$java_home/bin/jar" --list --file "$folder/ioasis-server/$version/ioasis-server-$version-sources.jar" >sources
    expect sources "org/ioasis/pci/DmaFunction.java"
}
check "Javadoc is of what is exported, sources are of all" javadoc_is_of_the_api

wrong_arguments_install_nothing() {
    JAVA_HOME=$java_home run "$project/ioasis" install a b
    expect_status 2
    expect err "one FOLDER, not a b"
    JAVA_HOME=$java_home run "$project/ioasis" install --nonsense
    expect_status 2
    expect err "unknown argument --nonsense"
    [ ! -e a ] || fail "no folder a"
}
check "wrong arguments install nothing" wrong_arguments_install_nothing

# What these need of others comes from the build; a user's Maven would fetch it.
module_path=
for jar in "$image"/jackson-core-*.jar "$image"/jspecify-*.jar; do
    module_path=$module_path:$jar
done
for name in sys core host server; do
    module_path=$module_path:$repository/org/ioasis/ioasis-$name/$version/ioasis-$name-$version.jar
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
    expect out " at 0x4200"
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
    expect out " at 0x8000"
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

# The files of the document: blocks with a name behind their language.
files_of() { # document
    awk '
        /^```[a-z]+ +[^ ]+ *$/ {
            file = $2
            folder = file
            if (sub("/[^/]*$", "", folder)) system("mkdir -p " folder)
            next
        }
        /^```/ { if (file != "") close(file); file = ""; next }
        file != "" { print > file }' "$1"
}

# The commands of the document: blocks of sh without a name.
commands_of() { # document
    awk '/^```sh *$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$1"
}

# A command of the document as it stands there; one that this does not know fails.
follow() { # command
    line=$1
    printf '+ %s\n' "$line"
    case $line in
        # Above, into the repository that Maven has here.
        './ioasis install') ;;
        'mvn package')
            mvn package
            [ "$(grep -c 'tests="2" errors="0" skipped="0" failures="0"' target/surefire-reports/TEST-checksum.ChecksumTest.xml)" = 1 ] ||
                fail "the author's unit test to pass"
            expect target/surefire-reports/TEST-checksum.UpperTest.xml 'tests="1" errors="0" skipped="0" failures="0"'
            ls target/lib >libraries
            for name in picocli tomlj xz ioasis-app; do
                expect_not libraries "$name"
            done
            ;;
        'java '*checksum.First)
            run sh -c "$line"
            expect_status 0
            expect out "read: OK hello"
            expect out "write: FAULT"
            expect out "without WRITE permission"
            expect_not err WARNING
            ;;
        'java '*checksum.Serve)
            # Its input ends at once, and so does it.
            run sh -c "$line"
            expect_status 0
            expect out "file=$PWD/checksum.viot"
            expect out "\"path\":\"$PWD/checksum.sock\""
            expect_not err WARNING
            [ ! -e checksum.sock ] && [ ! -e iommu.sock ] || fail "the sockets to be gone"
            rm checksum.viot
            ;;
        'ioasis serve '*)
            with_signals sh -c "exec $line" >said 2>log &
            server=$!
            tries=0
            until grep -q '^control' said 2>/dev/null; do
                tries=$((tries + 1))
                [ $tries -lt 300 ] && kill -0 $server || fail "a server: $(cat said log)"
                sleep 0.1
            done
            ioasis dump >dumped
            kill -s TERM $server
            wait $server
            expect said "ready machine/device0 $PWD/checksum.sock"
            expect dumped "device0, endpoint 0x88"
            expect dumped "does not let it touch memory (COMMAND.MASTER is 0)"
            ;;
        'ioasis host '*' -- ./driver')
            printf '%s\n' '#include <fcntl.h>' \
                'int main(void) { return open("/dev/vfio/devices/vfio0", O_RDWR) < 0; }' >own.c
            cc -o driver own.c
            run sh -c "$line"
            expect_status 0
            expect calls.txt /dev/vfio/devices/vfio0
            rm calls.txt own.c driver
            ;;
        *) fail "a command that this test knows" ;;
    esac
}

author_from_an_empty_folder() {
    JAVA_HOME=$java_home
    PATH=$scratch/bin:$java_home/bin:$PATH
    export JAVA_HOME PATH
    files_of "$document"
    for file in pom.xml src/main/java/module-info.java src/test/java/checksum/ChecksumTest.java driver.c guest.sh; do
        [ -s "$file" ] || fail "$file in the document"
    done
    commands_of "$document" >commands
    [ "$(grep -c . commands)" -eq 8 ] || fail "eight commands: $(cat commands)"
    while IFS= read -r command <&3; do
        follow "$command"
    done 3<commands
    lines=$(cat src/main/java/checksum/Checksum.java src/main/java/checksum/Serve.java | grep -c '')
    [ "$lines" -le 50 ] || fail "device and server in 50 lines, not $lines"
    cc -static -Wall -Werror -o driver driver.c
    sh -n guest.sh
}
check "an author follows the document from an empty folder" author_from_an_empty_folder

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
