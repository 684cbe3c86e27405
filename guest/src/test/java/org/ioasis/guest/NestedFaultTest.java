// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.LongUnaryOperator;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.Root;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.TwoStageFault;
import org.ioasis.iommu.pagetable.WalkFault;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.HostIommu;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.memory.Access;
import org.ioasis.memory.Outcome;
import org.ioasis.run.ServedProgram;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Qmp;
import org.ioasis.vm.Workspace;
import org.ioasis.vtd.RootTable;
import org.junit.jupiter.api.Test;

/**
 * A read that a stock guest's disk holds back while the page table is changed that the guest's
 * kernel has made for it: once so that the first stage has no page there, once so that it leads to
 * where the machine has no memory. Either way the guest sees an I/O error, and nothing else.
 */
class NestedFaultTest {
    private static final int DISK_BYTES = 8 << 20;
    private static final int DATA_BDF = Viot.bdf(0, 2, 0);
    private static final int CONTROL_BDF = Viot.bdf(0, 3, 0);
    private static final List<String> DRIVERS = List.of("virtio_blk");

    /** For all of it: then the guest is killed, and whoever waits for it says what there was. */
    private static final Duration PATIENCE = Duration.ofMinutes(2);

    /** RTADDR_REG (VT-d, 11.4.5) of the only VT-d of a PC. */
    private static final long ROOT_REGISTER = 0xfed9_0020L;

    private static final int OUTPUT_BITS = 52;
    private static final int PAGE = 4096;
    private static final int TABLE_ENTRIES = 512;
    private static final int INDEX_LG2 = 9;
    private static final long PRESENT = 1;
    private static final long LARGE = 1 << 7;
    private static final long ADDRESS = 0xf_ffff_ffff_f000L;

    /** Where the machine has nothing. */
    private static final long NOWHERE = 1L << 40;

    private final long deadline = System.nanoTime() + PATIENCE.toNanos();
    private final BlockingQueue<GuestEvent> events = new LinkedBlockingQueue<>();
    private final List<String> seen = new ArrayList<>();

