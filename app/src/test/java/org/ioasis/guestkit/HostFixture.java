// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A machine with exactly the programs that a test gives it: shell scripts in one folder, which is
 * the whole PATH. Each call is noted in a file.
 */
final class HostFixture {
    private final Path bin;
    private final Path log;
    private final Map<String, String> environment = new LinkedHashMap<>();
    private String architecture = "amd64";

    HostFixture(Path folder) throws IOException {
        bin = Files.createDirectories(folder.resolve("bin"));
        log = folder.resolve("calls");
        environment.put("PATH", bin.toString());
        environment.put("IOASIS_CACHE", folder.resolve("cache").toString());
    }

    Path cache() {
        return Path.of(environment.getOrDefault("IOASIS_CACHE", "/nonexistent"));
    }

    HostFixture with(String variable, String value) {
        environment.put(variable, value);
        return this;
    }

    HostFixture without(String variable) {
        environment.remove(variable);
        return this;
    }

    HostFixture architecture(String name) {
        architecture = name;
        return this;
    }

    /** Adds a program; the script sees the usual tools of the machine. */
    HostFixture program(String name, String script) throws IOException {
        executable(
                bin.resolve(name),
                "echo \"" + name + " $*\" >>'" + log + "'\nPATH=/usr/bin:/bin\n" + script);
        return this;
    }

    static Path executable(Path file, String script) throws IOException {
        Files.writeString(file, "#!/bin/sh\n" + script + "\n");
        return Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    Host host() {
        return new Host(environment, architecture);
    }

    List<String> calls() throws IOException {
        return Files.exists(log) ? Files.readAllLines(log) : List.of();
    }

    void forgetCalls() throws IOException {
        Files.deleteIfExists(log);
    }

    /** What a QEMU says that has our device. */
    static String qemu(String version) {
        return """
        case "$*" in
            *-version) echo "QEMU emulator version %s (Debian)" ;;
            *"-device help") echo 'name "vfio-user-pci", bus PCI, desc "VFIO over socket"' ;;
            *) exit 1 ;;
        esac
        """
                .formatted(version);
    }

    /** apt and dpkg with a Debian that has one kernel, busybox and a QEMU of two packages. */
    HostFixture debian() throws IOException {
        program(
                "apt-get",
                """
                case "$*" in
                    "indextargets "*)
                        echo "Repo-URI: http://mirror.invalid/debian/"
                        echo "Component: main"
                        echo "Origin: Debian"
                        echo "Label: Debian" ;;
                    "-q update") grep -q 'trixie main' "$(dirname "$APT_CONFIG")/sources.list" ;;
                    "-q -t trixie"*" download "*)
                        shift 4
                        arch=$(grep -m 1 -o 'arch=[a-z0-9]*' "$(dirname "$APT_CONFIG")/sources.list")
                        for name; do : >"${name}_1%3a2-3_${arch#*=}.deb"; done ;;
                    *"install qemu-system-x86")
                        cd "$(dirname "$APT_CONFIG")/cache/archives"
                        echo "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded."
                        echo "Need to get 37.9 MB of archives."
                        echo "Get:1 http://mirror.invalid a"
                        echo "Get:2 http://mirror.invalid b"
                        : >libc6_2.41-1_amd64.deb
                        : >qemu-system-x86_1%3a11.1.3_amd64.deb ;;
                    *"install qemu-system-arm")
                        cd "$(dirname "$APT_CONFIG")/cache/archives"
                        : >qemu-system-arm_1%3a11.1.3_amd64.deb ;;
                    *) exit 1 ;;
                esac
                """);
        program(
                "apt-config",
                """
                echo 'APT::Update::Post-Invoke:: "touch /hooked";'
                echo 'Acquire::http::Proxy "http://proxy.invalid:3128";'
                """);
        program(
                "apt-cache",
                """
                echo "$4"
                case "$2 $4" in
                    "trixie linux-image-cloud-amd64")
                        echo "  Depends: linux-image-9.9.1-cloud-amd64" ;;
                    "trixie linux-image-amd64") echo "  Depends: linux-image-9.9.1-amd64" ;;
                    "trixie linux-image-cloud-arm64")
                        echo "  Depends: linux-image-9.9.1-cloud-arm64" ;;
                    "trixie-backports linux-image-cloud-amd64")
                        echo "  Depends: linux-base-cloud-amd64"
                        echo "  Depends: linux-image-10.0.1-cloud-amd64" ;;
                    "trixie "*) echo "  Depends: kmod" ;;
                    *)
                        echo " |Depends: dracut"
                        for piece in base binary modules; do
                            echo "  Depends: linux-$piece-10.0.1-cloud-amd64"
                        done ;;
                esac
                """);
        Path qemu = executable(bin.resolve("unpacked-qemu"), qemu("11.1.3"));
        program(
                "dpkg",
                """
                cd "$3"
                case $2 in
                    *linux-image*)
                        mkdir -p boot usr/lib/modules/9.9.1/kernel
                        : >boot/vmlinuz-9.9.1
                        : >usr/lib/modules/9.9.1/modules.builtin ;;
                    *linux-base-10*)
                        mkdir -p usr/lib/modules/10.0.1
                        : >usr/lib/modules/10.0.1/modules.builtin ;;
                    *linux-binary-10*) : >usr/lib/modules/10.0.1/vmlinuz ;;
                    *busybox*) mkdir -p usr/bin; cp /bin/sh usr/bin/busybox ;;
                    *qemu-efi*)
                        mkdir -p usr/share/qemu-efi-aarch64 usr/share/AAVMF
                        : >usr/share/qemu-efi-aarch64/QEMU_EFI.fd
                        : >usr/share/AAVMF/AAVMF_CODE.fd ;;
                    *grub-efi*)
                        mkdir -p usr/lib/grub/arm64-efi
                        : >usr/lib/grub/arm64-efi/kernel.img ;;
                    *qemu*) mkdir -p usr/lib64; cp '%s' usr/lib64/ld-linux-x86-64.so.2 ;;
                esac
                """
                        .formatted(qemu));
        return this;
    }
}
