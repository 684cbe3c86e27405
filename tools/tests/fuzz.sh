#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ./ioasis fuzz refuses what it cannot do before anything is built.
. "$(dirname -- "$0")/lib.sh"

refuses() { # what it says, argument...
    said=$1
    shift
    run "$tree/ioasis" fuzz "$@"
    expect_status 2
    expect err "$said"
    [ ! -e "$tree/target" ] || fail "nothing to be built"
}

arguments() {
    make_tree
    refuses "--seconds 3 is less than one for each of 21 targets" --seconds 3
    refuses "--seconds 0 is less than one for each of 1 targets" --seconds 0 --target save-file
    refuses "--seconds needs a number" --seconds 08
    refuses "--seconds needs a number" --seconds
    refuses "--target needs one of: request-queue" --target nonsense
    refuses "unknown argument --nonsense" --nonsense
}
check "wrong arguments of the fuzzer are named" arguments

finish
