#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts what is built into a Maven repository on this machine, for programs that embed it: jars, their sources and their
# Javadoc. Nothing is compiled but what ./ioasis build would compile.
set -eu
[ -n "${IOASIS_ROOT-}" ] || exec "$(dirname -- "$0")/../ioasis" install "$@"
. "$IOASIS_ROOT/tools/lib.sh"

# In the order of dependency: what authors of devices and embedders use, without the commands.
modules="sys core host server machine"

usage="Usage: ioasis install [FOLDER]
Installs the artifacts org.ioasis:ioasis-core, -host, -server, -machine and -sys, with sources and Javadoc, into the
Maven repository in FOLDER (default: your local repository, as Maven has it), where mvn -Dmaven.repo.local=FOLDER finds
them. docs/embedding.md says how they are used."

case ${1-} in
    -h | --help)
        printf '%s\n' "$usage"
        exit 0
        ;;
    -*)
        say "ioasis install: unknown argument $1"
        say "$usage"
        exit 2
        ;;
esac
if [ $# -gt 1 ]; then
    say "ioasis install: one FOLDER, not $*"
    say "$usage"
    exit 2
fi
folder=${1-}
case $folder in
    '' | /*) ;;
    *) folder=$PWD/$folder ;;
esac

build
need_maven
image=$(current_image)
work=$(mktemp -d "${TMPDIR:-/tmp}/ioasis.XXXXXX")
at_exit() {
    rm -rf "$work"
}
trap at_exit EXIT

version=$(sed -n 's/^  <version>\(.*\)<\/version>$/\1/p' "$root/pom.xml")
quick="-J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC"
for name in $modules; do
    "$JAVA_HOME/bin/jar" $quick --create --file "$work/$name-sources.jar" -C "$root/$name/src/main/java" .
    # What is exported, and nothing that a reader cannot use.
    # shellcheck disable=SC2086
    "$JAVA_HOME/bin/javadoc" $quick -quiet -notimestamp -Xdoclint:all,-missing -Werror --release 25 -d "$work/$name" \
        --module-path "$image" --module-source-path "org.ioasis.$name=$root/$name/src/main/java" \
        --module "org.ioasis.$name" >"$work/log" 2>&1 || {
        sed 40q "$work/log" >&2
        say "ioasis install: no Javadoc of $name"
        exit 1
    }
    "$JAVA_HOME/bin/jar" $quick --create --file "$work/$name-javadoc.jar" -C "$work/$name" .
done

# One start of Maven for all of them.
{
    printf '<project><modelVersion>4.0.0</modelVersion><groupId>org.ioasis</groupId><artifactId>install</artifactId>'
    printf '<version>1</version><packaging>pom</packaging><build><plugins><plugin><artifactId>maven-install-plugin</artifactId>'
    printf '<version>3.1.4</version><executions>'
    printf '<execution><id>parent</id><goals><goal>install-file</goal></goals><configuration><packaging>pom</packaging>'
    printf '<file>%s</file><pomFile>%s</pomFile></configuration></execution>' "$root/pom.xml" "$root/pom.xml"
    for name in $modules; do
        printf '<execution><id>%s</id><goals><goal>install-file</goal></goals><configuration>' "$name"
        printf '<file>%s</file><pomFile>%s</pomFile>' "$image/ioasis-$name-$version.jar" "$root/$name/pom.xml"
        printf '<sources>%s</sources><javadoc>%s</javadoc></configuration></execution>' \
            "$work/$name-sources.jar" "$work/$name-javadoc.jar"
    done
    printf '</executions></plugin></plugins></build></project>\n'
} >"$work/pom.xml"
set -- install:install-file@parent
for name in $modules; do
    set -- "$@" "install:install-file@$name"
done
tick() {
    :
}
if ! run_maven "$work/log" -f "$work/pom.xml" ${folder:+"-DlocalRepositoryPath=$folder"} "$@"; then
    show_log "$work/log"
    exit 1
fi
for name in $modules; do
    printf 'org.ioasis:ioasis-%s:%s\n' "$name" "$version"
done
