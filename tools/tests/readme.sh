#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every command in the sh blocks of README.md, CONTRIBUTING.md and the documents for users is one that the tests know: run
# here, or run by the test that is named here. Runs what is built.
. "$(dirname -- "$0")/lib.sh"
IOASIS_NO_BUILD=1
export IOASIS_NO_BUILD

# The lines of the sh blocks of a document, without comments, continued lines joined.
commands() { # document
    awk '/^```sh *$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$1" |
        sed -e ':a' -e '/\\$/N; s/\\\n//; ta' |
        sed -e 's/[ \t]#.*//' -e 's/^#.*//' -e 's/[ \t]*$//' -e '/^$/d'
}

# The options of a command line are ones that its --help names.
knows_options() { # command, argument...
    "$project/ioasis" "$1" --help >help
    shift
    for word; do
        case $word in
            --*)
                grep -q -F -e "${word%%=*}" help || fail "${word%%=*} in the help"
                ;;
        esac
    done
}

# One command; anything that is not known here fails.
try() { # word...
    case $* in
        './ioasis --help' | './ioasis --version')
            "$project/ioasis" "$2"
            ;;
        # The guest tests OwnGuestTest, Arm64Test and ServeGuestTest run the commands of their sections as they stand there;
        # here only the options are checked.
        './ioasis vm' | './ioasis vm '*)
            shift
            knows_options "$@"
            ;;
        # Needs nothing: it is run, shorter.
        './ioasis demo --seconds 3')
            for ring in split packed; do
                "$project/ioasis" demo --seconds 0.5 --ring "$ring" --json >demo.json
                grep -q '"ok":true' demo.json || fail "$(cat demo.json)"
            done
            ;;
        './ioasis demo --handover --seconds 3')
            for ring in split packed; do
                "$project/ioasis" demo --handover --seconds 0.5 --ring "$ring" --json >demo.json
                grep -q '"ok":true' demo.json || fail "$(cat demo.json)"
            done
            ;;
        './ioasis demo --handover --format lpae --seconds 3' | './ioasis demo --handover --format smmuv3 --seconds 3')
            "$project/ioasis" demo --handover --format "$5" --seconds 0.5 --json >demo.json
            grep -q '"ok":true' demo.json || fail "$(cat demo.json)"
            ;;
        # Ours is asked; CompareTest of module guest asks QEMU's, and ConformTest one at a socket.
        './ioasis conform') "$project/ioasis" conform >conform.txt || fail "$(cat conform.txt)" ;;
        './ioasis conform '*)
            shift
            knows_options "$@"
            ;;
        # CompareTest of module guest runs it.
        './ioasis compare' | './ioasis compare '*)
            shift
            knows_options "$@"
            ;;
        # HostCommandTest compiles and runs the example, and gives a program a disk; only the options are checked here.
        'cc -o ioas docs/examples/ioas.c') [ -r "$project/docs/examples/ioas.c" ] ;;
        # ProxyGuestTest compiles and runs it, and drives it with a guest.
        'cc -o nvme docs/examples/nvme.c' | './nvme device.sock disk.img') [ -r "$project/docs/examples/nvme.c" ] ;;
        './ioasis host '* | './ioasis selftests' | './ioasis selftests '*)
            shift
            knows_options "$@"
            ;;
        # Run by ServeGuestTest with a guest, and by serve.sh without one, that of nesting.md by ServedProfileTest; here
        # only the options are checked.
        './ioasis serve '* | './ioasis viot '* | './ioasis devicetree '* | './ioasis dump' | './ioasis dump '* | './ioasis check' | './ioasis inject '* | './ioasis rogue '*)
            shift
            knows_options "$@"
            ;;
        # serve.sh runs them on a recording of its own, and the guest tests replay what each cell has recorded.
        './ioasis trace info '* | './ioasis replay '*)
            shift 2
            [ "$1" != info ] || shift
            [ $# -eq 1 ] || fail "one file"
            ;;
        # serve.sh runs those of docs/flight-recorder.md as they stand there.
        'jcmd $SERVER '* | 'jfr '*) ;;
        # Running just now, and tested on small trees by test.sh, mutants.sh and launcher.sh.
        './ioasis test' | './ioasis mutants' | './ioasis build' | './ioasis format') ;;
        # Its options; the corpus is run by FuzzTest.
        './ioasis fuzz' | './ioasis fuzz '*)
            shift
            knows_options "$@"
            ;;
        # Its options; sweep.sh runs it.
        './ioasis sweep '*)
            shift
            knows_options "$@"
            ;;
        # Its options; LitmusTest runs the same tests.
        './ioasis stress' | './ioasis stress '*)
            shift
            knows_options "$@"
            ;;
        './ioasis test '*)
            shift 2
            for name; do
                case $name in
                    shell | --quick) continue ;;
                esac
                [ -d "$project/$name" ] || [ -n "$(find "$project" -name "${name%%#*}.java" -path '*/src/test/*')" ] ||
                    fail "$name to be a module or a test"
            done
            ;;
        # embed.sh does it, into a repository of its own.
        './ioasis install') ;;
        'git clone '*) ;;
        'cd ioasis') ;;
        *) fail "a command that this test knows" ;;
    esac
}

for document in README.md CONTRIBUTING.md docs/config.md docs/flight-recorder.md docs/host.md docs/monitoring/README.md docs/nesting.md docs/recording.md docs/sweep.md; do
    listed=$scratch/${document##*/}
    commands "$project/$document" >"$listed" 2>/dev/null
    is_there() {
        [ -s "$listed" ] || fail "commands in $document"
    }
    check "$document has commands" is_there
    while IFS= read -r line; do
        command_works() {
            # shellcheck disable=SC2086
            try $line
        }
        check "$document: $line" command_works
    done <"$listed"
done

unknown() {
    if (try ./ioasis nonsense); then
        fail "a command that is not known to fail"
    fi
    if (try ./ioasis test NoSuchTest); then
        fail "a test that is not there to fail"
    fi
}
check "a command that nobody tests is found" unknown

commands_of_blocks() {
    # shellcheck disable=SC2016
    printf 'a\n```sh\n./ioasis a --b \\\n  --c  # why\n# note\n\nb\n```\nc\n```text\nd\n```\n' >doc.md
    commands doc.md >found
    printf './ioasis a --b   --c\nb\n' >wanted
    cmp found wanted
}
check "commands are read from the sh blocks alone" commands_of_blocks

finish
