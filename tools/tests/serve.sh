#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ./ioasis serve, viot, dump, check and inject as a user calls them, on what is built: sockets, files, signals, codes.
. "$(dirname -- "$0")/lib.sh"
IOASIS_NO_BUILD=1
export IOASIS_NO_BUILD

server=
stop_hard() {
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null || :
}

# Starts a server in the present folder; its pid is in $server and what it says in the file said.
serve() { # argument...
    : >said
    # A job in the background has SIGINT ignored, which a JVM leaves so.
    (with_signals "$project/ioasis" serve "$@") >said 2>complaints &
    server=$!
    # In the test's own shell, which a failure ends: a server must not outlive it.
    trap stop_hard EXIT
    tries=0
    # The last line is the last -device.
    until grep -q -e '-device .*[^\\]$' said; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] && kill -0 "$server" 2>/dev/null || {
            cat said complaints
            fail "the server to be ready"
        }
        sleep 0.1
    done
}

# Ends the server by a signal; its status is in $status.
stop() { # signal
    kill -s "$1" "$server"
    status=0
    wait "$server" || status=$?
    server=
}

disk() {
    dd if=/dev/zero of=disk.img bs=4096 count=16 2>/dev/null
}

flags() {
    disk
    serve --iommu iommu.sock --blk disk.sock,file=disk.img,endpoint=0x10 --viot table
    cat said
    grep -q "^ready machine/iommu $PWD/iommu.sock\$" said || fail "a line for the IOMMU's socket"
    grep -q "^ready machine/disk0 $PWD/disk.sock\$" said || fail "a line for the disk's socket"
    grep -q "^viot machine $PWD/table\$" said || fail "a line for the table"
    for socket in iommu.sock disk.sock ioasis-control.sock; do
        [ "$(stat -c %a "$socket")" = 600 ] || fail "$socket to have mode 600"
    done
    run "$project/ioasis" viot --check table
    [ $status -eq 0 ] || fail "the table to be right"
    stop TERM
    [ $status -eq 0 ] || fail "code 0 after SIGTERM, not $status"
    [ "$(ls)" = "$(printf 'complaints\ndisk.img\nerr\nout\nsaid')" ] || fail "nothing to be left, but: $(ls)"
    [ ! -s complaints ] || fail "no complaints: $(cat complaints)"
}
check "serve says what is ready and leaves nothing behind" flags


arguments_are_words() {
    disk
    serve --iommu iommu.sock --blk 'a disk.sock,file=disk.img' 
    sed -n '/^# QEMU/,$p' said | sed 1d >arguments
    printf "printf '%%s\\\\n' \\\\\n" | cat - arguments >script
    sh script >words
    cat words
    grep -q '^memory-backend-memfd,id=ioasis-mem,size=512M,share=on$' words || fail "shared memory"
    grep -q "^file=$PWD/iommu.sock.viot\$" words || fail "the table beside the socket"
    [ "$(grep -c '^{"driver":"vfio-user-pci","addr":"[0-9a-f]*.0","socket":{"type":"unix","path":".*"}}$' words)" -eq 2 ] ||
        fail "two devices"
    stop TERM
}
check "the arguments can be pasted into a shell" arguments_are_words

stale_and_live() {
    disk
    serve --iommu iommu.sock --blk disk.sock,file=disk.img
    first=$server
    run "$project/ioasis" serve --iommu iommu.sock --blk other.sock,file=disk.img
    [ $status -eq 1 ] || fail "a second server to be refused"
    grep -q 'somebody listens at iommu.sock' err || fail "the reason"
    [ -S iommu.sock ] && [ ! -e other.sock ] || fail "the first one's socket to stay, and no other"
    kill -9 "$first"
    wait "$first" 2>/dev/null || :
    [ -S iommu.sock ] || fail "a stale socket"
    serve --iommu iommu.sock --blk disk.sock,file=disk.img
    stop TERM
    [ $status -eq 0 ] && [ ! -e iommu.sock ] || fail "the stale socket to be replaced and then removed"
}
check "stale sockets are replaced and live ones respected" stale_and_live

