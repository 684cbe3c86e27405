#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shell tests can send signals whatever those who started them ignore: under nohup, or in the background.
. "$(dirname -- "$0")/lib.sh"

# A script as the others are, whose one test ends by each signal. It must say so itself: it is "ok" that is looked for.
make_script() {
    mkdir -p tree/tools/tests
    cp "$project/tools/tests/lib.sh" tree/tools/tests/
    cp "$project/tools/DefaultSignals.java" tree/tools/
    cat >tree/tools/tests/some.sh <<'END'
#!/bin/sh
. "$(dirname -- "$0")/lib.sh"
ends() {
    for signal in HUP:129 TERM:143; do
        status=0
        sh -c "kill -s ${signal%:*} \$\$; echo still there" || status=$?
        [ $status -eq "${signal#*:}" ] || fail "to end by ${signal%:*}, not with $status"
    done
    (with_signals sh -c ': >started; exec sleep 20') &
    sleeping=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        [ ! -e started ] || break
        sleep 0.5
    done
    status=0
    kill -s INT $sleeping
    wait $sleeping || status=$?
    [ $status -eq 130 ] || fail "the one in the background to end by INT, not with $status"
    [ "$argument" = "a  b" ] || fail "the arguments as they were"
}
argument=$1
check "ends" ends
finish
END
}

# As nohup and a shell's & start a script.
ignoring() { # script, argument...
    (
        trap '' HUP INT TERM
        exec sh "$@"
    )
}

signals_are_reset() {
    make_script
    run ignoring tree/tools/tests/some.sh "a  b"
    expect_status 0
    expect out "ok ends"
}
check "what is ignored when a test begins ends what the test starts all the same" signals_are_reset

without_env() {
    make_script
    mkdir bin
    printf '#!/bin/sh\nexit 125\n' >bin/env
    chmod +x bin/env
    PATH=$here/bin:$PATH
    JAVA_HOME=$own_java
    export PATH JAVA_HOME
    run ignoring tree/tools/tests/some.sh "a  b"
    expect_status 0
    expect out "ok ends"
}
check "so it is where env cannot reset signals" without_env

finish
