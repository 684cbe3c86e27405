#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every test there is: the build, the shell tests, then the tests of all modules in one Maven run. Modules run one after
# the other and the guest's come last, so that a virtual machine never shares the processors with a build. The last
# line is the sum over everything: "N passed, N failed, N skipped". A run of everything is also compared with the budget,
# the table in CONTRIBUTING.md.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" test "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis test [--budget FACTOR]
       ioasis test --quick
       ioasis test MODULE|shell|TEST...
Runs every test, or those of modules (folders such as core), the shell tests (shell), or test classes by name
(FooTest, FooTest#method). Ends with 'N passed, N failed, N skipped'; the status is 0 only if nothing failed.
--quick runs the tests without a guest and one with one, for the inner loop: six minutes on two quiet cores.
--budget makes a part that takes longer than FACTOR times its limit (the table in CONTRIBUTING.md) a failure; without
it what each part took is printed and nothing more, since a busy machine is no fault of the tests."

# What --quick runs where a guest is needed.
quick_cell=QuickCellTest

modules=
classes=
shell_tests=
quick=
factor=
narrowed=
sweeps=
while [ $# -gt 0 ]; do
    argument=$1
    shift
    case $argument in
        --quick)
            quick=1
            continue
            ;;
        --budget)
            case ${1-} in
                [1-9] | [1-9][0-9]) factor=$1 ;;
                *)
                    say "ioasis test: --budget needs a factor of 1 to 99"
                    exit 2
                    ;;
            esac
            shift
            continue
            ;;
    esac
    narrowed=1
    case $argument in
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        -*)
            say "ioasis test: unknown option $argument"
            say "$usage"
            exit 2
            ;;
        shell) shell_tests=1 ;;
        *)
            if [ -f "$root/$argument/pom.xml" ]; then
                modules="$modules $argument"
            else
                # One that is nowhere would be looked for in all modules first, for minutes.
                simple=${argument%%#*}
                simple=${simple##*.}
                simple=${simple%%\$*}
                case $simple in
                    *[*?!]*) ;;
                    *)
                        if [ -n "$(find "$root/sweep/src/test" "$root/guest/src/test" -name 'Sweep*' -name "$simple.java" 2>/dev/null)" ]; then
                            sweeps=1
                        elif [ -z "$(find "$root" -path '*/src/test/java/*' -name "$simple.java" 2>/dev/null)" ]; then
                            say "ioasis test: there is no module and no test class $argument"
                            exit 2
                        fi
                        ;;
                esac
                classes="$classes${classes:+,}$argument"
            fi
            ;;
    esac
done
if [ -n "$narrowed" ] && [ -n "$quick$factor" ]; then
    say "ioasis test: --quick and --budget are for a run without names"
    exit 2
elif [ -n "$quick" ] && [ -n "$factor" ]; then
    say "ioasis test: --budget is about everything, and --quick is not"
    exit 2
elif [ -z "$narrowed$quick" ]; then
    shell_tests=1
fi

need_maven
work=$(mktemp -d "${TMPDIR:-/tmp}/ioasis-test.XXXXXX")
at_exit() {
    rm -rf "$work"
    give_lock
}
trap at_exit EXIT

passed=0
failed=0
skipped=0
: >"$work/notes"
: >"$work/times"
: >"$work/spent"

note() {
    printf '%s\n' "$*" >>"$work/notes"
}

fail() {
    failed=$((failed + 1))
    note "FAILED   $*"
}

took() { # what, seconds
    printf '  %-10s %s s\n' "$1" "$2" >>"$work/times"
}

# Whole seconds of a time as Maven gives it: "3.456 s", "01:02 min", "01:02 h".
seconds_of() { # time, unit
    case $1 in
        *:*) set -- "${1%%:*}" "${1##*:}" "$2" ;;
        *) set -- 0 "${1%%.*}" s ;;
    esac
    # A leading zero would make it octal.
    set -- "${1#0}" "${2#0}" "$3"
    case $3 in
        h) printf '%d\n' $((${1:-0} * 3600 + ${2:-0} * 60)) ;;
        *) printf '%d\n' $((${1:-0} * 60 + ${2:-0})) ;;
    esac
}

