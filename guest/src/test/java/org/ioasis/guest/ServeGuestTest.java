// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.topology.QemuArguments;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A QEMU of one's own at {@code ./ioasis serve}, and what {@code ./ioasis check} says about it: the
 * README's two sections, each command as it stands there, with a Linux guest that reads the disk.
 */
class ServeGuestTest extends ServedGuest {
    /** What the loop does to tell of itself: signals and tasks. */
    private static final int DUMP_COSTS_MAX = 8;

    @Test
    void qemuOfOnesOwnIsAttachedByTheCommandsOfTheReadme() throws Exception {
        List<String> commands = Readme.commands("Attach my own QEMU");
        assertThat(commands).hasSize(5);

        try (Command server = serve(commands.get(0))) {
            try (Command qemu = qemu(server, ALL, arguments -> arguments)) {
                qemu.await("hash=" + sha256(content));
            }
            endBy("TERM", server);
        }
        Files.writeString(folder.resolve("serve.toml"), Readme.leastConfiguration());
        try (Command server = serve(commands.get(1))) {
            endBy("INT", server);
        }
        assertThat(run(0, commands.get(2))).isEqualTo("my.viot: 88 bytes");
        assertThat(folder.resolve("my.viot")).hasSize(88);
        assertThat(run(0, commands.get(3))).contains("00:11.0").doesNotContain("ERROR");
        assertThat(run(0, commands.get(4))).contains("my.dtbo");
        assertThat(folder.resolve("my.dtbo")).isNotEmptyFile();
    }

    @ParameterizedTest
    @ValueSource(strings = {"-machine q35 -usb", "-machine pc -usb"})
    void argumentsAreTakenWordForWordBesideQemusOwnDevices(String machine) throws Exception {
        try (Command server =
                serve(
                        "./ioasis serve --iommu iommu.sock --blk disk.sock,file=disk.img"
                                + " --rng rng.sock,endpoint=0x10")) {
            List<String> words = new ArrayList<>(environment());
            words.addAll(kit.qemu().command());
            words.addAll(List.of(machine.split(" ", -1)));
            words.addAll(List.of("-device", "virtio-balloon-pci", "-display", "none"));
            words.addAll(List.of("-accel", "tcg", "-S", "-qmp", "stdio"));
            // A script, for what it is to be told.
            Files.writeString(
                    folder.resolve("start"),
                    """
                    printf '%%s\\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-pci"}' '{"execute":"quit"}' |
                    %s \\
                    %s
                    """
                            .formatted(
                                    words.stream()
                                            .map(QemuArguments::quotedShell)
                                            .collect(Collectors.joining(" ")),
                                    String.join("\n", arguments(server))));

            String said = run(0, "sh start");

            // The VGA and the network are there, and so are ours.
            assertThat(said)
                    .contains("VGA controller", "Ethernet controller")
                    .contains("\"slot\": 16,", "\"slot\": 17,", "\"slot\": 18,");
            endBy("TERM", server);
        }
    }

    @Test
    void whyADiskIsNotTranslatedIsFoundByTheCommandsOfTheReadme() throws Exception {
        List<String> commands = Readme.commands("Find out why it is not translated");
        assertThat(commands).hasSize(5);
        String check = commands.get(0);

        try (Command server = serve(commands.get(3))) {
            assertThat(run(1, check)).contains("PROBLEM machine/disk0: no VMM has connected");
            try (Command qemu = qemu(server, ALL, arguments -> arguments)) {
                qemu.await("hash=" + sha256(content));
                assertThat(run(0, check)).contains("ok machine/disk0: translated");
                assertThat(run(0, commands.get(1)))
                        .contains("attached to domain", "requests: ATTACH/OK=");
                assertThat(run(0, commands.get(2))).contains("\"translations\" : ");
                assertThat(run(0, commands.get(4))).contains("planted: map_nomem 100");
                awaitTrace("-> NOMEM: planted");
            }

            try (Command qemu = qemu(server, ALL, ServeGuestTest::withoutTable)) {
                // The firmware and Linux both read it, past the IOMMU.
                qemu.await("hash=" + sha256(content));
                assertThat(run(1, check))
                        .contains("PROBLEM machine/disk0: the guest does not know that endpoint")
                        .containsPattern("[1-9][0-9]* accesses went untranslated \\(bypass is 1\\)")
                        .contains("do: the VIOT must map the device's PCI function");
            }

            try (Command qemu = qemu(server, List.of("virtio_blk"), arguments -> arguments)) {
                qemu.await("hash=none");
                assertThat(run(1, check))
                        .contains("PROBLEM machine/iommu: no driver in the guest has started")
                        .contains("does the guest's kernel have virtio_iommu")
                        .contains("PROBLEM machine/disk0: ");
            }

            try (Command qemu = qemu(server, ALL, ServeGuestTest::withoutSharedMemory)) {
                awaitCheck(check, "PROBLEM machine/disk0: the VMM has guest memory that it does");
                assertThat(run(1, check)).contains("do: give QEMU -object memory-backend-memfd");
                assertThat(qemu.isAlive()).isTrue();
            }
            endBy("TERM", server);
        }
    }

