# SPDX-License-Identifier: Apache-2.0
# For the shell tests: read with ".". Each test is a function; `check NAME FUNCTION` runs it in a shell of its own that
# stops at the first command that fails, and prints "ok NAME" or "not ok NAME" with what it wrote.
#
# The launcher and the tools are tested in small trees made here, with a JDK and a Maven that are scripts: they do in a
# moment what the real ones do, write down how they were called, and can fail or hang on demand.

project=$(CDPATH='' cd -P -- "$(dirname -- "$0")/../.." && pwd -P)
own_java=${JAVA_HOME-}

# Runs a command in the place of this shell with SIGHUP, SIGINT and SIGTERM as a terminal leaves them. What was ignored
# when a shell began (nohup, a job in the background) it cannot take back itself; env of coreutils 8.31 and newer can,
# and Java can anywhere.
with_signals() { # command...
    if env --default-signal=HUP,INT,TERM true 2>/dev/null; then
        exec env --default-signal=HUP,INT,TERM "$@"
    fi
    exec "$own_java/bin/java" --enable-native-access=ALL-UNNAMED "$project/tools/DefaultSignals.java" "$@"
}

# The tests send signals: they begin anew without those that whoever started them ignores.
if [ -z "${IOASIS_DEFAULT_SIGNALS-}" ]; then
    IOASIS_DEFAULT_SIGNALS=1
    export IOASIS_DEFAULT_SIGNALS
    with_signals sh "$0" "$@"
fi
unset IOASIS_DEFAULT_SIGNALS

scratch=$(mktemp -d "${TMPDIR:-/tmp}/ioasis shell.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Nothing that the caller has set may change what is tested.
unset IOASIS_ROOT IOASIS_NO_BUILD IOASIS_JAVA_HOME IOASIS_JDK_DIRS JAVA_HOME MAVEN_ARGS MAVEN_OPTS CDPATH

number=0
failures=0
check() { # name, function
    number=$((number + 1))
    here=$scratch/$number
    mkdir "$here"
    (
        set -e
        cd "$here"
        "$2"
    ) >"$here.log" 2>&1
    status=$?
    if [ $status -eq 0 ]; then
        printf 'ok %s\n' "$1"
    elif [ $status -eq 77 ]; then
        printf 'skip %s: %s\n' "$1" "$(tail -n 1 "$here.log")"
    else
        failures=$((failures + 1))
        printf 'not ok %s\n' "$1"
        sed 's/^/    /' "$here.log"
    fi
}

finish() {
    [ $failures -eq 0 ]
    exit
}

fail() {
    printf 'expected: %s\n' "$*"
    exit 1
}

skip() {
    printf '%s\n' "$*"
    exit 77
}

# Runs a command that may fail (with variables: run env NAME=VALUE command); leaves its status in $status and what it wrote in out and err.
run() {
    status=0
    "$@" >out 2>err </dev/null || status=$?
    printf '$ %s\n' "$*"
    cat out err
    printf '(status %s)\n' $status
}

expect_status() {
    [ "$status" -eq "$1" ] || fail "status $1, not $status"
}

expect() { # file, text that one of its lines holds
    grep -q -F -e "$2" "$1" || fail "'$2' in $1"
}

expect_not() { # file, text
    ! grep -q -F -e "$2" "$1" || fail "no '$2' in $1"
}

# A JDK that prints how java was called and ends as FAKE_JAVA_STATUS says.
make_jdk() { # folder, version
    mkdir -p "$1/bin"
    printf 'IMPLEMENTOR="nobody"\nJAVA_VERSION="%s"\n' "$2" >"$1/release"
    cat >"$1/bin/java" <<'END'
#!/bin/sh
printf 'java of %s\n' "$0"
for argument; do
    printf '<%s>\n' "$argument"
done
exit "${FAKE_JAVA_STATUS:-0}"
END
    printf '#!/bin/sh\n' >"$1/bin/javac"
    chmod +x "$1/bin/java" "$1/bin/javac"
}

# A Maven that packages what the launcher needs; FAKE_MAVEN can be fail, hang or slow, or a script for the tests to run.
make_maven() { # folder of mvn, version
    mkdir -p "$1"
    cat >"$1/mvn" <<END
#!/bin/sh
if [ "\$1" = --version ]; then
    printf '\033[1mApache Maven %s (0)\033[m\n' "$2"
    exit 0
fi
END
    cat >>"$1/mvn" <<'END'
printf '%s\n' "$*" >>maven-calls
case ${FAKE_MAVEN-} in
    fail)
        printf '[INFO] nothing\n[ERROR] Planted.java:[1,2] a planted error\n'
        exit 1
        ;;
    hang)
        printf '%s\n' $$ >maven-pid
        mkdir -p app/target
        : >app/target/half.class
        exec sleep 60
        ;;
    slow)
        mkdir maven-runs || exit 1
        sleep 1
        rmdir maven-runs
        ;;
    /*) "$FAKE_MAVEN" "$@" || exit ;;
esac
case " $* " in
    *" package "* | *" verify "*)
        mkdir -p app/target/modules app/target/classpath compare/target
        : >app/target/modules/library.jar
        : >app/target/ioasis-app-1.jar
        : >compare/target/ioasis-compare-1.jar
        ;;
esac
END
    chmod +x "$1/mvn"
}

# A tree with the launcher and the tools of this project and sources of no content, in the folder "tree".
make_tree() {
    tree=$here/tree
    mkdir -p "$tree/tools/tests" "$tree/.mvn" "$tree/app/src/main/java" "$tree/app/src/test/java" "$tree/core/src/main/java"
    cp -p "$project/ioasis" "$tree/"
    cp -p "$project"/tools/*.sh "$tree/tools/"
    printf '<project><modules>\n<module>core</module>\n<module>app</module>\n</modules></project>\n' >"$tree/pom.xml"
    printf '<project/>\n' >"$tree/core/pom.xml"
    printf '<project/>\n' >"$tree/app/pom.xml"
    : >"$tree/app/src/main/java/Main.java"
    printf 'target/\n' >"$tree/.gitignore"
    make_jdk "$here/jdk" 25.0.3
    make_maven "$here/bin" 3.8.7
    JAVA_HOME=$here/jdk
    PATH=$here/bin:$PATH
    TMPDIR=$here
    export JAVA_HOME PATH TMPDIR
}

maven_calls() {
    if [ -f "$tree/maven-calls" ]; then
        grep -c . "$tree/maven-calls"
    else
        echo 0
    fi
}

expect_builds() {
    [ "$(maven_calls)" -eq "$1" ] || fail "$1 builds, not $(maven_calls)"
}

# Makes the next change of a file newer than the last build on file systems with coarse times as well.
later() {
    sleep 0.05 2>/dev/null || sleep 1
}
