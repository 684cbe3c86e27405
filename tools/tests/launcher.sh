#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The launcher: which JDK and Maven it takes, when it builds, what it leaves behind.
. "$(dirname -- "$0")/lib.sh"

bare_machine() {
    make_tree
    mkdir empty
    for command in vm test mutants fuzz stress bench install dist build format --help; do
        run env PATH="$here/empty" IOASIS_JDK_DIRS="$here/empty" "$tree/ioasis" $command
        expect_status 69
        expect err "no JDK 25 or newer"
        expect err "$here/empty: no JDK in it"
        expect err "IOASIS_JAVA_HOME"
    done
}
check "without anything every command ends with 69 and says what to do" bare_machine

no_tools_but_jdk() {
    make_tree
    mkdir empty
    for command in vm test mutants fuzz stress build format; do
        run env PATH="$here/empty" "$tree/ioasis" $command
        expect_status 69
        expect err "mvn"
    done
}
check "with a JDK alone the message names Maven" no_tools_but_jdk

search_list_is_replaced() {
    make_tree
    mkdir empty
    run env IOASIS_JAVA_HOME="$JAVA_HOME" IOASIS_JDK_DIRS="$here/empty" "$tree/ioasis" x
    expect_status 69
    run env IOASIS_JDK_DIRS='' "$tree/ioasis" x
    expect_status 69
    run env JAVA_HOME=/nonexistent IOASIS_JDK_DIRS="$here/empty:$here/jdk" "$tree/ioasis" x
    expect_status 0
    run env JAVA_HOME=/nonexistent IOASIS_JDK_DIRS="$here" "$tree/ioasis" x
    expect_status 0
    expect out "java of $here/jdk/bin/java"
}
check "IOASIS_JDK_DIRS replaces the search list, with JDKs or folders of them" search_list_is_replaced

unfit_jdks_are_listed() {
    make_tree
    make_jdk "$here/jdks/a old" 17.0.15
    make_jdk "$here/jdks/b ancient" 1.8.0_412
    make_jdk "$here/jdks/c jre" 25
    rm "$here/jdks/c jre/bin/javac"
    make_jdk "$here/jdks/d broken" 26-ea
    chmod -x "$here/jdks/d broken/bin/java"
    make_jdk "$here/jdks/e odd" 99999999999999999999
    run env IOASIS_JDK_DIRS="$here/jdks" "$tree/ioasis" x
    expect_status 69
    expect err "a old: version 17.0.15, too old"
    expect err "b ancient: version 1.8.0_412, too old"
    expect err "c jre: version 25, without bin/javac"
    expect err "d broken: version 26-ea, broken"
    expect err "e odd: not a JDK"
    make_jdk "$here/jdks/f good" 26-ea
    run env IOASIS_JDK_DIRS="$here/jdks" "$tree/ioasis" x
    expect_status 0
    expect out "java of $here/jdks/f good/bin/java"
}
check "JDKs that will not do are skipped, and listed with the reason" unfit_jdks_are_listed

order_of_jdks() {
    make_tree
    make_jdk "$here/own" 26
    make_jdk "$here/old" 17
    run env IOASIS_JAVA_HOME="$here/own" "$tree/ioasis" x
    expect out "java of $here/own/bin/java"
    run env IOASIS_JAVA_HOME="$here/old" "$tree/ioasis" x
    expect out "java of $here/jdk/bin/java"
    # A relative folder, and a link to a link on the PATH.
    run env JAVA_HOME=own "$tree/ioasis" x
    expect out "java of $here/own/bin/java"
    ln -s "$here/own/bin/javac" "$here/javac-link"
    ln -s "$here/javac-link" "$here/bin/javac"
    run env JAVA_HOME="$here/old" "$tree/ioasis" x
    expect out "java of $here/own/bin/java"
}
check "IOASIS_JAVA_HOME, then JAVA_HOME, then javac on the PATH" order_of_jdks

# What a program that prints its environment prints: started by the launcher in Java's place, and by nobody.
expect_own_environment() { # NAME=VALUE...
    run env "$@" "$tree/ioasis" host -- env
    expect_status 0
    mv out passed
    env "$@" "$here/jdk/bin/java" >own
    diff own passed || fail "the environment as it was"
    [ -s own ] || fail "an environment"
}

environment_is_the_callers() {
    make_tree
    printf '#!/bin/sh\nenv | LC_ALL=C sort\n' >"$here/jdk/bin/java"
    make_jdk "$here/old" 24
    unset JAVA_HOME
    expect_own_environment IOASIS_JAVA_HOME="$here/jdk"
    expect_own_environment IOASIS_JAVA_HOME="$here/jdk" JAVA_HOME="$here/old" IOASIS_ROOT=mine
    expect_own_environment IOASIS_JDK_DIRS="$here/jdk" JAVA_HOME= name=n root="it's \"\$HOME\" \\ and \`two\`
lines" image=i java_home=j self=s found=f exported=e rest=r version=v
}
check "the program in Java's place sees the caller's environment and nothing of the launcher's" environment_is_the_callers