not_ours() {
    disk
    echo mine >machine.viot
    echo mine >iommu.sock.viot
    run "$project/ioasis" serve --iommu iommu.sock --blk disk.sock,file=disk.img
    [ $status -eq 1 ] && grep -q 'iommu.sock.viot is there and is not' err || fail "a table that is not ours to be refused"
    run "$project/ioasis" viot --output machine.viot --iommu 00:01.0
    [ $status -eq 2 ] && grep -q 'machine.viot is there and is not' err || fail "a file that is no table to be refused"
    [ "$(cat machine.viot iommu.sock.viot)" = "$(printf 'mine\nmine')" ] || fail "both to be as they were"
    rm iommu.sock.viot
    serve --iommu iommu.sock --blk disk.sock,file=disk.img
    first=$server
    run "$project/ioasis" serve --iommu i2.sock --blk d2.sock,file=disk.img --control c2.sock
    [ $status -eq 1 ] && grep -q "disk.img is in use: process $first (java) writes to it" err || fail "a second writer to be refused"
    cp iommu.sock.viot before
    cp disk.img disk2.img
    serve --iommu i2.sock --blk d2.sock,file=disk2.img --control c2.sock
    [ -e i2.sock.viot ] || fail "a table of its own"
    stop TERM
    [ ! -e i2.sock.viot ] && cmp before iommu.sock.viot || fail "the first one's table to stay"
    server=$first
    stop TERM
    [ ! -e iommu.sock.viot ] && [ "$(cat machine.viot)" = mine ] || fail "its own table to be removed and no other"
}
check "what others have made is neither replaced nor removed" not_ours

config() {
    disk
    cp disk.img other.img
    cat >serve.toml <<'TOML'
[[machine]]
name = "alpha"
[[machine.iommu]]
socket = "a.sock"
[[machine.iommu.blk]]
socket = "a0.sock"
file = "disk.img"
[[machine]]
name = "beta"
[[machine.iommu]]
socket = "b.sock"
bypass = false
[[machine.iommu]]
socket = "c.sock"
[[machine.iommu.blk]]
socket = "c0.sock"
file = "other.img"
TOML
    serve --config serve.toml --control elsewhere.sock --trace requests.log
    cat said
    [ "$(grep -c '^ready ' said)" -eq 5 ] || fail "five sockets"
    [ -S elsewhere.sock ] && [ ! -e ioasis-control.sock ] && [ -e requests.log ] || fail "options to come before the file"
    for table in a.sock.viot b.sock.viot; do
        run "$project/ioasis" viot --check $table
        [ $status -eq 0 ] || fail "$table to be right"
    done
    stop TERM
    [ $status -eq 0 ] || fail "code 0, not $status"
    printf 'nonsense = 1\n[[machine]]\nname = 5\n' >>serve.toml
    run "$project/ioasis" serve --config serve.toml
    [ $status -eq 2 ] || fail "mistakes to be refused"
    grep -q '^serve.toml:18:1: nonsense: not known here' err || fail "line and reason"
    grep -q '^serve.toml:20:1: name: must be a string' err || fail "all at once"
}
check "two machines and three IOMMUs from one file" config