    @Test
    void guestSeesTheDevicesAsTheyWereChosenAndTheRogueIsRefused() throws Exception {
        try (Command server =
                        serve(
                                "./ioasis serve --iommu iommu.sock"
                                        + " --blk disk.sock,file=disk.img,num_queues=2,blk_size=4096,nodiscard"
                                        + " --rng rng.sock,rogue");
                Command qemu =
                        qemu(
                                server,
                                List.of("virtio_iommu", "virtio_blk", "virtio_rng"),
                                arguments -> append(arguments, "-smp 2"))) {
            qemu.await("disk=4096 bytes, 2 queues, ro 0, discard 0");
            qemu.await("random=64");
            qemu.await("hash=" + sha256(content));

            assertThat(run(0, "./ioasis rogue write 0xdead0000 --length 8 --count 1000"))
                    .startsWith(
                            "1000 writes of 8 bytes: 0 went through, 1000 refused by the IOMMU");
            // 00:12.0
            qemu.await("page fault from EP 144 at 0xdead0000 [W]");
            assertThat(
                            run(
                                    0,
                                    "./ioasis rogue read 0x0-0xffffffffffffffff --length 4096 --count 1000"))
                    .contains("1000 refused by the IOMMU");
            endBy("TERM", server);
        }
    }

    /** Two processors of a guest and a loop that may look for a second: one of them has to wait. */
    @ParameterizedTest
    @ValueSource(strings = {"poll_us = 0", "", "poll_us = 1000000"})
    void diskIsReadByTwoProcessorsHoweverLongTheLoopMayLook(String pollMicros) throws Exception {
        Files.writeString(
                folder.resolve("poll.toml"),
                Readme.leastConfiguration()
                        .replace("[[machine]]\n", "[[machine]]\n" + pollMicros + "\n"));

        try (Command server = serve("./ioasis serve --config poll.toml");
                Command qemu = qemu(server, ALL, arguments -> append(arguments, "-smp 2"))) {
            qemu.await("hash=" + sha256(content));

            assertThat(run(0, "./ioasis check")).contains("ok machine0/disk0: translated");
            String looks = pollMicros.endsWith(" 0") ? "\"looks\" : 0," : "\"looks\" : [1-9]";
            assertThat(run(0, "./ioasis dump --json")).containsPattern(looks);
            endBy("TERM", server);
        }
    }

    /** Ten seconds in which nothing wakes the loop but what asks it for its counters. */
    @Test
    void guestThatDoesNothingCostsNothing() throws Exception {
        guestWords = " ioasis.idle";

        try (Command server =
                        serve("./ioasis serve --iommu iommu.sock --blk disk.sock,file=disk.img");
                Command qemu = qemu(server, ALL, arguments -> arguments)) {
            qemu.await("hash=" + sha256(content));
            // Linux gives back what it has unmapped late, and the loop looks for more for a while.
            LoopCounters before = counters();
            LoopCounters after = counters();
            for (int i = 0; i < 60 && !after.isQuietSince(before); i++) {
                before = after;
                after = counters();
            }
            before = after;
            Thread.sleep(10_000);
            after = counters();

            assertThat(after.isQuietSince(before)).as("%s, then %s", before, after).isTrue();
            endBy("TERM", server);
        }
    }