spent() { # part, seconds
    printf '%s %s\n' "$1" "$2" >>"$work/spent"
}

# The rows "| part | N s | ..." of the table below the heading "Budget", as "part N".
budget() {
    [ -f "$root/CONTRIBUTING.md" ] || return 0
    sed -n '/^## Budget/,/^## [^B]/s/^| *\([a-z ]*[a-z]\) *| *\([0-9][0-9]*\) s *|.*/\1=\2/p' "$root/CONTRIBUTING.md"
}

# What each part may take and took. A part that took more than the factor that was asked for is a failure.
check_budget() { # seconds in all
    known=0
    while read -r part time; do
        known=$((known + time))
    done <"$work/spent"
    spent rest $(($1 > known ? $1 - known : 0))
    spent all "$1"
    budget >"$work/budget"
    [ -s "$work/budget" ] || return 0
    printf 'budget:\n  %-10s %7s %7s\n' part limit took
    while IFS='=' read -r part limit; do
        time=$(awk -v part="$part" '$1 == part { sum += $2 } END { print sum + 0 }' "$work/spent")
        over=
        [ "$time" -le "$limit" ] || over='  over its limit'
        printf '  %-10s %5s s %5s s%s\n' "$part" "$limit" "$time" "$over"
        if [ -n "$factor" ] && [ "$time" -gt $((limit * factor)) ]; then
            fail "budget: $part took $time s and may take $factor times $limit s"
        fi
    done <"$work/budget"
}

# The modules whose tests need nothing but a JVM: those above guest in the parent pom.
plain_modules() {
    all_modules | sed '/^guest$/,$d'
}

# All modules in the order of the parent pom.
all_modules() {
    sed -n 's/.*<module>\(.*\)<\/module>.*/\1/p' "$root/pom.xml"
}

# The names by which Maven finds a test class.
test_sources() { # module
    [ -d "$root/$1/src/test/java" ] || return 0
    (cd "$root/$1/src/test/java" && find . -name '*.java' | sed 's|^\./||' | sort)
}

is_test_name() {
    case ${1##*/} in
        Test*.java | *Test.java | *Tests.java | *TestCase.java) return 0 ;;
    esac
    return 1
}

is_abstract() { # file
    grep -q -E '^(public |sealed |non-sealed )*(abstract class|interface) ' "$1"
}

class_name() { # path of a source below src/test/java
    printf '%s\n' "${1%.java}" | tr / .
}

# The lines of a test report that count, as "tests failures errors skipped" per suite and the names of what did not pass.
read_reports() { # report...
    awk '
        function attribute(name,    rest) {
            rest = $0
            if (!match(rest, "[ \t]" name "=\"[^\"]*\"")) return ""
            rest = substr(rest, RSTART, RLENGTH)
            sub(/^[^"]*"/, "", rest)
            sub(/"$/, "", rest)
            return rest
        }
        /^[ \t]*<testsuite[ \t]/ {
            print "SUITE", attribute("tests"), attribute("failures"), attribute("errors"), attribute("skipped")
        }
        /^[ \t]*<testcase[ \t]/ { test = attribute("classname") "#" attribute("name") }
        /^[ \t]*<skipped/ { print "SKIPPED", test }
        /^[ \t]*<(failure|error)[ \t>\/]/ { print "FAILED", test ": " substr(attribute("message"), 1, 300) }
    ' "$@" | sed 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&#10;/ /g; s/&apos;/'"'"'/g; s/&amp;/\&/g'
}

sum_reports() { # module
    set -- "$1" "$root/$1"/target/surefire-reports/TEST-*.xml
    module=$1
    shift
    [ -e "$1" ] || return 0
    read_reports "$@" >"$work/report"
    while read -r kind rest; do
        case $kind in
            SUITE)
                # shellcheck disable=SC2086
                set -- $rest
                if [ $# -ne 4 ]; then
                    fail "$module: a test report without counts"
                    continue
                fi
                passed=$((passed + $1 - $2 - $3 - $4))
                failed=$((failed + $2 + $3))
                skipped=$((skipped + $4))
                ;;
            SKIPPED) note "skipped  $module $rest" ;;
            FAILED) note "FAILED   $module $rest" ;;
        esac
    done <"$work/report"
}

