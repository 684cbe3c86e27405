#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Packs what is built, with as much of a JDK as it needs, into one archive for machines without a JDK.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" dist "$@"
. "$IOASIS_ROOT/tools/lib.sh"

usage="Usage: ioasis dist [FILE]
Writes an archive (default: ioasis.tar.gz) that is unpacked anywhere on Linux on x86-64 and needs nothing but a shell:
ioasis/ioasis is the command. What needs the source tree (test, mutants, fuzz, stress, bench) is not in it."

case ${1-} in
    -h | --help)
        printf '%s\n' "$usage"
        exit 0
        ;;
    -*)
        say "ioasis dist: unknown argument $1"
        say "$usage"
        exit 2
        ;;
esac
file=${1:-ioasis.tar.gz}
if [ $# -gt 1 ]; then
    say "ioasis dist: one FILE, not $*"
    say "$usage"
    exit 2
fi
if [ -e "$file" ]; then
    say "ioasis dist: $file is there: it is not replaced; remove it or name another"
    exit 2
fi
for tool in "$JAVA_HOME/bin/jlink" tar gzip; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        say "ioasis dist: $tool is needed and is not there."
        exit $unavailable
    fi
done

build
image=$(current_image)
work=$(mktemp -d "${TMPDIR:-/tmp}/ioasis.XXXXXX")
at_exit() {
    rm -rf "$work"
}
trap at_exit EXIT

mkdir -p "$work/ioasis/lib"
cp "$image"/*.jar "$work/ioasis/lib/"
cp -r "$image/classpath" "$work/ioasis/lib/"
# What the modules of the program require, and how Java tells of signals.
"$JAVA_HOME/bin/jlink" --add-modules java.base,java.logging,java.management,java.naming,java.xml,jdk.jfr,jdk.unsupported --strip-debug \
    --no-header-files --no-man-pages --output "$work/ioasis/runtime"
cp "$root/LICENSE" "$work/ioasis/"
printf 'picocli-*.jar: its classes are in the format of Java 8, and are otherwise as they were published.\n' >"$work/ioasis/lib/CHANGES"
cat >"$work/ioasis/ioasis" <<'END'
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ioasis with a Java of its own.
set -eu
self=$0
while [ -L "$self" ]; do
    link=$(readlink "$self")
    case $link in
        /*) self=$link ;;
        *) self=${self%/*}/$link ;;
    esac
done
here=$(CDPATH='' cd -P -- "${self%/*}" && pwd -P)
case ${1-} in
    host | selftests | compare | bench) compiler= ;;
    *) compiler="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" ;;
esac
# shellcheck disable=SC2086
exec "$here/runtime/bin/java" $compiler --module-path "$here/lib" --class-path "$here/lib/classpath/*" \
    --enable-native-access=org.ioasis.sys \
    -m org.ioasis.app/org.ioasis.cli.Main "$@"
END
chmod +x "$work/ioasis/ioasis"
tar -C "$work" -cf "$work/archive" ioasis
gzip -c "$work/archive" >"$file"
printf '%s: %s bytes\n' "$file" "$(wc -c <"$file")"
