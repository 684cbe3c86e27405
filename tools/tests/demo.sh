#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ./ioasis demo that is ended by Ctrl-C; what it shows is tested by readme.sh and DemoTest.
. "$(dirname -- "$0")/lib.sh"
IOASIS_NO_BUILD=1
export IOASIS_NO_BUILD

demo=
stop_hard() {
    [ -z "$demo" ] || kill -9 "$demo" 2>/dev/null || :
}

interrupted() {
    mkdir temporary
    JAVA_TOOL_OPTIONS="'-Djava.io.tmpdir=$PWD/temporary'"
    export JAVA_TOOL_OPTIONS
    (with_signals "$project/ioasis" demo --seconds 600) >said 2>complaints &
    demo=$!
    trap stop_hard EXIT
    tries=0
    until [ -n "$(ls temporary)" ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] && kill -0 "$demo" 2>/dev/null || {
            cat said complaints
            fail "the demonstration to have its disk"
        }
        sleep 0.1
    done
    kill -s INT "$demo"
    status=0
    wait "$demo" || status=$?
    demo=
    [ $status -eq 130 ] || fail "code 130 after SIGINT, not $status"
    [ -z "$(ls temporary)" ] || fail "nothing to be left, but: $(ls temporary)"
}

check "an interrupted demonstration leaves nothing" interrupted

finish