    /** Of the loop; signals are those of other threads of ours, as the one that dumps. */
    private record LoopCounters(long events, long timers, long looks, long signals, long tasks) {
        boolean isQuietSince(LoopCounters before) {
            return events == before.events
                    && timers == before.timers
                    && looks == before.looks
                    && signals - before.signals <= DUMP_COSTS_MAX
                    && tasks - before.tasks <= DUMP_COSTS_MAX;
        }
    }

    private LoopCounters counters() throws Exception {
        String dump = run(0, "./ioasis dump --json");
        return new LoopCounters(
                counter(dump, "events"),
                counter(dump, "timers"),
                counter(dump, "looks"),
                counter(dump, "signals"),
                counter(dump, "tasks"));
    }

    private static long counter(String dump, String name) {
        Matcher found = Pattern.compile("\"%s\" : (\\d+)".formatted(name)).matcher(dump);
        assertThat(found.find()).as(name).isTrue();
        return Long.parseLong(found.group(1));
    }

    /** What looks at the rings of a guest that stands still has nothing to wait for. */
    @Test
    void vmmThatIsStoppedWhileTheLoopLooksGoesOnWhereItWas() throws Exception {
        Files.writeString(
                folder.resolve("poll.toml"),
                Readme.leastConfiguration()
                        .replace("[[machine]]\n", "[[machine]]\npoll_us = 1000000\n"));

        try (Command server = serve("./ioasis serve --config poll.toml");
                Command qemu = qemu(server, ALL, arguments -> arguments)) {
            int stops = 0;
            for (long looks = 0; looks == 0; looks = looks()) {
                assertThat(stops++).as("the loop has looked").isLessThan(1000);
                qemu.signalBelow("STOP");
                assertThat(run(0, "./ioasis dump --json")).as("the loop goes on").contains("turns");
                qemu.signalBelow("CONT");
            }
            qemu.signalBelow("STOP");
            // It looks on for as long as it may, and then sleeps.
            long asleep = looks();
            for (long now = looks(); now != asleep; now = looks()) {
                asleep = now;
            }
            qemu.signalBelow("CONT");
            qemu.await("hash=" + sha256(content));
            assertThat(run(0, "./ioasis check")).contains("ok machine0/disk0: translated");
            endBy("TERM", server);
        }
    }

    private long looks() throws Exception {
        return counters().looks();
    }

    @Test
    void diskBehindAPcieToPciBridgeNeedsItsAliasWhichCheckNames() throws Exception {
        assertThat(
                        run(
                                0,
                                "./ioasis viot --output my.viot --iommu 00:10.0 --range 01:01.0"
                                        + " --pci-bridge 01"))
                .contains("alias 0000:01:00.0 is endpoint 0x100: serve each device behind");
        String serve =
                "./ioasis serve --iommu iommu.sock --blk disk.sock,file=disk.img,endpoint=0x108";

        try (Command server = serve(serve)) {
            try (Command qemu = qemu(server, ALL, ServeGuestTest::behindABridge)) {
                // Linux goes on without the domain that it was refused, up to the first ring that
                // it shows to the disk: how far the guest comes then is its own affair.
                qemu.await("page fault from EP 264");
                awaitCheck(
                        "./ioasis check",
                        "PROBLEM machine/disk0: the guest's driver attaches endpoint 0x100 too");
                assertThat(run(1, "./ioasis check"))
                        .contains("do: add alias=0x100 to the device's option");
            }
            endBy("TERM", server);
        }
        try (Command server = serve(serve + ",alias=0x100")) {
            try (Command qemu = qemu(server, ALL, ServeGuestTest::behindABridge)) {
                qemu.await("hash=" + sha256(content));
                assertThat(run(0, "./ioasis check")).contains("ok machine/disk0: translated");
            }
            endBy("TERM", server);
        }
    }