asking() {
    disk
    serve --iommu iommu.sock --blk disk.sock,file=disk.img --trace requests.log
    run "$project/ioasis" check
    [ $status -eq 1 ] || fail "code 1 while nothing is connected"
    grep -q '^PROBLEM machine/disk0: no VMM has connected' out || fail "the cause"
    grep -q '^  do: start QEMU' out || fail "what to do"
    run "$project/ioasis" dump
    [ $status -eq 0 ] && grep -q '^machine machine$' out || fail "a dump"
    run "$project/ioasis" dump --json
    [ $status -eq 0 ] && grep -q '"machines" :' out || fail "a dump as JSON"
    run "$project/ioasis" inject map_nomem 100
    [ $status -eq 0 ] && grep -q '^planted: map_nomem 100$' out || fail "it to be planted"
    run "$project/ioasis" inject nonsense 1
    [ $status -eq 2 ] && grep -q 'nonsense is not one of' err || fail "nonsense to be refused"
    stop TERM
    [ $status -eq 0 ] || fail "code 0, not $status"
    grep -q 'machine/iommu injected: planted: map_nomem 100$' requests.log || fail "the trace to tell"
    run "$project/ioasis" serve --iommu iommu.sock --trace no/requests.log
    [ $status -eq 2 ] && grep -q 'no folder for no/requests.log' err || fail "a trace without a folder to be refused"
    run "$project/ioasis" serve --iommu iommu.sock --trace requests.log --trace-limit 0
    [ $status -eq 2 ] && grep -q 'must be 1 to' err || fail "a limit of 0 to be refused"
    run "$project/ioasis" check
    [ $status -eq 69 ] && grep -q 'no server has its control socket' err || fail "a missing server to be said"
}
check "a running server is asked, and what is planted stands in the trace" asking

# Waits until a line of the file holds the text.
await_line() { # file, text
    tries=0
    until grep -q -F -e "$2" "$1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "'$2' in $1: $(cat "$1")"
        sleep 0.1
    done
}

