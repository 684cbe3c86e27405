#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Plants each bug of mutants/*.patch in a copy of the tree and passes only if the tests that the patch names fail there.
# The format of a patch is in mutants/README.md. One copy serves all: a bug is applied, built on what is compiled
# already, and taken out again.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" mutants "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis mutants [NAME...]
Plants each bug of mutants/NAME.patch, or of all patches, in a copy of the tree and expects the tests that it names to
fail. Ends with 'N caught, N survived'; the status is 0 only if every bug was caught."

names=
for argument; do
    case $argument in
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        -*)
            say "ioasis mutants: unknown option $argument"
            say "$usage"
            exit 2
            ;;
    esac
    name=${argument##*/}
    name=${name%.patch}
    if ! [ -f "$root/mutants/$name.patch" ]; then
        say "ioasis mutants: there is no mutants/$name.patch"
        exit 2
    fi
    names="$names $name"
done
need_maven
for tool in git tar; do
    if ! command -v $tool >/dev/null 2>&1; then
        say "ioasis mutants: $tool is needed and is not on the PATH. Install the package $tool."
        exit $unavailable
    fi
done
if [ $# -eq 0 ]; then
    for patch in "$root"/mutants/*.patch; do
        if ! [ -f "$patch" ]; then
            say "ioasis mutants: there is no patch in $root/mutants"
            exit 1
        fi
        name=${patch##*/}
        names="$names ${name%.patch}"
    done
fi

# A hook of git that calls this must not make git below work on the wrong tree.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX

origin=$root
work=$(mktemp -d "${TMPDIR:-/tmp}/ioasis-mutants.XXXXXX")
at_exit() {
    rm -rf "$work"
}
trap at_exit EXIT
logs=$origin/target/mutants
rm -rf "$logs"
mkdir -p "$logs"

# The files of the tree, one a line: what git knows or would add, or without git all but what is built.
tree_files() {
    list=$(git -C "$origin" -c core.quotePath=false ls-files --cached --others --exclude-standard 2>/dev/null) || list=
    if [ -z "$list" ]; then
        list=$(cd "$origin" && find . \( -name target -o -name .git \) -prune -o -type f -print)
    fi
    printf '%s\n' "$list" | while IFS= read -r file; do
        [ ! -f "$origin/$file" ] || printf '%s\n' "$file"
    done
}

say "copying the tree ..."
root=$work/tree
mkdir "$root"
tree_files >"$work/files"
tar -C "$origin" -cf - -T "$work/files" | tar -C "$root" -xf -
in_copy() {
    git -C "$root" -c core.autocrlf=false -c core.hooksPath=/dev/null -c core.excludesFile=/dev/null "$@"
}
# The index remembers the tree without bugs; nothing is committed.
in_copy init -q
in_copy add -A

header() { # patch: the lines above the diff
    sed -e '/^diff --git /,$d' -e '/^--- /,$d' "$1"
}

# The tests that a patch names, one a line: "module class method".
named_tests() { # name
    header "$origin/mutants/$1.patch" |
        sed -n 's/^Test:[ \t]*\([A-Za-z0-9_-]*\)[ \t][ \t]*\([A-Za-z0-9_.$]*\)#\([A-Za-z0-9_]*\)[ \t]*$/\1 \2 \3/p'
}

reason_of() { # name
    header "$origin/mutants/$1.patch" | sed -n 's/^Why:[ \t]*//p' | sed 1q
}

# Maven starts once for each bug and works for seconds: what its JVM would compile and collect better later never comes.
MAVEN_OPTS="${MAVEN_OPTS:+$MAVEN_OPTS }-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
export MAVEN_OPTS

# Whether a module is compiled whole when one of its files changes ("incremental" is Maven's word for that), or that file
# alone. A constant that the bug changes is copied into the classes that use it: they are compiled with it, and once more
# when the bug is gone.
whole=true
had_constant=

# Runs the tests on standard input ("module class method" a line) and leaves their reports in the copy.
run_tests() { # log
    modules=
    tests=
    while read -r module class method; do
        modules="$modules${modules:+,}$module"
        tests="$tests${tests:+,}$class#$method"
    done
    rm -rf "$root"/*/target/surefire-reports
    run_maven "$1" test -Pmutant -pl "$modules" -am "-Dtest=$tests" -Dsurefire.failIfNoSpecifiedTests=false \
        -Dmaven.test.failure.ignore=true -Dioasis.test.timeout=20 -Denforcer.skip -Dmaven.compiler.useIncrementalCompilation=$whole
}

# What became of a test: failed, passed, skipped or absent. One that runs several times failed if one run did.
outcome() { # module class method
    for report in "$root/$1"/target/surefire-reports/TEST-*.xml; do
        [ ! -f "$report" ] || cat "$report"
    done | awk -v class="$2" -v method="$3" '
        function attribute(name,    text) {
            if (!match($0, "[ \t]" name "=\"[^\"]*\"")) return ""
            text = substr($0, RSTART, RLENGTH)
            sub(/^[^"]*"/, "", text)
            sub(/"$/, "", text)
            return text
        }
        function ends_with(text, end) {
            return length(text) >= length(end) && substr(text, length(text) - length(end) + 1) == end
        }
        /^[ \t]*<testcase[ \t]/ {
            c = attribute("classname")
            n = attribute("name")
            rest = substr(n, length(method) + 1)
            mine = (c == class || ends_with(c, "." class)) && substr(n, 1, length(method)) == method \
                && (rest == "" || rest ~ /^[^A-Za-z0-9_$]/)
            if (mine) ran++
        }
        mine && /^[ \t]*<(failure|error)[ \t>\/]/ { failed++ }
        mine && /^[ \t]*<skipped/ { skipped++ }
        END { print failed ? "failed" : !ran ? "absent" : skipped == ran ? "skipped" : "passed" }
    '
}

tick() { # log
    now=$(date +%s)
    if [ $((now - told)) -ge 15 ]; then
        told=$now
        say "  still at ${doing-it} ($((now - began)) s)"
    fi
}

caught=0
survived=0
errors=0
verdict() { # name, verdict, seconds, remark
    printf '%-36s %-9s %4s s  %s\n' "$1" "$2" "$3" "$4"
}

broken() { # name, seconds, why
    errors=$((errors + 1))
    verdict "$1" ERROR "$2" "$3"
    if [ -f "$work/log" ]; then
        cp "$work/log" "$logs/$1.log"
        show_log "$logs/$1.log"
    fi
}

# Patches whose header is wrong are out at once; the tests of the others must pass before a bug is planted.
good=
: >"$work/all"
for name in $names; do
    rm -f "$work/log"
    named_tests "$name" >"$work/tests"
    lines=$(header "$origin/mutants/$name.patch" | grep -c '^Test:') || :
    if ! [ -s "$work/tests" ] || [ "$lines" -ne "$(wc -l <"$work/tests")" ]; then
        broken "$name" 0 "has no line, or a wrong one, of the form 'Test: module Class#method'"
        continue
    fi
    if [ -z "$(reason_of "$name")" ]; then
        broken "$name" 0 "has no line 'Why: ...'"
        continue
    fi
    unknown=
    while read -r module class method; do
        [ -f "$root/$module/pom.xml" ] || unknown=$module
    done <"$work/tests"
    if [ -n "$unknown" ]; then
        broken "$name" 0 "names a module that is not there: $unknown"
        continue
    fi
    cat "$work/tests" >>"$work/all"
    good="$good $name"
done

if [ -s "$work/all" ]; then
    doing="the tests without bugs"
    say "running $(sort -u "$work/all" | wc -l) tests without bugs ..."
    start_ticking
    if ! sort -u "$work/all" >"$work/unique" || ! run_tests "$work/log" <"$work/unique"; then
        cp "$work/log" "$logs/unchanged.log"
        say "ioasis mutants: the tree does not build without bugs:"
        show_log "$logs/unchanged.log"
        exit 1
    fi
    while read -r module class method; do
        printf '%s %s %s %s\n' "$module" "$class" "$method" "$(outcome "$module" "$class" "$method")"
    done <"$work/unique" >"$work/unchanged"
fi

for name in $good; do
    named_tests "$name" >"$work/tests"
    rm -f "$work/log"
    ready=1
    while read -r module class method; do
        before=$(grep -F "$module $class $method " "$work/unchanged")
        if [ "${before##* }" != passed ]; then
            broken "$name" 0 "$module $class#$method without the bug: ${before##* }, and it must pass"
            ready=
            break
        fi
    done <"$work/tests"
    [ -n "$ready" ] || continue
    if ! in_copy apply --whitespace=nowarn "$origin/mutants/$name.patch" 2>"$work/apply"; then
        broken "$name" 0 "does not apply: $(sed 1q "$work/apply")"
        continue
    fi
    has_constant=
    ! grep -q '^[-+].*static final' "$origin/mutants/$name.patch" || has_constant=1
    whole=false
    [ -z "$has_constant$had_constant" ] || whole=true
    had_constant=$has_constant
    doing=$name
    start_ticking
    status=0
    run_tests "$work/log" <"$work/tests" || status=$?
    took=$(($(date +%s) - began))
    result=caught
    remark=
    if [ $status -ne 0 ]; then
        result=ERROR
        remark="does not build"
    else
        while read -r module class method; do
            case $(outcome "$module" "$class" "$method") in
                failed)
                    [ "$result" != caught ] || remark="${remark:+$remark, }$class#$method"
                    ;;
                passed)
                    result=SURVIVED
                    remark="$class#$method passes: $(reason_of "$name")"
                    break
                    ;;
                *)
                    result=ERROR
                    remark="$class#$method did not run"
                    if grep -q 'There was a timeout' "$work/log"; then
                        remark="$remark: the bug hangs the run, give the test a @Timeout"
                    fi
                    break
                    ;;
            esac
        done <"$work/tests"
    fi
    case $result in
        caught)
            caught=$((caught + 1))
            verdict "$name" caught "$took" "by $remark"
            ;;
        SURVIVED)
            survived=$((survived + 1))
            verdict "$name" SURVIVED "$took" "$remark"
            cp "$work/log" "$logs/$name.log"
            ;;
        *) broken "$name" "$took" "$remark" ;;
    esac
    in_copy checkout -q -- .
    in_copy clean -fdq
done

if [ $errors -ne 0 ]; then
    printf '%d caught, %d survived, %d in error\n' $caught $survived $errors
else
    printf '%d caught, %d survived\n' $caught $survived
fi
[ $survived -eq 0 ] && [ $errors -eq 0 ] && [ $caught -gt 0 ]
