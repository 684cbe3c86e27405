#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The test run counts rightly and does not pass by mistake.
. "$(dirname -- "$0")/lib.sh"

# The modules core and app, each with one test class, a shell test, and a Maven that leaves one report for each module.
make_project() {
    make_tree
    for module in core app; do
        mkdir -p "$tree/$module/src/test/java/org/x"
        printf 'class OneTest {\n    @Test\n    void a() {}\n}\n' >"$tree/$module/src/test/java/org/x/OneTest.java"
        report $module org.x.OneTest 3 0 0 0 ''
    done
    printf 'printf "ok one\\nok two\\n"\n' >"$tree/tools/tests/some.sh"
    cat >"$here/tests" <<'END'
#!/bin/sh
case $* in
    *" verify "*) ;;
    *) exit 0 ;;
esac
for report in "$TMPDIR"/*.report; do
    [ -f "$report" ] || continue
    name=${report##*/}
    name=${name%.report}
    mkdir -p "${name%%-*}/target/surefire-reports"
    cp "$report" "${name%%-*}/target/surefire-reports/TEST-${name#*-}.xml"
done
printf '[INFO] ioasis-core ........ SUCCESS [  3.456 s]\n[INFO] ioasis-app ...... SUCCESS [01:02 min]\n'
[ ! -f "$TMPDIR/maven-fails" ] || { printf '[ERROR] planted trouble\n'; exit 1; }
END
    chmod +x "$here/tests"
    FAKE_MAVEN=$here/tests
    export FAKE_MAVEN
}

report() { # module, class, tests, failures, errors, skipped, cases
    printf '<?xml version="1.0"?>\n<testsuite name="%s" time="1" tests="%s" errors="%s" skipped="%s" failures="%s">\n%b</testsuite>\n' \
        "$2" "$3" "$5" "$6" "$4" "$7" >"$here/$1-$2.report"
}

expect_sum() {
    [ "$(tail -n 1 out)" = "$1" ] || fail "'$1' in the last line"
}

all_pass() {
    make_project
    run "$tree/ioasis" test
    expect_status 0
    expect_sum "8 passed, 0 failed, 0 skipped"
    expect out "core       3.456 s"
    expect out "app        1 min 02 s"
    [ -z "$(ls -d "$here"/ioasis-test* 2>/dev/null)" ] || fail "nothing left"
}
check "all reports and shell tests are summed" all_pass

budget_table() { # limit of unit
    printf '# X\n\n## Budget\n\n| part | limit | what |\n|---|---|---|\n| build | 90 s | a |\n| unit | %s s | b |\n| all | 900 s | |\n\n## Other\n\n| shell | 0 s | no part of it |\n' \
        "$1" >"$tree/CONTRIBUTING.md"
}

within_budget() {
    make_project
    budget_table 65
    run "$tree/ioasis" test
    expect_status 0
    # 3.456 s and 1 min 02 s
    expect out "unit          65 s    65 s"
    expect out "build         90 s"
    expect_not out "shell          0 s"
    expect_sum "8 passed, 0 failed, 0 skipped"
}
check "what the parts took is compared with the budget" within_budget

over_budget() {
    make_project
    budget_table 64
    run "$tree/ioasis" test
    expect_status 0
    expect out "unit          64 s    65 s  over its limit"
    expect_not out "build         90 s     0 s  over"
    expect_sum "8 passed, 0 failed, 0 skipped"
    run "$tree/ioasis" test core
    expect_not out "budget"
}
check "a part over its limit is shown and does not fail" over_budget

budget_asked_for() {
    make_project
    budget_table 64
    run "$tree/ioasis" test --budget 1
    expect_status 1
    expect out "FAILED   budget: unit took 65 s and may take 1 times 64 s"
    expect_sum "8 passed, 1 failed, 0 skipped"
    # 65 s are just within twice 33, and not within twice 32.
    budget_table 33
    run "$tree/ioasis" test --budget 2
    expect_status 0
    budget_table 32
    run "$tree/ioasis" test --budget 2
    expect_status 1
    for wrong in 0 08 x 100 ''; do
        run "$tree/ioasis" test --budget "$wrong"
        expect_status 2
    done
    run "$tree/ioasis" test --budget
    expect_status 2
    run "$tree/ioasis" test --budget 2 core
    expect_status 2
}
check "a part over its limit times what is asked for fails, in a run of everything" budget_asked_for