# A test class that left no report did not run, and one that Maven does not know by its name never will.
check_reports() { # module
    test_sources "$1" >"$work/sources"
    while read -r source; do
        file=$root/$1/src/test/java/$source
        name=$(class_name "$source")
        if is_abstract "$file"; then
            continue
        elif is_test_name "$source"; then
            if [ -z "$(find "$root/$1/target/surefire-reports" -name "TEST-$name.xml" -o -name "TEST-$name\$*.xml" \
                2>/dev/null)" ]; then
                fail "$1 $name: did not run (no report)"
            fi
        elif grep -q -E '^ *@(Test|ParameterizedTest|RepeatedTest|TestFactory)\b' "$file"; then
            fail "$1 $name: has tests, but Maven only runs classes named ...Test"
        fi
    done <"$work/sources"
}

# Each module as it begins, and every twenty seconds the class that is being run.
tell_tests() { # log
    now=$(date +%s)
    [ $((now - told)) -ge 2 ] || return 0
    set -- "$(sed -n 's/.*Building ioasis-\([a-z]*\) .*/\1/p' "$1" | tail -n 1)" \
        "$(sed -n 's/^\[INFO\] Running \([A-Za-z0-9_.$]*\).*/\1/p' "$1" | tail -n 1)"
    if [ -n "$1" ] && { [ "$1" != "${module_told-}" ] || [ $((now - told)) -ge 20 ]; }; then
        told=$now
        if [ "$1" != "${module_told-}" ]; then
            say "  $1 ..."
        else
            say "  $1: still at it, $2 ($((now - began)) s)"
        fi
        module_told=$1
    fi
}

run_shell_tests() {
    for script in "$root"/tools/tests/*.sh; do
        case $script in
            */lib.sh) continue ;;
        esac
        name=${script##*/}
        say "  $name ..."
        status=0
        # Waited for, and not called: so a signal to this run is acted upon at once.
        sh "$script" >"$work/shell" 2>"$work/shell.err" </dev/null &
        child=$!
        wait "$child" || status=$?
        child=
        results=0
        bad=0
        while IFS= read -r line; do
            case $line in
                'ok '*) passed=$((passed + 1)) ;;
                'not ok '*)
                    fail "$name ${line#not ok }"
                    bad=1
                    ;;
                'skip '*)
                    skipped=$((skipped + 1))
                    note "skipped  $name ${line#skip }"
                    ;;
                *) continue ;;
            esac
            results=$((results + 1))
        done <"$work/shell"
        if [ $results -eq 0 ] || { [ $status -ne 0 ] && [ $bad -eq 0 ]; }; then
            fail "$name: ended with status $status after $results results"
            bad=1
        fi
        if [ $bad -ne 0 ]; then
            grep -v '^ok ' "$work/shell" >&2 || :
            cat "$work/shell.err" >&2
        fi
    done
}

# The time of each module as Maven gives it at the end.
module_times() { # log
    sed -n 's/^\[INFO\] ioasis-\([a-z]*\) \.* *\(SUCCESS\|FAILURE\) \[ *\([^]]*\)\]$/\1 \3/p' "$1" |
        while read -r name time unit; do
            case $name in
                guest | stress) spent "$name" "$(seconds_of "$time" "$unit")" ;;
                *) spent unit "$(seconds_of "$time" "$unit")" ;;
            esac
            case $unit in
                min)
                    time=${time#0}
                    time="${time%%:*} min ${time##*:}"
                    ;;
            esac
            took "$name" "$time"
        done
}