    @Test
    void whatEitherStageRefusesIsAnErrorOfTheGuestsReadAndNothingElse() throws Exception {
        byte[] content = new byte[DISK_BYTES];
        new Random(66).nextBytes(content);
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit()) {
            GuestKit kit =
                    new Provisioner(host, cleanup, System.out::println)
                            .provide(KernelChoice.Debian.STABLE);
            try (Workspace workspace = Workspace.create(host, cleanup, 64L << 20);
                    ProgramMachine machine =
                            new ProgramMachine(
                                    "faults",
                                    IommufdNode.builder().build(),
                                    HostIommu.VTD,
                                    IdlePolicy.EVENT_DRIVEN,
                                    RingFormat.SPLIT)) {
                Path data = Files.write(workspace.file("data.img"), content);
                Path control = workspace.emptyDisk("control.img", PAGE);
                var _ = machine.add(disk(workspace, "data", data, DATA_BDF));
                var _ = machine.add(disk(workspace, "control", control, CONTROL_BDF));
                machine.start();
                Path monitor = workspace.file("monitor.sock");
                try (QemuProcess qemu =
                        QemuProcess.start(
                                command(kit, workspace, machine, monitor),
                                host,
                                cleanup,
                                events::add,
                                (words, environment) ->
                                        ServedProgram.start(
                                                machine,
                                                workspace.file("sysfs"),
                                                words,
                                                environment))) {
                    killInTime(qemu);
                    Held held = new Held(machine, control, monitor);
                    long page = held.change("first", entry -> entry & ~PRESENT);
                    Fault.Table first = table(machine, 1);
                    assertThat(first)
                            .isEqualTo(
                                    new Fault.Table(
                                            TwoStageFault.FIRST, WalkFault.TRANSLATION, 0, page));

                    long _ = held.change("second", entry -> (entry & ~ADDRESS) | NOWHERE);
                    Fault.Table second = table(machine, 2);
                    assertThat(second.stage()).isEqualTo(TwoStageFault.SECOND_FOR_INPUT);
                    assertThat(second.address()).isEqualTo(NOWHERE);

                    assertThat(qemu.await(left(), () -> {}))
                            .as(() -> state(machine))
                            .isEqualTo(new QemuProcess.End.Exited(0));
                    assertThat(qemu.report().failure()).as(() -> state(machine)).isEmpty();
                    assertThat(qemu.report().isFinished()).as(() -> state(machine)).isTrue();
                    assertThat(qemu.report().hashes()).containsExactly(sha256(content));
                }
                assertThat(machine.faults().reported()).isEqualTo(2);
                assertThat(machine.loop().failures()).isZero();
            }
        }
    }

    /** Nothing that waits for the guest, its monitor above all, waits longer. */
    private void killInTime(QemuProcess qemu) {
        CompletableFuture.delayedExecutor(left().toNanos(), TimeUnit.NANOSECONDS)
                .execute(qemu::kill);
    }

    private Duration left() {
        return Duration.ofNanos(Math.max(0, deadline - System.nanoTime()));
    }

    private static DiskOptions disk(Workspace workspace, String name, Path file, int bdf) {
        return DiskOptions.builder(DevicePlace.of(name, workspace.file(name + ".sock"), bdf), file)
                .settings(BlkSettings.builder().serial(name).build())
                .build();
    }

    private static QemuCommand command(
            GuestKit kit, Workspace workspace, ProgramMachine machine, Path monitor)
            throws IOException {
        Initramfs initramfs =
                Initramfs.write(workspace.file("initramfs"), kit, DRIVERS, Optional.empty());
        ExtraArchive.append(initramfs.file(), "lib", "faulting-init");
        List<String> more = new ArrayList<>();
        more.add("-device");
        more.add("intel-iommu,scalable-mode=on,fsts=on,caching-mode=on");
        more.add("-object");
        more.add("iommufd,id=host");
        for (int i = 0; i < machine.served().size(); i++) {
            more.add("-device");
            more.add(
                    "vfio-pci,host=%s,addr=%x,iommufd=host"
                            .formatted(
                                    machine.served().get(i).address(),
                                    machine.devices().get(i).endpoint().id() >> 3));
        }
        return QemuCommand.builder(kit.qemu(), Accel.TCG, kit.kernel().image(), initramfs.file())
                .memoryMiB(256)
                .control(monitor)
                .commandLine(
                        "console=ttyS0 quiet panic=-1 printk.devkmsg=on printk.time=1 rdinit=/faulting-init"
                                + " intel_iommu=on,sm_on iommu.strict=1 ioasis.modules="
                                + String.join(",", initramfs.modules()))
                .more(more)
                .build();
    }

    /** Of the only fault but those before, the {@code count}th: a write of the data disk's. */
    private static Fault.Table table(ProgramMachine machine, int count) {
        List<Fault> faults = machine.faults().recent();
        assertThat(faults).hasSize(count);
        Fault last = faults.getLast();
        assertThat(last.endpoint()).isEqualTo(DATA_BDF);
        assertThat(last.access()).isEqualTo(Access.WRITE);
        return requireNonNull(last.table());
    }

    /** A read that is held back while its mappings are looked for and one of them is changed. */
    private final class Held {
        private final ProgramMachine machine;
        private final Path control;
        private final Path monitor;

        Held(ProgramMachine machine, Path control, Path monitor) {
            this.machine = machine;
            this.control = control;
            this.monitor = monitor;
        }

        /**
         * @return the IOVA of the page whose entry was changed
         */
        long change(String stage, LongUnaryOperator change) throws Exception {
            await("ready" + stage, machine);
            long page;
            try (GuestRam ram = GuestRam.ofOnlyQemu()) {
                NavigableMap<Long, Long> before = mapped(ram);
                say("hold" + stage);
                await("held" + stage, machine);
                NavigableMap<Long, Long> held = mapped(ram);
                held.keySet().removeAll(before.keySet());
                page = pageOfBuffer(ram, held);
                long at = requireNonNull(held.get(page));
                ram.write(at, bytes(change.applyAsLong(word(ram, at))));
                say("go" + stage);
            }
            await("refused" + stage, machine);
            return page;
        }

        private void say(String word) throws IOException {
            byte[] sector = new byte[512];
            byte[] text = word.getBytes(StandardCharsets.US_ASCII);
            System.arraycopy(text, 0, sector, 0, text.length);
            Files.write(control, sector, StandardOpenOption.WRITE);
        }

        /** Where the entry of each page is that the data disk's first stage has, by IOVA. */
        private NavigableMap<Long, Long> mapped(GuestRam ram) throws IOException {
            long rootRegister;
            try (Qmp qmp = Qmp.connect(monitor)) {
                rootRegister = qmp.register(ROOT_REGISTER, Long.BYTES);
            }
            Stage first =
                    RootTable.of(new Words(ram), rootRegister, OUTPUT_BITS)
                            .find(DATA_BDF, RootTable.NO_PASID, false)
                            .space()
                            .first();
            long root = requireNonNull(first).root();
            NavigableMap<Long, Long> entries = new TreeMap<>();
            collect(ram, Root.address(root), Root.level(root), 0, entries);
            assertThat(entries).isNotEmpty();
            return entries;
        }

        private static void collect(
                GuestRam ram, long table, int level, long iova, NavigableMap<Long, Long> entries)
                throws IOException {
            ByteBuffer words =
                    ByteBuffer.wrap(ram.read(table, PAGE)).order(ByteOrder.LITTLE_ENDIAN);
            for (int i = 0; i < TABLE_ENTRIES; i++) {
                long entry = words.getLong(i * Long.BYTES);
                long address = iova | (long) i << (12 + INDEX_LG2 * level);
                if ((entry & PRESENT) == 0) {
                    continue;
                }
                if (level == 0) {
                    entries.put(address, table + (long) i * Long.BYTES);
                } else if ((entry & LARGE) == 0) {
                    collect(ram, entry & ADDRESS, level - 1, address, entries);
                }
            }
        }

        /**
         * A page of the buffer: new, and nothing is in it yet. The driver's own pages, which lie
         * between and have its descriptors, headers and states, are never all zeroes. A device that
         * may not read its descriptors needs a reset, for which the guest's driver waits for ever.
         */
        private static long pageOfBuffer(GuestRam ram, NavigableMap<Long, Long> held)
                throws IOException {
            List<Long> empty = new ArrayList<>();
            for (Map.Entry<Long, Long> page : held.entrySet()) {
                byte[] content = ram.read(word(ram, page.getValue()) & ADDRESS, PAGE);
                if (Arrays.equals(content, new byte[PAGE])) {
                    empty.add(page.getKey());
                }
            }
            assertThat(empty).as("of %d pages", held.size()).hasSizeGreaterThan(16);
            return empty.get(empty.size() / 2);
        }
    }

    private static long word(GuestRam ram, long address) throws IOException {
        return ByteBuffer.wrap(ram.read(address, Long.BYTES))
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong();
    }

    private static byte[] bytes(long word) {
        return ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(word).array();
    }

    /** The guest's tables as they are. */
    private record Words(GuestRam ram) implements TableAccess {
        @Override
        public Outcome load(long address, Cell into) {
            try {
                into.set(word(ram, address));
                return Outcome.OK;
            } catch (IOException e) {
                return Outcome.FAULT;
            }
        }

        @Override
        public Outcome exchange(long address, long expected, long word, Cell witness) {
            return Outcome.FAULT;
        }
    }

    /** Reads on until the guest begins a step. */
    private void await(String step, ProgramMachine machine) throws InterruptedException {
        boolean isOver = false;
        while (!isOver) {
            GuestEvent event = events.poll(left().toNanos(), TimeUnit.NANOSECONDS);
            if (event instanceof GuestEvent.Step begun && begun.name().equals(step)) {
                return;
            }
            seen.add(event == null ? "nothing in time" : event.toString());
            isOver =
                    event == null
                            || event instanceof GuestEvent.Failed
                            || event instanceof GuestEvent.Finished
                            || event instanceof GuestEvent.Malformed;
        }
        throw new AssertionError("not seen: " + step + "\n" + state(machine));
    }

    /** What the guest has said, and what the devices have done that it speaks of. */
    private String state(ProgramMachine machine) {
        StringBuilder text = new StringBuilder(String.join("\n", seen));
        for (EndpointDevice device : machine.devices()) {
            text.append("\n").append(device.name()).append(": ").append(device.work());
            text.append(", ").append(device.accesses());
        }
        text.append("\nfaults: ").append(machine.faults().recent());
        text.append("\n").append(machine.tableCounts());
        text.append("\n").append(machine.loop().dump());
        return text.toString();
    }

    private static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }
}
