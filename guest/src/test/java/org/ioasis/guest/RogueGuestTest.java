// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.kind.blk.Disk;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.kind.rng.Rng;
import org.ioasis.kind.rng.RngOptions;
import org.ioasis.live.MachineView;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Access;
import org.ioasis.page.Page;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.rogue.Aim;
import org.ioasis.virtio.rogue.Tally;
import org.ioasis.virtio.rogue.Volley;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Workspace;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A device that lies, in a stock guest that does I/O: nothing that its driver has not mapped for it
 * is reached. What must not change is a part of memory that the kernel is told to leave alone, so
 * that its digest is the same unless a device wrote to it.
 */
class RogueGuestTest {
    private static final int DISK_BYTES = 8 << 20;
    private static final int ROGUE_SLOT = 5;
    private static final int ENDPOINT = Viot.bdf(0, ROGUE_SLOT, 0);
    private static final long RESERVED = 0x1000_0000L;
    private static final int RESERVED_BYTES = 16 << 20;
    private static final long UNMISTAKABLE = 0xdead_0000L;
    private static final long SEEN = 0xbad0_0000L;
    private static final String LAST_REQUEST =
            "return document.querySelector('#requests tr')?.textContent";
    private static final Duration PATIENCE = Duration.ofMinutes(2);
    private static final List<String> DRIVERS = List.of("virtio_iommu", "virtio_blk", "virtio_rng");

    private final BlockingQueue<GuestEvent> events = new LinkedBlockingQueue<>();
    private final List<String> seen = new ArrayList<>();