# Maven compiles what it tests; an image is only for tests that start the launcher, and --quick has none of those.
start=$(date +%s)
run_began=$start
if [ -z "$quick" ]; then
    say "build ..."
    IOASIS_NO_BUILD=
    build
fi
# The tests may start the launcher: it must not build beside Maven, and it is up to date.
IOASIS_NO_BUILD=1
export IOASIS_NO_BUILD
if [ -z "$quick" ]; then
    took build $(($(date +%s) - start))
    spent build $(($(date +%s) - start))
fi

if [ -n "$shell_tests" ]; then
    say "shell tests ..."
    start=$(date +%s)
    run_shell_tests
    took shell $(($(date +%s) - start))
    spent shell $(($(date +%s) - start))
fi

if [ -z "$narrowed" ] || [ -n "$modules$classes" ]; then
    take_lock
    discard_interrupted
    rm -rf "$root"/*/target/surefire-reports
    # A narrowed run names the test classes, so that of the modules below only what is needed to compile is done.
    [ -z "$quick" ] || modules=$(plain_modules)
    wanted=${modules:-$(all_modules)}
    selection=$classes
    set -- verify --fail-at-end -Dmaven.test.failure.ignore=true
    # Spark is fetched for its own tests alone, and for those of guest, which open a report in a browser.
    if [ -f "$root/sweep/pom.xml" ]; then
        case "$narrowed$quick $modules " in
            ' '* | *' sweep '* | *' guest '*) sweeps=1 ;;
        esac
        [ -z "$sweeps" ] || set -- "$@" -Psweep
    fi
    if [ -n "$narrowed$quick" ]; then
        for module in $modules; do
            for source in $(test_sources "$module"); do
                name=$(class_name "$source")
                selection="$selection${selection:+,}$name,$name\$*"
            done
        done
        [ -z "$quick" ] || selection=$selection,$quick_cell
        set -- "$@" -Dsurefire.failIfNoSpecifiedTests=false "-Dtest=$selection"
        if [ -n "$quick" ]; then
            set -- "$@" -am -pl guest
        elif [ -z "$classes" ]; then
            set -- "$@" -am -pl "$(printf '%s\n' $modules | paste -s -d , -)"
        fi
    fi
    say "tests of the modules ..."
    start_ticking
    tick() { # log
        tell_tests "$1"
    }
    status=0
    run_maven "$root/target/test.log" "$@" || status=$?
    rm -f "$root/target/unfinished"
    give_lock
    module_times "$root/target/test.log"
    before=$((passed + failed + skipped))
    for module in $(all_modules); do
        sum_reports "$module"
    done
    if [ -z "$classes" ]; then
        for module in $wanted; do
            check_reports "$module"
        done
    fi
    if [ -n "$quick" ] && [ -z "$(find "$root/guest/target/surefire-reports" -name "TEST-*$quick_cell.xml" 2>/dev/null)" ]; then
        fail "guest $quick_cell: did not run (no report)"
    fi
    if [ $status -ne 0 ]; then
        fail "Maven ended with status $status (see above)"
        show_log "$root/target/test.log"
    fi
    if [ $((passed + failed + skipped)) -eq $before ]; then
        fail "no test of any module ran"
    fi
fi

printf 'took:\n'
cat "$work/times"
if [ -z "$narrowed$quick" ]; then
    check_budget $(($(date +%s) - run_began))
fi
cat "$work/notes"
if [ $failed -ne 0 ] && [ -f "$root/target/test.log" ]; then
    printf 'Details: %s and */target/surefire-reports/*.txt\n' "$root/target/test.log"
fi
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
