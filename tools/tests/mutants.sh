#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tool that plants bugs judges rightly. The Maven of these tests "runs" the one test value#isSeven: it fails unless
# core/src/main/java/value says 7, does not build on the value "garbage", hangs the run on "hang".
. "$(dirname -- "$0")/lib.sh"

make_project() {
    command -v git || skip "no git on this machine"
    make_tree
    mkdir "$tree/mutants"
    value=core/src/main/java/value
    printf 'a\n7\nz\n' >"$tree/$value"
    printf 'kept\n' >"$tree/notes with spaces"
    git -C "$tree" init -q
    git -C "$tree" add -A
    # Not known to git, but not ignored either: part of what is tested.
    printf 'needed\n' >"$tree/core/needed"
    cat >"$here/tests" <<'END'
#!/bin/sh
[ -f core/needed ] && [ -f 'notes with spaces' ] || exit 1
case $* in
    *" -Pmutant "*" -Dtest="*) ;;
    *) exit 1 ;;
esac
read_value=$(sed -n 2p core/src/main/java/value)
case $read_value in
    garbage)
        printf '[ERROR] COMPILATION ERROR : planted\n'
        exit 1
        ;;
    hang)
        printf '[ERROR] There was a timeout or other error in the fork\n'
        exit 0
        ;;
esac
mkdir -p core/target/surefire-reports
{
    printf '<testsuite tests="3">\n  <testcase name="isSeven" classname="org.x.ValueTest" time="0">\n'
    [ "$read_value" = 7 ] || printf '    <failure message="not 7"/>\n'
    printf '  </testcase>\n  <testcase name="isSevenOrMore(int)[1]" classname="org.x.ValueTest" time="0"/>\n'
    printf '  <testcase name="isSevenOrMore(int)[2]" classname="org.x.ValueTest" time="0">\n'
    [ "$read_value" -ge 7 ] || printf '    <error message="less"/>\n'
    printf '  </testcase>\n  <testcase name="isNever" classname="org.x.ValueTest" time="0">\n    <failure/>\n  </testcase>\n'
    printf '  <testcase name="isSkipped" classname="org.x.ValueTest" time="0">\n    <skipped/>\n  </testcase>\n</testsuite>\n'
} >core/target/surefire-reports/TEST-org.x.ValueTest.xml
END
    chmod +x "$here/tests"
    FAKE_MAVEN=$here/tests
    export FAKE_MAVEN
}

patch_to() { # patch, new value, test...
    patch=$tree/mutants/$1.patch
    to=$2
    shift 2
    for test; do
        printf 'Test: %s\n' "$test"
    done >"$patch"
    printf 'Why: seven is what it must be.\n\ndiff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n' $value $value $value $value >>"$patch"
    printf '@@ -1,3 +1,3 @@\n a\n-7\n+%s\n z\n' "$to" >>"$patch"
}

all_caught() {
    make_project
    patch_to less 6 'core ValueTest#isSeven' 'core org.x.ValueTest#isSevenOrMore'
    patch_to more 8 'core ValueTest#isSeven'
    run "$tree/ioasis" mutants
    expect_status 0
    expect out "by ValueTest#isSeven, org.x.ValueTest#isSevenOrMore"
    [ "$(tail -n 1 out)" = "2 caught, 0 survived" ] || fail "the sum in the last line"
    [ "$(cat "$tree/$value")" = "$(printf 'a\n7\nz')" ] || fail "the tree unchanged"
    [ -z "$(ls -d "$here"/ioasis-mutants* 2>/dev/null)" ] || fail "no copy left"
}
check "bugs that their tests find are caught" all_caught

one_survives() {
    make_project
    patch_to less 6 'core ValueTest#isSeven'
    patch_to more 8 'core ValueTest#isSevenOrMore'
    run "$tree/ioasis" mutants
    expect_status 1
    expect out "ValueTest#isSevenOrMore passes: seven is what it must be."
    [ "$(tail -n 1 out)" = "1 caught, 1 survived" ] || fail "the sum in the last line"
}
check "a bug that its test does not find survives" one_survives

one_of_two_tests_passes() {
    make_project
    patch_to more 8 'core ValueTest#isSeven' 'core ValueTest#isSevenOrMore'
    run "$tree/ioasis" mutants
    expect_status 1
    expect out "0 caught, 1 survived"
}
check "every test that a bug names must fail" one_of_two_tests_passes

errors() {
    make_project
    patch_to compile garbage 'core ValueTest#isSeven'
    patch_to hangs hang 'core ValueTest#isSeven'
    patch_to absent 6 'core ValueTest#isSev'
    patch_to broken 6 'core ValueTest#isNever'
    patch_to skipped 6 'core ValueTest#isSkipped'
    patch_to module 6 'nowhere ValueTest#isSeven'
    patch_to form 6 'ValueTest.isSeven'
    patch_to apply 6 'core ValueTest#isSeven'
    sed 's/^-7/-9/' "$tree/mutants/apply.patch" >patched
    mv patched "$tree/mutants/apply.patch"
    patch_to reason 6 'core ValueTest#isSeven'
    sed '/^Why/d' "$tree/mutants/reason.patch" >patched
    mv patched "$tree/mutants/reason.patch"
    patch_to good 6 'core ValueTest#isSeven'
    run "$tree/ioasis" mutants
    expect_status 1
    grep -q '^compile .*ERROR.*does not build' out || fail "compile"
    grep -q '^hangs .*ERROR.*did not run: the bug hangs' out || fail "hangs"
    grep -q '^absent .*ERROR.*absent' out || fail "absent"
    grep -q '^broken .*ERROR.*without the bug: failed' out || fail "broken"
    grep -q '^skipped .*ERROR.*without the bug: skipped' out || fail "skipped"
    grep -q '^module .*ERROR.*not there: nowhere' out || fail "module"
    grep -q '^form .*ERROR.*Test: module' out || fail "form"
    grep -q '^apply .*ERROR.*does not apply' out || fail "apply"
    grep -q '^reason .*ERROR.*Why' out || fail "reason"
    grep -q '^good .*caught' out || fail "good"
    [ "$(tail -n 1 out)" = "1 caught, 0 survived, 9 in error" ] || fail "the sum in the last line"
}
check "what does not apply, build or run its test is an error" errors

by_name() {
    make_project
    patch_to less 6 'core ValueTest#isSeven'
    patch_to more 8 'core ValueTest#isSevenOrMore'
    run "$tree/ioasis" mutants less
    expect_status 0
    run "$tree/ioasis" mutants nothing
    expect_status 2
}
check "a bug can be chosen by name" by_name

nothing_planted() {
    make_project
    run "$tree/ioasis" mutants
    expect_status 1
}
check "no bug at all is no success" nothing_planted

interrupted() {
    make_project
    patch_to less 6 'core ValueTest#isSeven'
    FAKE_MAVEN=hang "$tree/ioasis" mutants >one 2>&1 &
    tool=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        set -- "$here"/ioasis-mutants*/tree/maven-pid
        [ ! -s "$1" ] || break
        sleep 0.1
    done
    maven=$(cat "$1")
    kill -s TERM $tool
    status=0
    wait $tool || status=$?
    expect_status 143
    ! kill -0 "$maven" || fail "Maven to be gone"
    [ -z "$(ls -d "$here"/ioasis-mutants* 2>/dev/null)" ] || fail "no copy left"
}
check "interrupted, it leaves neither process nor copy" interrupted

finish