log_and_trace() {
    serve --iommu iommu.sock --rng rng.sock --trace requests.log --log-level debug
    run "$project/ioasis" inject map_nomem 100
    mv requests.log old.log
    kill -s HUP "$server"
    await_line requests.log 'trace begun'
    run "$project/ioasis" inject map_nomem 200
    await_line requests.log 'map_nomem 200'
    expect old.log 'map_nomem 100'
    expect_not requests.log 'map_nomem 100'
    stop TERM
    [ $status -eq 0 ] || fail "code 0, not $status"
    serve --iommu iommu.sock --rng rng.sock --trace requests.log
    kill -s HUP "$server"
    tries=0
    until [ "$(grep -c 'trace begun' requests.log)" -eq 3 ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the same file to be opened again"
        sleep 0.1
    done
    expect requests.log 'map_nomem 200'
    stop TERM
    run "$project/ioasis" serve --iommu iommu.sock --trace requests.log --trace-format json
    expect_status 2
    expect err 'requests.log is there and is not a trace of Ioasis as JSON'
    run "$project/ioasis" serve --iommu iommu.sock --log-level loud
    expect_status 2
    tail -n 1 err | grep -q 'expected one of \[error, warning, info, debug\]' || fail "the levels, last"
    serve --iommu iommu.sock --rng rng.sock
    stop HUP
    [ ! -e iommu.sock ] || fail "SIGHUP to end a server without a trace"
}
check "a trace is written on, goes on in a new file at SIGHUP, and no level is mistyped" log_and_trace

full() {
    run sh -c '"$0" viot --output table --iommu 00:01.0 >/dev/full' "$project/ioasis"
    expect_status 1
    expect err 'ioasis: standard output cannot be written'
    mkfifo pipe
    run timeout 20 "$project/ioasis" serve --config pipe
    expect_status 1
    expect err 'pipe is no regular file'
}
check "output that nobody can keep is a failure, and nothing waits for a pipe" full

rogue() {
    serve --iommu iommu.sock --rng rng.sock,endpoint=0x28,rogue
    grep -q "^ready machine/rng0 $PWD/rng.sock\$" said || fail "a line for the device's socket"
    run "$project/ioasis" rogue write 0x1000 --length 16 --count 10 --step 4096
    [ $status -eq 0 ] && grep -q '^10 writes of 16 bytes: 0 went through, ' out || fail "what became of the accesses"
    run "$project/ioasis" rogue read 5-4
    [ $status -eq 2 ] && grep -q 'ends before it starts' err || fail "a range that is none to be refused"
    run "$project/ioasis" rogue erase 5
    [ $status -eq 2 ] && grep -q 'read or write, not erase' err || fail "nonsense to be refused"
    stop INT
    [ $status -eq 0 ] || fail "code 0 after SIGINT, not $status"
    [ ! -e rng.sock ] && [ ! -e ioasis-control.sock ] || fail "no socket to be left"
}
check "a rogue is fired by hand, and SIGINT ends a server as well" rogue

# What is answered there is MetricsTest's.
recording() {
    serve --iommu iommu.sock --rng rng.sock,endpoint=0x28 --record r.parquet
    stop TERM
    [ $status -eq 0 ] || fail "code 0 after SIGTERM, not $status"
    expect complaints "recorded 0 rows, "
    run "$project/ioasis" trace info r.parquet
    [ $status -eq 0 ] || fail "code 0, not $status"
    expect out "r.parquet: 0 rows in 0.000 s, recorded by ioasis serve"
    run "$project/ioasis" replay r.parquet
    [ $status -eq 0 ] || fail "code 0, not $status"
    expect out "as recorded are 0 requests, 0 accesses and 0 faults"
    run "$project/ioasis" replay --json r.parquet
    expect out '"exact" : true'

    echo mine >other
    run "$project/ioasis" serve --iommu iommu.sock --rng rng.sock --record other
    [ $status -eq 2 ] || fail "code 2, not $status"
    expect err "other is there and is not a recording of Ioasis"
    [ "$(cat other)" = mine ] || fail "the file to be left alone"
    for command in "trace info" replay; do
        # shellcheck disable=SC2086
        run "$project/ioasis" $command other
        [ $status -eq 1 ] || fail "code 1, not $status"
        expect err "other is no Parquet file"
    done
    run "$project/ioasis" trace
    [ $status -eq 2 ] || fail "code 2, not $status"
}
check "what a server records is looked at and replayed, and nothing else is replaced or read" recording

metrics() {
    serve --iommu iommu.sock --rng rng.sock --metrics
    port=$(sed -n 's|^metrics http://127\.0\.0\.1:\([0-9]*\)/metrics$|\1|p' said)
    [ -n "$port" ] || fail "the address of the metrics"
    run "$project/ioasis" serve --iommu i2.sock --rng r2.sock --control c2.sock --metrics "$port"
    expect_status 1
    grep -q "$port" err || fail "the port that is taken in the message"
    [ ! -e i2.sock ] && [ ! -e c2.sock ] && [ ! -e i2.sock.viot ] || fail "nothing of the second server to be left"
    run "$project/ioasis" serve --iommu i2.sock --rng r2.sock --control c2.sock --metrics 65536
    expect_status 2
    expect err '--metrics: a port is 0 to 65535, not 65536'
    stop TERM
    [ $status -eq 0 ] || fail "code 0 after SIGTERM, not $status"
}
check "metrics have an address, and a port that is taken is a failure that leaves nothing" metrics

# The commands of docs/flight-recorder.md in their order; behind the first a rogue shoots.
flight() {
    cat >serve.toml <<'END'
[[machine]]
[[machine.iommu]]
socket = "iommu.sock"
bypass = false
[[machine.iommu.rng]]
socket = "rng.sock"
endpoint = 0x28
rogue = true
END
    serve --config serve.toml
    # shellcheck disable=SC2034 # of the commands
    SERVER=$server
    PATH=$own_java/bin:$PATH
    awk '/^```sh *$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$project/docs/flight-recorder.md" >commands
    [ "$(wc -l <commands)" -ge 7 ] || fail "the document's commands"
    : >shown
    while IFS= read -r line; do
        printf '$ %s\n' "$line"
        run eval "$line"
        expect_status 0
        cat out >>shown
        [ -e volley ] || "$project/ioasis" rogue write 0xdead0000 --length 8 --count 3 --step 4096 >volley
    done <commands
    for address in 0xDEAD0000 0xDEAD1000 0xDEAD2000; do
        grep -q "machine0/iommu0 .* 40 .*WRITE .*$address .*DOMAIN .*attached to no domain and bypass is 0" shown ||
            fail "the fault at $address in the table"
    done
    [ "$(grep -c '^org.ioasis.Fault {' shown)" -eq 3 ] || fail "three faults to be printed"
    grep -q 'org.ioasis.Fault  *3 ' shown || fail "three faults to be counted"
    stop TERM
}
check "a flight recording of a server says who was refused what" flight

viot() {
    run "$project/ioasis" viot --output table --iommu 00:01.0 --range 00:02.0-00:1f.7
    [ $status -eq 0 ] && [ "$(wc -c <table)" -eq 88 ] || fail "a table"
    run "$project/ioasis" viot --check table
    [ $status -eq 0 ] || fail "it to be right"
    run "$project/ioasis" viot --check table --json
    grep -q '"valid" : true' out || fail "JSON that says so"
    for field in '"kind" : "virtio-iommu on PCI"' '"function" : "0000:00:01.0"' '"kind" : "PCI range"' \
        '"first" : "0000:00:02.0"' '"last" : "0000:00:1f.7"' '"endpoint" : 16' '"iommu" : 48'; do
        expect out "$field"
    done
    grep -q '"severity" : "warning"' out || fail "a range over several devices to be warned of"
    disk
    printf '[[machine]]\n[[machine.iommu]]\nsocket = "i"\naddress = "00:01.0"\n[[machine.iommu.blk]]\nsocket = "d"\nfile = "disk.img"\nendpoint = 0x20\n' >serve.toml
    run "$project/ioasis" viot --check table --config serve.toml
    [ $status -eq 0 ] && grep -q 'warning at 0x40: no endpoint answers for 0x10-0x1f, 0x21-0xff: ' out ||
        fail "the ids that nobody answers for"
    run "$project/ioasis" viot --check table --config serve.toml --machine other
    [ $status -eq 2 ] && grep -q 'serve.toml has no machine other' err || fail "a machine that is not there to be said"
    # The offset of the IOMMU, which the range at 0x40 names at 0x50.
    printf '\061' | dd of=table bs=1 seek=80 conv=notrunc 2>/dev/null
    run "$project/ioasis" viot --check table
    [ $status -eq 1 ] || fail "a wrong offset to be found"
    grep -q 'ERROR at 0x50: no node starts at 0x31' out || fail "it to be explained"
    run "$project/ioasis" viot --output table --iommu 00:01.0 --range 00:00.0-00:1f.7
    [ $status -eq 2 ] && grep -q 'contains the IOMMU' err || fail "a range with its IOMMU to be refused"
    run "$project/ioasis" viot --check missing
    [ $status -eq 1 ] || fail "a missing file to be said"
}
devicetree() {
    run "$project/ioasis" devicetree --output overlay --iommu 00:01.0 --bridge /pcie@10000000 \
        --range 00:00.0-ff:1f.7 --mmio-iommu /virtio_mmio@a000000 --device /virtio_mmio@a000200,endpoint=7,iommu=1
    [ $status -eq 0 ] && [ "$(od -An -tx1 -N4 overlay | tr -d ' ')" = d00dfeed ] || fail "an overlay"
    run "$project/ioasis" devicetree --output none --iommu 00:01.0 --range 00:02.0
    [ $status -eq 2 ] && grep -q 'no node is named for the host bridge of PCI segment 0' err ||
        fail "a missing bridge to be refused"
    [ ! -e none ] || fail "nothing to be written"
    run "$project/ioasis" devicetree --output none --mmio-iommu /virtio_mmio
    [ $status -eq 2 ] && grep -q -e 'not --mmio-iommu /NODE@ADDRESS: /virtio_mmio' err || fail "a node without an address"
}
check "devicetree writes an overlay, or says what is missing" devicetree

check "viot writes tables and finds what is wrong with one" viot

finish