    @ParameterizedTest
    @CsvSource({"STABLE, 6012, true", "BACKPORTS, 7002, false"})
    void rogueReachesNothingThatItsDriverHasNotMapped(
            KernelChoice.Debian kernel, int leastSeries, boolean isLookedAt) throws Exception {
        byte[] content = new byte[DISK_BYTES];
        new Random(42).nextBytes(content);
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit = new Provisioner(host, cleanup, System.out::println).provide(kernel);
            assertThat(Cells.series(kit.kernel().release())).isGreaterThanOrEqualTo(leastSeries);
            try (Workspace workspace = Workspace.create(host, cleanup, 128L << 20);
                    Machine machine =
                            new Machine(
                                    "rogue",
                                    IommuOptions.DEFAULT,
                                    IdlePolicy.EVENT_DRIVEN,
                                    workspace.file("iommu.sock"))) {
                Path from = Files.write(workspace.file("from.img"), content);
                Disk source = disk(machine, workspace, 2, "from", from, false);
                Path to = Files.write(workspace.file("to.img"), content);
                Disk target = disk(machine, workspace, 3, "to", to, true);
                Path control = workspace.emptyDisk("control.img", 4096);
                Disk unused = disk(machine, workspace, 4, "control", control, false);
                Rng rogue =
                        machine.add(
                                machine.iommus().getFirst(),
                                new RngOptions(
                                        DevicePlace.of(
                                                "rng", workspace.file("disk5.sock"), ENDPOINT),
                                        true));
                machine.start();
                try (QemuProcess qemu =
                        QemuProcess.start(command(kit, workspace), host, cleanup, events::add)) {
                    await("the guest's I/O", e -> e instanceof GuestEvent.Step s && isIo(s));
                    assertThat(unused.endpoint().id()).isEqualTo(Viot.bdf(0, 4, 0));
                    assertIsTranslated(machine, rogue, target);
                    if (isLookedAt) {
                        look(machine, rogue, workspace.file("browser"));
                    }

                    fire(machine, rogue, target);

                    Files.write(
                            control,
                            "stop".getBytes(StandardCharsets.US_ASCII),
                            StandardOpenOption.WRITE);
                    assertThat(
                                    qemu.await(
                                            PATIENCE,
                                            () ->
                                                    System.out.println(
                                                            MachineView.of(machine).text())))
                            .isEqualTo(new QemuProcess.End.Exited(0));
                    assertThat(qemu.report().failure()).as(text()).isEmpty();
                    assertThat(qemu.report().isFinished()).as(text()).isTrue();
                    assertThat(qemu.report().hashes()).containsExactly(sha256(content));
                }
                assertThat(Files.readAllBytes(to)).isEqualTo(content);
                assertThat(source.accesses().faults() + target.accesses().faults()).isZero();
                assertThat(target.requests().discards().ok()).isPositive();
                assertThat(machine.internalFailures()).isZero();
            }
        }
    }

    private static boolean isIo(GuestEvent.Step step) {
        return step.name().equals("io");
    }

    private static Disk disk(
            Machine machine,
            Workspace workspace,
            int slot,
            String name,
            Path file,
            boolean isWritable)
            throws IOException {
        Path socket = workspace.file("disk" + slot + ".sock");
        return machine.add(
                machine.iommus().getFirst(),
                DiskOptions.builder(DevicePlace.of(name, socket, Viot.bdf(0, slot, 0)), file)
                        .writable(isWritable)
                        .settings(BlkSettings.builder().serial(name).build())
                        .build());
    }

    private static QemuCommand command(GuestKit kit, Workspace workspace) throws IOException {
        Initramfs initramfs =
                Initramfs.write(workspace.file("initramfs"), kit, DRIVERS, Optional.empty());
        ExtraArchive.append(initramfs.file(), "lib", "rogue-init");
        List<QemuArguments.Function> functions = new ArrayList<>();
        List<Viot.PciRange> ranges = new ArrayList<>();
        functions.add(new QemuArguments.Function(1, 0, workspace.file("iommu.sock")));
        for (int slot = 2; slot <= ROGUE_SLOT; slot++) {
            int bdf = Viot.bdf(0, slot, 0);
            Path socket = workspace.file("disk" + slot + ".sock");
            functions.add(new QemuArguments.Function(slot, 0, socket));
            ranges.add(new Viot.PciRange(0, 0, bdf, bdf, bdf));
        }
        Path viot = workspace.file("viot");
        Files.write(
                viot,
                Viot.table(
                        Viot.Oem.IOASIS,
                        List.of(new Viot.Iommu(0, Viot.bdf(0, 1, 0))),
                        ranges,
                        Viot.OwnFunction.REFUSED));
        String commandLine =
                "console=ttyS0 quiet panic=-1 printk.devkmsg=on printk.time=1 rdinit=/rogue-init"
                        + " memmap=16M$0x10000000 ioasis.modules="
                        + String.join(",", initramfs.modules());
        return QemuCommand.builder(kit.qemu(), Accel.TCG, kit.kernel().image(), initramfs.file())
                .commandLine(commandLine)
                .acpiTables(List.of(viot))
                .functions(functions)
                .build();
    }

    private static void assertIsTranslated(Machine machine, Rng rogue, Disk target) {
        assertThat(machine.requests(RequestType.ATTACH, Status.OK)).isPositive();
        assertThat(MachineView.of(machine).text())
                .containsPattern("endpoint 0x28\n(?:      .*\n)*?      attached to domain 0x");
        assertThat(rogue.requests().bytes()).as("bytes for the guest").isPositive();
        assertThat(rogue.accesses().translations()).isPositive();
        assertThat(target.accesses().bypassedAfterAttach()).isZero();
    }

    /** What a person at the page sees of it while the guest goes on. */
    private static void look(Machine machine, Rng rogue, Path profile) throws Exception {
        Files.createDirectory(profile);
        try (Page page = Page.start(List.of(machine), 0);
                Browser browser = Browser.open(page.address(), profile)) {
            browser.await("devices", text -> text.contains("rng") && text.contains("to"));
            browser.awaitCount("#map .mapped", 1);

            allRefused(rogue, Access.WRITE, new Aim.Stride(SEEN, 0), 64, 1);

            String at = "0x%x".formatted(SEEN);
            assertThat(browser.await("faults", text -> text.contains(at)))
                    .contains("WRITE " + at, "rng")
                    .containsPattern(
                            "not mapped in domain 0x[0-9a-f]+; nearest is 0x[0-9a-f]+\\.\\.");
            browser.await("devices", text -> text.contains("1 refused"));
            // It is marked in the rogue's own domain, and requests of the guest still come.
            browser.script("document.querySelector('#faults button').click()");
            browser.awaitCount("#map .fault", 1);
            assertThat(browser.await("cell", text -> text.contains("refused")))
                    .contains("nothing is mapped", "not mapped in domain");
            assertThat(
                            browser.script(
                                            "return document.querySelector('#domain').selectedOptions[0].textContent")
                                    .toString())
                    .contains("(rng)");
            String last = browser.script(LAST_REQUEST).toString();
            browser.awaitScript(LAST_REQUEST + " !== '%s'".formatted(last), true);
            browser.screenshot("page-rogue");
            browser.assertQuiet(PageTest.LOADED);
        }
    }

    private void fire(Machine machine, Rng rogue, Disk target) throws Exception {
        byte[] marked = new byte[RESERVED_BYTES];
        new Random(7).nextBytes(marked);
        long refused = 0;
        try (GuestRam ram = GuestRam.ofOnlyQemu()) {
            ram.write(RESERVED, marked);
            String digest = sha256(ram.read(RESERVED, RESERVED_BYTES));
            assertThat(digest).isEqualTo(sha256(marked));

            // Alone, so that no other fault stands in its place in the guest's log.
            refused += allRefused(rogue, Access.WRITE, new Aim.Stride(UNMISTAKABLE, 0), 64, 1);
            await(
                    "the fault in the kernel's log",
                    e ->
                            e instanceof GuestEvent.Text(String line)
                                    && line.contains("page fault from EP %d at".formatted(ENDPOINT))
                                    && line.contains("0x%x [W]".formatted(UNMISTAKABLE)));

            long writes = target.requests().writes().ok();
            Aim anywhere = new Aim.Scatter(RESERVED, RESERVED + RESERVED_BYTES - 1, 1);
            Aim pages = new Aim.Stride(RESERVED - 8, 4096);
            while (refused < 100_000 || target.requests().writes().ok() < writes + 100) {
                refused += allRefused(rogue, Access.WRITE, anywhere, 256, 2_000);
                refused += allRefused(rogue, Access.READ, anywhere, 256, 2_000);
                refused += allRefused(rogue, Access.WRITE, pages, 16, 2_000);
                refused += allRefused(rogue, Access.WRITE, anywhere, 1 << 20, 50);
            }
            // Where other devices' mappings are: at most its own are found there.
            Tally around =
                    shoot(
                            rogue,
                            new Volley(Access.READ, new Aim.Scatter(1L << 31, -1L, 2), 64, 5000));
            assertThat(around.ok() + around.faults()).isEqualTo(5000);
            assertThat(around.faults()).isGreaterThan(4900);

            assertThat(sha256(ram.read(RESERVED, RESERVED_BYTES))).isEqualTo(digest);
        }
        assertThat(refused).isGreaterThanOrEqualTo(100_000);
        assertThat(rogue.accesses().faults()).isGreaterThanOrEqualTo(refused);
        assertThat(machine.recentFaults().size()).as("kept faults").isLessThanOrEqualTo(80);
    }

    private static long allRefused(Rng rogue, Access access, Aim aim, int length, long count)
            throws Exception {
        Tally tally = shoot(rogue, new Volley(access, aim, length, count));
        assertThat(tally.faults()).as("%s %s", access, aim).isEqualTo(count);
        return tally.faults();
    }

    private static Tally shoot(Rng rogue, Volley volley) throws Exception {
        return rogue.rogue().orElseThrow().fire(volley).get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    /** Reads on until an event is the wanted one. */
    private void await(String what, Predicate<GuestEvent> wanted) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            GuestEvent event = events.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
            if (event == null) {
                throw new AssertionError("not seen: " + what + "\n" + text());
            }
            seen.add(event.toString());
            if (wanted.test(event)) {
                return;
            }
        }
    }

    private String text() {
        return String.join("\n", seen);
    }

    private static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }
}