unfit_maven() {
    make_tree
    make_maven "$here/bin" 3.6.3
    run "$tree/ioasis" x
    expect_status 69
    expect err "Maven 3.6.3, which is too old"
    for version in 3.8.6 3.9.0 3.10.1 4.0.0-rc-4; do
        make_maven "$here/bin" $version
        rm -rf "$tree/target"
        run "$tree/ioasis" x
        expect_status 0
    done
}
check "a Maven before 3.8.6 is refused with 69" unfit_maven

builds_when_needed() {
    make_tree
    run "$tree/ioasis" x
    expect err "first time downloads libraries"
    expect_builds 1
    run "$tree/ioasis" x
    expect_builds 1
    [ ! -s err ] || fail "nothing on stderr"
    later
    : >"$tree/app/src/test/java/MainTest.java"
    run "$tree/ioasis" x
    expect_builds 1
    : >"$tree/app/src/main/java/Main.java"
    run "$tree/ioasis" x
    expect err "building"
    expect_builds 2
    later
    : >"$tree/core/pom.xml"
    run "$tree/ioasis" x
    expect_builds 3
    later
    rm "$tree/app/src/main/java/Main.java"
    run "$tree/ioasis" x
    expect_builds 4
    run "$tree/ioasis" build
    expect_builds 4
}
check "it builds when sources or poms changed, and only then" builds_when_needed

arguments_and_status() {
    make_tree
    run env FAKE_JAVA_STATUS=42 "$tree/ioasis" vm --json 'a file' '' '*'
    expect_status 42
    expect out "<--enable-native-access=org.ioasis.sys>"
    expect out "<-XX:TieredStopAtLevel=1>"
    tail -n 5 out >last
    printf '<vm>\n<--json>\n<a file>\n<>\n<*>\n' >wanted
    cmp last wanted
}
check "arguments reach the program as they are, and its status comes back" arguments_and_status

links() {
    make_tree
    mkdir -p "some where/deep"
    ln -s ../../tree/ioasis "some where/deep/one"
    ln -s "some where/deep/one" two
    run ./two x
    expect_status 0
    cd "some where/deep"
    run env PATH=".:$PATH" one x
    expect_status 0
    cd "$tree/app"
    run sh ../ioasis x
    expect_status 0
}
check "it works through links and from any folder" links

folder_with_spaces() {
    make_tree
    mv "$tree" "$here/a tree  *"
    tree="$here/a tree  *"
    run "$tree/ioasis" x
    expect_status 0
    run "$tree/ioasis" x
    expect_status 0
    expect_builds 1
}
check "it works in a folder with spaces and stars" folder_with_spaces

failed_build() {
    make_tree
    run "$tree/ioasis" x
    later
    : >"$tree/app/src/main/java/Main.java"
    run env FAKE_MAVEN=fail "$tree/ioasis" x
    expect_status 1
    expect err "a planted error"
    expect_not err "nothing"
    expect_not out "java of"
    run "$tree/ioasis" x
    expect_status 0
    expect_builds 3
}
check "after a failed build nothing runs, and the next call builds again" failed_build

