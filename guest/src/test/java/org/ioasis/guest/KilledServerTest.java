// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;
import org.junit.jupiter.api.Test;

/**
 * {@code ./ioasis serve} is killed under a Linux guest, in which a program maps and unmaps all the
 * time for a device whose accesses do not come through us, and started again. QEMU's vhost-user
 * device cannot be connected twice: something stands between that can ({@link VhostRelay}).
 */
class KilledServerTest extends ServedGuest {
    private static final int KILLS = 20;

    /** Where the server puts it. */
    private static final int IOMMU_SLOT = 0x10;

    private static final int SLOT = 3;
    private static final int ENDPOINT = Viot.bdf(0, SLOT, 0);
    private static final String SERVE =
            "./ioasis serve --vhost-user --iommu iommu.sock --present 0x%x".formatted(ENDPOINT);
    private static final List<String> DRIVERS =
            List.of("virtio_iommu", "vfio_iommu_type1", "vfio_pci");
    private static final Pattern COUNT = Pattern.compile("mapper: (\\d+)");
    private static final Pattern MAPPING =
            Pattern.compile(
                    "\"first\" : \"(0x[0-9a-f]+)\",\\s*\"last\" : \"(0x[0-9a-f]+)\","
                            + "\\s*\"output\" : \"(0x[0-9a-f]+)\"");
    private static final Pattern MAPPED = Pattern.compile("mapped (0x[0-9a-f]+) (0x[0-9a-f]+)");

    @Test
    void killedTwentyTimesUnderAGuestItGoesOnAndItsStateIsWhatAProgramThereHasMapped()
            throws Exception {
        Path between = folder.resolve("between.sock");
        Command server = serve(SERVE);
        try (VhostRelay relay = new VhostRelay(between, folder.resolve("iommu.sock"));
                Command qemu = qemu(server, between)) {
            long before = 0;
            for (int kill = 0; kill < KILLS; kill++) {
                before = further(qemu, relay, before);
                server.signal("KILL");
                assertThat(server.end()).isNotZero();
                server.close();
                server = serve(SERVE);
            }
            long last = further(qemu, relay, before);
            assertThat(relay.reconnects()).isEqualTo(KILLS);
            qemu.type("\n");
            qemu.await("mapped all");
            Map<String, String> wanted = new TreeMap<>();
            Matcher line = MAPPED.matcher(qemu.output());
            while (line.find()) {
                wanted.put(line.group(1), line.group(2));
            }
            assertThat(mapped()).isEqualTo(wanted);
            assertThat(wanted).as("pages").hasSizeGreaterThan(8);
            assertThat(qemu.output()).doesNotContain("WARNING", "virtio_iommu virtio0: ", "BUG");
            System.out.printf(
                    "%d pages mapped or unmapped over %d kills, %d mapped at the end%n",
                    last, KILLS, wanted.size());
        } finally {
            server.signal("KILL");
            server.close();
        }
    }

    /** Until the program has gone on: what it says of that. */
    private static long further(Command qemu, VhostRelay relay, long before) throws Exception {
        long[] now = {before};
        qemu.await(
                "that says more than " + before + ", " + relay.failure(),
                said -> {
                    Matcher count = COUNT.matcher(said);
                    if (count.find()) {
                        now[0] = Long.parseLong(count.group(1));
                    }
                    assertThat(said).as(qemu.output()).doesNotContain("error=", "VFIO_IOMMU");
                    return now[0] > before + 400;
                });
        return now[0];
    }

    /** By first address what the server says is mapped, each a page. */
    private Map<String, String> mapped() throws Exception {
        Matcher mapping = MAPPING.matcher(run(0, "./ioasis dump --json"));
        Map<String, String> found = new TreeMap<>();
        while (mapping.find()) {
            long first = Long.decode(mapping.group(1));
            assertThat(Long.decode(mapping.group(2))).isEqualTo(first + 0xfff);
            assertThat(found.put(mapping.group(1), mapping.group(3))).isNull();
        }
        return found;
    }

    /** With a function of QEMU's own for the program, and a table that names it. */
    private Command qemu(Command server, Path between) throws Exception {
        Path initrd = folder.resolve("initrd");
        Initramfs initramfs = Initramfs.write(initrd, kit, DRIVERS, Optional.empty());
        ExtraArchive.append(initrd, "mapper-init");
        ExtraArchive.append(initrd, "common", resource("lib"));
        ExtraArchive.append(initrd, "bin/mapper", Files.readAllBytes(compiled()));
        Path viot = folder.resolve("own.viot");
        Files.write(
                viot,
                Viot.table(
                        Viot.Oem.IOASIS,
                        List.of(new Viot.Iommu(0, Viot.bdf(0, IOMMU_SLOT, 0))),
                        List.of(new Viot.PciRange(0, 0, ENDPOINT, ENDPOINT, ENDPOINT)),
                        Viot.OwnFunction.REFUSED));
        List<String> words = new ArrayList<>(environment());
        words.addAll(kit.qemu().command());
        words.addAll(
                List.of("-machine", "q35", "-nodefaults", "-display", "none", "-serial", "stdio"));
        words.addAll(List.of("-accel", "tcg", "-cpu", "max,la57=off", "-no-reboot"));
        words.addAll(List.of("-device", "edu,addr=" + SLOT));
        words.addAll(List.of("-kernel", kit.kernel().image().toString()));
        words.addAll(List.of("-initrd", initrd.toString(), "-append"));
        words.add(
                "console=ttyS0 quiet panic=-1 printk.devkmsg=on rdinit=/mapper-init ioasis.modules="
                        + String.join(",", initramfs.modules()));
        StringBuilder line = new StringBuilder();
        words.forEach(word -> line.append(QemuArguments.quotedShell(word)).append(' '));
        String printed = String.join("\n", arguments(server));
        return Command.typed(
                folder,
                line
                        + "\\\n"
                        + printed.replaceAll("file=[^ ']*viot", "file=" + viot)
                                .replaceAll("path=[^ ',]*iommu\\.sock", "path=" + between));
    }

    private static byte[] resource(String name) throws Exception {
        try (InputStream in = KilledServerTest.class.getResourceAsStream(name)) {
            return Objects.requireNonNull(in).readAllBytes();
        }
    }

    private Path compiled() throws Exception {
        Path source = Files.write(folder.resolve("mapper.c"), resource("mapper.c"));
        Path program = folder.resolve("mapper");
        List<String> words =
                List.of(
                        "cc",
                        "-O2",
                        "-Wall",
                        "-Werror",
                        "-static",
                        "-o",
                        program.toString(),
                        source.toString());
        Process compiler = new ProcessBuilder(words).inheritIO().start();
        assertThat(compiler.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(compiler.exitValue()).as(words.toString()).isZero();
        return program;
    }
}