continuous() {
    make_project
    mkdir "$tree/.ci"
    cp "$project/.ci/run" "$tree/.ci/"
    budget_table 32
    run "$tree/.ci/run"
    expect_status 1
    expect out "FAILED   budget: unit took 65 s and may take 2 times 32 s"
}
check "the run for every change asks for twice the limits" continuous

quick() {
    make_project
    sed 's|</modules>|<module>guest</module><module>stress</module></modules>|' "$tree/pom.xml" | tr -s '\n' |
        sed 's|</module><module>|</module>\n<module>|g' >pom
    mv pom "$tree/pom.xml"
    mkdir -p "$tree/guest/src/test/java/org/x" "$tree/stress/src/test/java/org/x"
    printf '<project/>\n' >"$tree/guest/pom.xml"
    printf 'class QuickCellTest {\n    @Test\n    void a() {}\n}\n' >"$tree/guest/src/test/java/org/x/QuickCellTest.java"
    printf 'class OtherTest {\n    @Test\n    void a() {}\n}\n' >"$tree/guest/src/test/java/org/x/OtherTest.java"
    printf 'class LitmusTest {\n    @Test\n    void a() {}\n}\n' >"$tree/stress/src/test/java/org/x/LitmusTest.java"
    report guest org.x.QuickCellTest 1 0 0 0 ''
    run "$tree/ioasis" test --quick
    expect_status 0
    # Neither the shell's nor an image.
    expect_sum "7 passed, 0 failed, 0 skipped"
    expect_builds 1
    expect "$tree/maven-calls" "-Dtest=org.x.OneTest,org.x.OneTest\$*,org.x.OneTest,org.x.OneTest\$*,QuickCellTest -am -pl guest"
    expect_not out "budget"
    rm "$here/app-org.x.OneTest.report" "$here/guest-org.x.QuickCellTest.report"
    run "$tree/ioasis" test --quick
    expect_status 1
    expect out "FAILED   app org.x.OneTest: did not run (no report)"
    expect out "FAILED   guest QuickCellTest: did not run (no report)"
    run "$tree/ioasis" test --quick core
    expect_status 2
    run "$tree/ioasis" test --quick --budget 2
    expect_status 2
    run "$tree/ioasis" test --help
    expect_status 0
    expect out "--quick"
    expect out "--budget"
}
check "--quick runs the tests without a guest and one with one" quick

some_fail() {
    make_project
    report core org.x.OneTest 5 1 1 1 \
        '  <testcase name="a" classname="org.x.OneTest">\n<failure message="1 &lt; 2"/>\n</testcase>\n  <testcase name="b" classname="org.x.OneTest">\n    <error message="no"/>\n  </testcase>\n  <testcase name="c" classname="org.x.OneTest">\n    <skipped/>\n  </testcase>\n'
    run "$tree/ioasis" test
    expect_status 1
    expect_sum "7 passed, 2 failed, 1 skipped"
    expect out "FAILED   core org.x.OneTest#a: 1 < 2"
    expect out "FAILED   core org.x.OneTest#b: no"
    expect out "skipped  core org.x.OneTest#c"
}
check "failures, errors and skipped tests are counted and named" some_fail

shell_fails() {
    make_project
    printf 'printf "ok one\\nnot ok two\\n    the reason\\nskip three: because\\n"; exit 1\n' >"$tree/tools/tests/some.sh"
    run "$tree/ioasis" test
    expect_status 1
    expect_sum "7 passed, 1 failed, 1 skipped"
    expect out "FAILED   some.sh two"
    expect out "skipped  some.sh three: because"
    expect err "    the reason"
}
check "a shell test that fails is counted and shown" shell_fails