running_programs_keep_their_jars() {
    make_tree
    run "$tree/ioasis" x
    first=$(cat "$tree/target/images/current")
    later
    : >"$tree/app/src/main/java/Main.java"
    run "$tree/ioasis" x
    [ "$(cat "$tree/target/images/current")" != "$first" ] || fail "a new image"
    [ -f "$tree/target/images/$first/library.jar" ] || fail "the old image kept"
    for i in 1 2 3; do
        later
        : >"$tree/app/src/main/java/Main.java"
        run "$tree/ioasis" x
    done
    set -- "$tree"/target/images/*/
    [ $# -eq 3 ] || fail "three images, not $#"
}
check "a new build leaves the jars of running programs alone" running_programs_keep_their_jars

# The tools that a build needs, without flock.
path_without_flock() {
    mkdir "$here/few"
    for tool in sh rm mv cp mkdir rmdir mktemp sleep find sed grep sort tail date touch cat readlink kill awk; do
        found=$(command -v $tool)
        case $found in
            /*) ln -s "$found" "$here/few/$tool" ;;
        esac
    done
    few=$here/bin:$here/few
}

two_at_once() {
    FAKE_MAVEN=slow
    export FAKE_MAVEN
    "$tree/ioasis" first >one 2>&1 &
    first=$!
    "$tree/ioasis" second >two 2>&1 &
    second=$!
    one=0
    two=0
    wait $first || one=$?
    wait $second || two=$?
    cat one two
    [ $one -eq 0 ] && [ $two -eq 0 ] || fail "both to succeed"
    expect one "<first>"
    expect two "<second>"
    cat one two >both
    expect both "waiting for another build"
    expect_builds 1
}

two_at_once_with_flock() {
    make_tree
    command -v flock || skip "no flock on this machine"
    two_at_once
}
check "two at once build once" two_at_once_with_flock

two_at_once_without_flock() {
    make_tree
    path_without_flock
    PATH=$few
    two_at_once
    [ ! -e "$tree/target/lock.d" ] || fail "no lock left"
}
check "two at once build once, without flock too" two_at_once_without_flock

stale_lock() {
    make_tree
    path_without_flock
    PATH=$few
    sleep 0 &
    gone=$!
    wait $gone
    mkdir -p "$tree/target/lock.d"
    printf '%s\n' $gone >"$tree/target/lock.d/owner"
    run "$tree/ioasis" x
    expect_status 0
    expect_builds 1
}
check "the lock of a process that is gone is taken over" stale_lock

interrupted() { # signal, status
    make_tree
    FAKE_MAVEN=hang
    export FAKE_MAVEN
    # A job in the background has SIGINT ignored; what a terminal starts has not.
    (with_signals "$tree/ioasis" x) >one 2>&1 &
    launcher=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        [ ! -s "$tree/maven-pid" ] || break
        sleep 0.1
    done
    maven=$(cat "$tree/maven-pid")
    kill -s "$1" $launcher
    status=0
    wait $launcher || status=$?
    expect_status "$2"
    ! kill -0 "$maven" || fail "Maven to be gone"
    unset FAKE_MAVEN
    # What it had half done is not built upon.
    run "$tree/ioasis" x
    expect_status 0
    [ ! -e "$tree/app/target/half.class" ] || fail "no half-built class"
    expect_builds 2
}

terminated() {
    interrupted TERM 143
}
check "a terminated build leaves no process, and is not built upon" terminated

hung_up() {
    interrupted HUP 129
}
check "so does one whose terminal is gone" hung_up

control_c() {
    interrupted INT 130
}
check "Ctrl-C at build leaves no process" control_c

help_has_all_commands() {
    make_tree
    for option in --help -h help; do
        run "$tree/ioasis" $option
        expect_status 0
        for command in test mutants fuzz stress bench install dist build format; do
            expect out "  $command "
        done
    done
    expect out "<--help>"
    # The build has kept what the program said then.
    run env FAKE_JAVA_STATUS=2 "$tree/ioasis" help
    expect_status 0
    expect out "<--help>"
    rm "$tree"/target/images/*/help
    run env FAKE_JAVA_STATUS=2 "$tree/ioasis" help
    expect_status 2
    expect_not out "  mutants "
    run "$tree/ioasis" vm --help
    expect_not out "  mutants "
}
check "--help adds the commands of the source tree" help_has_all_commands

help_of_one_command() {
    make_tree
    for command in test mutants fuzz stress bench sweep install dist build format; do
        run "$tree/ioasis" help $command
        expect_status 0
        expect out "Usage: ioasis $command"
    done
    run "$tree/ioasis" build --help
    expect_status 0
    expect out "Build if the sources are newer"
    for command in build format; do
        run "$tree/ioasis" $command --frobnicate
        expect_status 2
        expect err "ioasis $command: takes no arguments, not '--frobnicate'"
    done
}
check "help says what each command of the source tree is for, and takes no word that it does not know" help_of_one_command

failed_help_is_not_kept() {
    make_tree
    # The build asks for it and fails to get it, and so does the user.
    run env FAKE_JAVA_STATUS=2 "$tree/ioasis" help
    expect_status 2
    run "$tree/ioasis" help
    expect_status 0
    expect out "  mutants "
}
check "--help that failed at the build is not kept" failed_help_is_not_kept

maven_arguments() {
    make_tree
    run env MAVEN_ARGS='-Dmaven.repo.local=/elsewhere --offline' "$tree/ioasis" x
    expect "$tree/maven-calls" "-Dmaven.repo.local=/elsewhere --offline package"
}
check "MAVEN_ARGS reaches Maven" maven_arguments

no_build() {
    make_tree
    run env IOASIS_NO_BUILD=1 "$tree/ioasis" x
    expect_status 69
    run "$tree/ioasis" x
    later
    : >"$tree/app/src/main/java/Main.java"
    run env IOASIS_NO_BUILD=1 "$tree/ioasis" x
    expect_status 0
    expect_builds 1
}
check "IOASIS_NO_BUILD runs what was built last" no_build

read_only() {
    make_tree
    run "$tree/ioasis" x
    chmod -R a-w "$tree"
    run "$tree/ioasis" x
    chmod -R u+w "$tree"
    expect_status 0
}
check "what is built runs in a tree that cannot be written" read_only

finish
