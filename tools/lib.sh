# SPDX-License-Identifier: Apache-2.0
# Shared by the launcher and the tools: the lock, Maven, and the build with its images. Read with ".", after
# IOASIS_ROOT, JAVA_HOME and `set -eu` are set.
#
# What runs is never what Maven writes: a good build is copied into a new folder target/images/NAME, and only then
# target/images/current, which names it, is exchanged. So a build that fails or is interrupted is never run, and
# programs that run keep their jars while the next build goes on.

root=$IOASIS_ROOT
images=$root/target/images
unavailable=69
child=
held_lock=

say() {
    printf '%s\n' "$*" >&2
}

nap() {
    sleep 0.2 2>/dev/null || sleep 1
}

# Ends what was started here, then dies of the same signal, so that the caller sees it.
on_signal() { # name
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill -s TERM "$child" 2>/dev/null || :
        wait "$child" 2>/dev/null || :
    fi
    give_lock
    at_exit || :
    trap - "$1" EXIT
    kill -s "$1" $$
}

# What a tool cleans up when it ends, whatever the reason; a tool may define its own.
at_exit() {
    :
}

trap 'on_signal INT' INT
trap 'on_signal TERM' TERM
trap 'on_signal HUP' HUP

# One build or test run at a time in a tree. With flock the lock ends with the last process that holds it, Maven
# included; without it a folder is the lock and names its owner, and a lock whose owner is gone is taken over.
take_lock() {
    if ! mkdir -p "$root/target" 2>/dev/null || ! [ -w "$root/target" ]; then
        say "ioasis: cannot write to $root/target, where the build goes."
        exit 73
    fi
    waited=
    while ! try_lock; do
        if [ -z "$waited" ]; then
            say "ioasis: waiting for another build or test run in $root ..."
            waited=1
        fi
        nap
    done
}

try_lock() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$root/target/lock"
        flock -n 9 || return 1
        held_lock=flock
        return 0
    fi
    if mkdir "$root/target/lock.d" 2>/dev/null; then
        printf '%s\n' $$ >"$root/target/lock.d/owner"
        held_lock=folder
        return 0
    fi
    owner=
    read -r owner 2>/dev/null <"$root/target/lock.d/owner" || :
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
        # The rename succeeds for one of those who see the dead owner.
        if mv "$root/target/lock.d" "$root/target/lock.dead.$$" 2>/dev/null; then
            rm -rf "$root/target/lock.dead.$$"
        fi
    fi
    return 1
}

give_lock() {
    case $held_lock in
        flock) exec 9>&- ;;
        folder) rm -rf "$root/target/lock.d" ;;
    esac
    held_lock=
}