shell_breaks() {
    make_project
    printf 'printf "ok one\\n"; exit 3\n' >"$tree/tools/tests/some.sh"
    printf 'true\n' >"$tree/tools/tests/silent.sh"
    run "$tree/ioasis" test
    expect_status 1
    expect_sum "7 passed, 2 failed, 0 skipped"
}
check "a shell test that ends early or tests nothing fails" shell_breaks

no_report() {
    make_project
    rm "$here/app-org.x.OneTest.report"
    run "$tree/ioasis" test
    expect_status 1
    expect out "FAILED   app org.x.OneTest: did not run (no report)"
}
check "a test class that left no report fails" no_report

old_report() {
    make_project
    run "$tree/ioasis" test
    rm "$here/app-org.x.OneTest.report"
    run "$tree/ioasis" test
    expect_status 1
}
check "a report of an earlier run does not count" old_report

wrong_name() {
    make_project
    printf 'class Checks {\n    @Test\n    void a() {}\n}\n' >"$tree/core/src/test/java/org/x/Checks.java"
    printf 'abstract class Base {\n    @Test\n    void a() {}\n}\n' >"$tree/core/src/test/java/org/x/Base.java"
    run "$tree/ioasis" test
    expect_status 1
    expect out "FAILED   core org.x.Checks: has tests, but Maven only runs classes named ...Test"
    expect_sum "8 passed, 1 failed, 0 skipped"
}
check "tests in a class that Maven does not run fail" wrong_name

nothing_ran() {
    make_project
    rm -r "$here"/*.report "$tree"/*/src/test
    run "$tree/ioasis" test
    expect_status 1
    expect out "no test of any module ran"
}
check "a run without tests fails" nothing_ran

maven_fails() {
    make_project
    : >"$here/maven-fails"
    run "$tree/ioasis" test
    expect_status 1
    expect err "planted trouble"
    expect_sum "8 passed, 1 failed, 0 skipped"
}
check "a failure of Maven itself fails, with its reason" maven_fails

narrowed() {
    make_project
    run "$tree/ioasis" test core
    expect "$tree/maven-calls" "-Dtest=org.x.OneTest,org.x.OneTest\$* -am -pl core"
    expect_not "$tree/maven-calls" "-pl core,"
    printf 'class TwoTest {}\n' >"$tree/app/src/test/java/org/x/TwoTest.java"
    run "$tree/ioasis" test OneTest 'TwoTest#a' 'org.x.TwoTest$Inner' '*Fuzz*'
    expect "$tree/maven-calls" "-Dtest=OneTest,TwoTest#a,org.x.TwoTest\$Inner,*Fuzz*"
    : >"$tree/maven-calls"
    run "$tree/ioasis" test OneTset
    expect_status 2
    expect err "there is no module and no test class OneTset"
    expect_not "$tree/maven-calls" "-Dtest"
    run "$tree/ioasis" test shell
    expect_sum "2 passed, 0 failed, 0 skipped"
    run "$tree/ioasis" test --nonsense
    expect_status 2
}
check "it can be narrowed to modules, classes or the shell tests" narrowed

no_nested_build() {
    make_project
    printf 'touch -t 203001010000 "$IOASIS_ROOT/app/src/main/java/Main.java"; "$IOASIS_ROOT/ioasis" x >&2 && echo ok built\n' \
        >"$tree/tools/tests/some.sh"
    run "$tree/ioasis" test
    expect_status 0
    expect_builds 2
}
check "a launcher that a test starts does not build" no_nested_build

interrupted() {
    make_project
    printf 'sleep 2\nprintf "ok one\\n"\n' >"$tree/tools/tests/some.sh"
    "$tree/ioasis" test >one 2>&1 &
    tool=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        ! grep -q some.sh one || break
        sleep 0.1
    done
    kill -s TERM $tool
    status=0
    wait $tool || status=$?
    expect_status 143
    [ -z "$(ls -d "$here"/ioasis-test* 2>/dev/null)" ] || fail "nothing left"
    expect_builds 1
}
check "interrupted, it ends and leaves nothing" interrupted

finish