    private static List<String> behindABridge(List<String> arguments) {
        List<String> changed =
                new ArrayList<>(List.of("  -device pcie-pci-bridge,id=br,addr=5 \\"));
        arguments.forEach(line ->
                changed.add(line.replace("\"addr\":\"11.0\"", "\"bus\":\"br\",\"addr\":\"1.0\"")));
        return withMyTable(changed);
    }

    private static List<String> withMyTable(List<String> arguments) {
        return arguments.stream()
                .map(line ->
                        line.strip().startsWith("-acpitable ")
                                ? "  -acpitable file=my.viot \\"
                                : line)
                .toList();
    }

    @Test
    void rangeOverTheChipsetCostsLinux7ItsIommuWhichCheckNamesAndPresentMends() throws Exception {
        kit = kit(KernelChoice.Debian.BACKPORTS);
        assertThat(run(0, "./ioasis viot --output my.viot --iommu 00:10.0 --range 00:11.0-00:1f.7"))
                .contains("warning: the range 0000:00:11.0 to 0000:00:1f.7 names more than one");
        String serve = "./ioasis serve --iommu iommu.sock --blk disk.sock,file=disk.img";

        try (Command server = serve(serve)) {
            try (Command qemu = qemu(server, ALL, ServeGuestTest::withMyTable)) {
                qemu.await("hash=none");
                assertThat(run(1, "./ioasis check"))
                        .contains(
                                "PROBLEM machine/iommu: the guest's driver asked for endpoint 0xf")
                        .contains("--present 0xf");
            }
            endBy("TERM", server);
        }
        try (Command server = serve(serve + " --present 0xf8-0xff")) {
            try (Command qemu = qemu(server, ALL, ServeGuestTest::withMyTable)) {
                qemu.await("hash=" + sha256(content));
                assertThat(run(0, "./ioasis check")).contains("ok machine/disk0: translated");
                assertThat(run(0, "./ioasis dump"))
                        .contains(
                                "endpoint 0xf8, present; its accesses do not come through us, att");
            }
            endBy("TERM", server);
        }
    }

    @Test
    void imageHasOneWriterWhetherItIsQemuOrUs() throws Exception {
        List<String> words = new ArrayList<>(environment());
        words.addAll(kit.qemu().command());
        words.addAll(
                List.of("-nodefaults", "-display", "none", "-accel", "tcg", "-S", "-qmp", "stdio"));
        words.addAll(List.of("-drive", "file=disk.img,format=raw,if=virtio"));
        String start =
                words.stream().map(QemuArguments::quotedShell).collect(Collectors.joining(" "));
        String serve = "./ioasis serve --iommu iommu.sock --blk disk.sock,file=disk.img";

        try (Command server = serve(serve)) {
            assertThat(run(1, start)).contains("Failed to get \"write\" lock");
            endBy("TERM", server);
        }
        try (Command qemu = Command.typed(folder, start)) {
            qemu.await("QMP");
            assertThat(run(1, serve))
                    .containsPattern("disk.img is in use: process [0-9]+ .* writes to it");
        }
    }

    private static List<String> withoutTable(List<String> arguments) {
        List<String> kept = new ArrayList<>(arguments);
        assertThat(kept.removeIf(line -> line.strip().startsWith("-acpitable "))).isTrue();
        return kept;
    }

    private static List<String> withoutSharedMemory(List<String> arguments) {
        List<String> kept = new ArrayList<>(arguments);
        assertThat(kept.removeIf(line -> line.strip().startsWith("-object "))).isTrue();
        assertThat(kept.removeIf(line -> line.strip().startsWith("-machine "))).isTrue();
        return kept;
    }

    private void awaitCheck(String check, String text) throws Exception {
        for (int i = 0; i < 200; i++) {
            try (Command command = Command.typed(folder, check)) {
                command.end();
                if (command.output().contains(text)) {
                    return;
                }
            }
        }
        throw new AssertionError(run(1, check));
    }

    private void awaitTrace(String text) throws Exception {
        Path trace = folder.resolve("requests.log");
        for (int i = 0; i < 3000; i++) {
            if (Files.readString(trace).contains(text)) {
                return;
            }
            Thread.sleep(10);
        }
        throw new AssertionError("not in the trace: " + text);
    }
}