# Succeeds if the dotted numbers of $1 are at least $2.$3.$4.
at_least() {
    v=$1.0.0
    a=${v%%.*}
    v=${v#*.}
    b=${v%%.*}
    v=${v#*.}
    c=${v%%.*}
    [ "$a" -gt "$2" ] || { [ "$a" -eq "$2" ] && { [ "$b" -gt "$3" ] || { [ "$b" -eq "$3" ] && [ "$c" -ge "$4" ]; }; }; }
}

# Ends with 69 unless a Maven that will do is on the PATH.
need_maven() {
    how="Install Maven 3.8.6 or newer (the package maven of your distribution) so that mvn is on the PATH."
    if ! command -v mvn >/dev/null 2>&1; then
        say "ioasis: Maven is needed to build, and there is no mvn on the PATH. $how"
        exit $unavailable
    fi
    for tool in find sed awk grep tail sort date touch mktemp rm mv cp mkdir sleep; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            say "ioasis: $tool is needed to build and is not on the PATH. Install your system's basic tools."
            exit $unavailable
        fi
    done
    version=$(mvn --version 2>/dev/null | sed -n 's/.*Apache Maven \([0-9][0-9.]*\).*/\1/p' | sed 1q) || version=
    version=${version%.}
    if [ -z "$version" ]; then
        say "ioasis: mvn --version of $(command -v mvn) did not answer. $how"
        exit $unavailable
    fi
    if ! at_least "$version" 3 8 6; then
        say "ioasis: $(command -v mvn) is Maven $version, which is too old. $how"
        exit $unavailable
    fi
}

# Runs Maven in the folder of the tree with its output in a file, and calls `tick` about five times a second. A signal
# to this shell ends Maven first. The status is Maven's.
run_maven() { # log, argument...
    log=$1
    shift
    (
        cd "$root"
        MAVEN_OPTS="${MAVEN_OPTS:+$MAVEN_OPTS }--sun-misc-unsafe-memory-access=allow"
        # Java takes the home folder from the list of users, where service users have none.
        if [ -n "${HOME-}" ] && [ -d "$HOME" ]; then
            MAVEN_OPTS="$MAVEN_OPTS -Duser.home=$HOME"
        fi
        export MAVEN_OPTS
        # Maven before 3.9 does not read MAVEN_ARGS; passed here, it works with every version, and only once.
        extra=${MAVEN_ARGS-}
        unset MAVEN_ARGS
        set -f
        # shellcheck disable=SC2086
        exec mvn -B -ntp -Dstyle.color=never $extra "$@"
    ) >"$log" 2>&1 </dev/null &
    child=$!
    await_child "$log"
}

# Waits for what was started in the background and calls `tick` about five times a second. The status is the child's.
await_child() { # log
    while kill -0 "$child" 2>/dev/null; do
        nap
        tick "$1"
    done
    status=0
    wait "$child" || status=$?
    child=
    return $status
}

# While something long runs: every ten seconds a line with the module that is being worked on.
began=0
told=0
tick() { # log
    now=$(date +%s)
    if [ $((now - told)) -ge 10 ]; then
        told=$now
        module=$(sed -n 's/.*Building ioasis-\([a-z]*\) .*/\1/p' "$1" | tail -n 1)
        say "ioasis: still building${module:+: $module} ($((now - began)) s)"
    fi
}

start_ticking() {
    began=$(date +%s)
    told=$began
}

# The part of Maven's log that says what went wrong.
show_log() { # log
    # Maven colours what it says before it has read its options.
    escape=$(printf '\033')
    sed -e "s/$escape\\[[0-9;]*m//g" -e 's/ -> \[Help 1\]$//' "$1" >"$1.plain"
    if grep -q '^\[ERROR\]' "$1.plain"; then
        grep '^\[ERROR\]' "$1.plain" | grep -v -e 'To see the full stack trace' -e 'Re-run Maven' -e 'For more information' \
            -e '^\[ERROR\] *$' -e '^\[ERROR\] \[Help' -e 'After correcting the problems' -e '-rf :' | sed 60q >&2 || :
    else
        tail -n 40 "$1.plain" >&2
    fi
    rm -f "$1.plain"
    say "The whole log: $1"
}

is_fresh() {
    [ -r "$images/current" ] || return 1
    [ -d "$(current_image)" ] || return 1
    # Without find nothing could be built either: run what is there.
    command -v find >/dev/null 2>&1 || return 0
    set -- "$root/pom.xml" "$root"/*/pom.xml "$root/.mvn" "$root"/*/src/main
    [ -z "$(find "$@" -newer "$images/current" 2>/dev/null)" ]
}

current_image() {
    name=
    read -r name <"$images/current" || :
    printf '%s\n' "$images/${name:-none}"
}

# Builds and installs an image if the sources are newer than the last one.
build() {
    if [ -n "${IOASIS_NO_BUILD-}" ]; then
        if ! [ -r "$images/current" ]; then
            say "ioasis: nothing is built, and IOASIS_NO_BUILD forbids to build."
            exit $unavailable
        fi
        return 0
    fi
    is_fresh && return 0
    need_maven
    take_lock
    if ! is_fresh; then
        build_locked
    fi
    give_lock
}

build_locked() {
    if [ -e "$images/current" ]; then
        say "ioasis: building ..."
    else
        say "ioasis: building (the first time downloads libraries) ..."
    fi
    discard_interrupted
    mkdir -p "$images"
    # Sources that change while Maven runs are newer than this file.
    : >"$images/started"
    rm -rf "$root"/app/target/modules "$root"/app/target/classpath "$root"/app/target/ioasis-app-*.jar "$root"/compare/target/ioasis-compare-*.jar
    start_ticking
    status=0
    run_maven "$root/target/build.log" package -Dmaven.test.skip=true -pl compare -am || status=$?
    rm -f "$root/target/unfinished"
    if [ $status -ne 0 ]; then
        say "ioasis: the build failed:"
        show_log "$root/target/build.log"
        exit 1
    fi
    install_image
}

# A build that was killed may leave half a class file that looks up to date: then all is built again.
discard_interrupted() {
    if [ -e "$root/target/unfinished" ]; then
        for pom in "$root"/*/pom.xml; do
            rm -rf "${pom%/pom.xml}/target"
        done
    fi
    mkdir -p "$root/target"
    : >"$root/target/unfinished"
}

# What the JVM keeps of a start (JEP 514), for this very JDK. A file that does not fit is as good as none.
start_cache() { # image
    printf '%s\n' "$1/start-$(printf '%s' "$JAVA_HOME" | cksum | tr ' ' -).aot"
}

# Starts a server once, so that later starts find what it has loaded; without it they only take longer.
make_start_cache() { # image
    folder=$(mktemp -d "${TMPDIR:-/tmp}/ioasis.XXXXXX") || return 0
    cache=$(start_cache "$1")
    (
        cd "$folder"
        # As the launcher starts it: with other words the cache would not fit.
        exec "$JAVA_HOME/bin/java" -XX:AOTCacheOutput="$cache" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
            --module-path "$1" --class-path "$1/classpath/*" --enable-native-access=org.ioasis.sys -m org.ioasis.app/org.ioasis.cli.Main \
            serve --iommu i --rng r
    ) >"$folder/said" 2>&1 </dev/null &
    child=$!
    waited=0
    while kill -0 "$child" 2>/dev/null && [ $waited -lt 100 ] && ! grep -q '^control' "$folder/said" 2>/dev/null; do
        waited=$((waited + 1))
        nap
    done
    kill -s TERM "$child" 2>/dev/null || :
    wait "$child" 2>/dev/null || :
    child=
    rm -rf "$folder"
}

install_image() {
    name=$(date +%Y%m%dT%H%M%S).$$
    mkdir "$images/$name"
    cp "$root"/app/target/modules/*.jar "$root"/app/target/ioasis-app-*.jar "$root"/compare/target/ioasis-compare-*.jar \
        "$images/$name/"
    cp -r "$root/app/target/classpath" "$images/$name/"
    for jar in "$images/$name"/picocli-*.jar; do
        # What reads the options is most of a short command, and in the format that it has the JVM would not keep it.
        [ ! -f "$jar" ] || "$JAVA_HOME/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC "$root/tools/NewFormat.java" "$jar" ||
            say "ioasis: ${jar##*/} is kept as it is: commands take longer to start."
    done
    make_start_cache "$images/$name"
    "$JAVA_HOME/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC --module-path "$images/$name" \
        --enable-native-access=org.ioasis.sys -m org.ioasis.app/org.ioasis.cli.Main --help >"$images/$name/help" ||
        rm -f "$images/$name/help"
    printf '%s\n' "$name" >"$images/next"
    touch -r "$images/started" "$images/next"
    mv "$images/next" "$images/current"
    rm -f "$images/started"
    # The two before this one may still be in use.
    set -- "$images"/*.[0-9]*/
    while [ $# -gt 3 ]; do
        rm -rf "$1"
        shift
    done
}

format() {
    need_maven
    take_lock
    start_ticking
    if ! run_maven "$root/target/format.log" spotless:apply -Psweep; then
        show_log "$root/target/format.log"
        exit 1
    fi
    give_lock
}
