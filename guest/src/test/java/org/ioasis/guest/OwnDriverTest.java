// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.DebianProgram;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.GuestProgram;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;
import org.ioasis.guestkit.KernelChoice;
import org.ioasis.guestkit.KernelTests;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.kind.blk.Disk;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.kind.ioat.IoatKind;
import org.ioasis.live.MachineView;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.Machine;
import org.ioasis.record.RecordConfig;
import org.ioasis.record.Recorder;
import org.ioasis.record.Replay;
import org.ioasis.topology.QemuArguments;
import org.ioasis.topology.Viot;
import org.ioasis.vm.Accel;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.QemuCommand;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Workspace;
import org.junit.jupiter.api.Test;

/**
 * Drivers in the guest's user space, which own a device of ours by VFIO: libblkio a disk, and the
 * kernel's tests of VFIO a DMA engine, which its own driver has tested before. What they are not
 * allowed to reach is a fault here.
 */
class OwnDriverTest {
    private static final int DISK_BYTES = 16 << 20;
    private static final int DISK_SLOT = 2;
    private static final int ENGINE_SLOT = 3;
    private static final Duration PATIENCE = Duration.ofMinutes(4);

    /** A test of the kernel's maps 1 GiB. */
    private static final int MEMORY_MIB = 1792;

    private static final List<String> DRIVERS =
            List.of("virtio_iommu", "ioatdma", "vfio_iommu_type1", "vfio_pci");
    private static final List<String> TESTS =
            List.of("vfio_dma_mapping_test", "vfio_pci_driver_test", "vfio_pci_device_test");
    private static final Pattern TOTALS =
            Pattern.compile(
                    "# Totals: pass:(\\d+) fail:(\\d+) xfail:\\d+ xpass:\\d+ skip:(\\d+).*");

    private static final String SAID = " said: ";

    /** Left for a person to look at. */
    private static final RecordConfig RECORDING =
            RecordConfig.of(Path.of("target", "vfio.parquet"), 64, "programs that own devices");

    private final List<String> said = new ArrayList<>();
    private final List<String> console = new ArrayList<>();

    @Test
    @SuppressWarnings("try") // closed early: then the recording is complete
    void driversInUserSpaceOwnDevicesOfOurs() throws Exception {
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit()) {
            Provisioner provisioner = new Provisioner(host, cleanup, System.out::println);
            GuestKit kit = provisioner.provide(KernelChoice.Debian.GENERIC);
            GuestProgram library = provisioner.provide(DebianProgram.LIBBLKIO);
            KernelTests tests = KernelTests.provide(host, cleanup, System.out::println);
            try (Workspace workspace = Workspace.create(host, cleanup, 256L << 20);
                    Recorder recorder = Recorder.create(RECORDING);
                    Machine machine =
                            new Machine(
                                    "own",
                                    IommuOptions.DEFAULT,
                                    IdlePolicy.EVENT_DRIVEN,
                                    workspace.file("iommu.sock"))) {
                recorder.watch(machine.name(), machine.iommus().getFirst());
                Path image = workspace.emptyDisk("disk.img", DISK_BYTES);
                Disk disk =
                        machine.add(
                                machine.iommus().getFirst(),
                                DiskOptions.builder(place(workspace, "disk", DISK_SLOT), image)
                                        .writable(true)
                                        .build());
                EndpointDevice engine =
                        machine.add(
                                machine.iommus().getFirst(),
                                IoatKind.at(place(workspace, "ioat", ENGINE_SLOT)));
                recorder.begin();
                machine.start();
                Path initramfs = initramfs(kit, workspace, library, tests, host, cleanup);
                QemuProcess.End end;
                try (QemuProcess qemu =
                        QemuProcess.start(
                                command(kit, workspace, initramfs), host, cleanup, this::hear)) {
                    end =
                            qemu.await(
                                    PATIENCE,
                                    () -> System.out.println(MachineView.of(machine).text()));
                    assertThat(qemu.report().failure()).as(text()).isEmpty();
                    assertThat(qemu.report().isFinished()).as(text()).isTrue();
                }
                assertThat(end).isEqualTo(new QemuProcess.End.Exited(0));
                assertDiskWasWritten(disk, image);
                assertEngineWasDriven(machine, engine);
                assertThat(machine.internalFailures()).isZero();
                machine.close();
                recorder.close();
                assertReplays(engine.accesses().faults());
            }
        }
    }

    /** What was recorded is answered once more as it was, refusals included. */
    private static void assertReplays(long faults) throws IOException {
        Replay.Result replayed = Replay.of(RECORDING.file());
        assertThat(replayed.difference()).isNull();
        assertThat(replayed.lostAt()).as("the row from which on some are missing").isEqualTo(-1);
        assertThat(replayed.faults()).isEqualTo(faults);
        assertThat(replayed.requests()).isGreaterThan(100);
        assertThat(replayed.accesses()).isGreaterThan(replayed.requests());
    }

    private static DevicePlace place(Workspace workspace, String name, int slot) {
        return DevicePlace.of(name, workspace.file(name + ".sock"), Viot.bdf(0, slot, 0));
    }

    private void hear(GuestEvent event) {
        synchronized (console) {
            console.add(event.toString());
            if (event instanceof GuestEvent.Text(String line) && line.contains(SAID)) {
                said.add(line.substring(line.indexOf(SAID) + SAID.length()));
            }
        }
    }

    private String text() {
        synchronized (console) {
            return String.join("\n", console);
        }
    }

    private void assertDiskWasWritten(Disk disk, Path image) throws IOException {
        assertThat(said).as(text()).contains("blkio: " + DISK_BYTES + " bytes verified");
        ByteBuffer bytes =
                ByteBuffer.wrap(Files.readAllBytes(image)).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(bytes.capacity()).isEqualTo(DISK_BYTES);
        long wrong = 0;
        for (int at = 0; at < DISK_BYTES; at += Long.BYTES) {
            wrong += bytes.getLong(at) == (at + 1) * 0x9e37_79b9_7f4a_7c15L ? 0 : 1;
        }
        assertThat(wrong).as("words of the disk that are not what the program wrote").isZero();
        assertThat(disk.accesses().translatedBytes()).isGreaterThanOrEqualTo(2L * DISK_BYTES);
        assertThat(disk.accesses().faults()).isZero();
        assertThat(disk.accesses().bypassedAfterAttach()).isZero();
    }

    private void assertEngineWasDriven(Machine machine, EndpointDevice engine) {
        assertThat(said)
                .as(text())
                .contains("0000:00:03.0 ioatdma, dma0chan0 ")
                .as("one copy to a page that is not mapped any more")
                .contains("unmapped: copied, then CHANERR 0x2");
        List<Integer> passed = new ArrayList<>();
        int skipped = 0;
        for (String line : said) {
            Matcher totals = TOTALS.matcher(line);
            if (totals.matches()) {
                assertThat(totals.group(2)).as(text()).isEqualTo("0");
                passed.add(Integer.parseInt(totals.group(1)));
                skipped += Integer.parseInt(totals.group(3));
            }
        }
        assertThat(passed).as(text()).containsExactly(2, 14, 3);
        assertThat(skipped).as("huge pages, a reset, MSI beside MSI-X").isEqualTo(4 + 1 + 1);
        assertThat(engine.accesses().translatedBytes()).isGreaterThan(1L << 30);
        assertThat(engine.accesses().bypassedAfterAttach()).isZero();
        // Of the program's, and of three tests in two ways, one of them ten times.
        assertThat(engine.accesses().faults()).isEqualTo(1 + 2 * (1 + 1 + 10));
        assertThat(machine.faults()).isEqualTo(engine.accesses().faults());
        assertThat(engine.work().get("errors")).isEqualTo(engine.accesses().faults());
    }

    private static Path initramfs(
            GuestKit kit,
            Workspace workspace,
            GuestProgram library,
            KernelTests tests,
            Host host,
            Cleanup cleanup)
            throws Exception {
        Path file =
                Initramfs.write(
                                workspace.file("initramfs"),
                                kit,
                                DRIVERS,
                                Optional.empty(),
                                List.of(library))
                        .file();
        ExtraArchive.append(file, "vfio-init");
        ExtraArchive.append(file, "common", resource("lib"));
        Path shared = Objects.requireNonNull(library.files().firstEntry().getValue());
        Path headers = shared.resolve("../../../include").normalize();
        add(
                file,
                compiled(
                        workspace,
                        "blkio",
                        List.of(
                                "-I" + headers,
                                "-Wl,--unresolved-symbols=ignore-in-shared-libs",
                                shared.toString())));
        add(file, compiled(workspace, "unmapped", List.of("-static")));
        Path folder = Files.createDirectory(workspace.file("tests"));
        for (String test : TESTS) {
            add(file, tests.standalone(test, folder, host, cleanup));
        }
        return file;
    }

    private static void add(Path initramfs, Path program) throws IOException {
        ExtraArchive.append(initramfs, "bin/" + program.getFileName(), Files.readAllBytes(program));
    }

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = OwnDriverTest.class.getResourceAsStream(name)) {
            return Objects.requireNonNull(in).readAllBytes();
        }
    }

    private static Path compiled(Workspace workspace, String name, List<String> more)
            throws Exception {
        Path source = Files.write(workspace.file(name + ".c"), resource(name + ".c"));
        Path program = workspace.file(name);
        List<String> words = new ArrayList<>(List.of("cc", "-O2", "-Wall", "-Werror", "-o"));
        words.addAll(List.of(program.toString(), source.toString()));
        words.addAll(more);
        Process compiler = new ProcessBuilder(words).inheritIO().start();
        assertThat(compiler.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(compiler.exitValue()).as(words.toString()).isZero();
        return program;
    }

    private static QemuCommand command(GuestKit kit, Workspace workspace, Path initramfs)
            throws IOException {
        List<QemuArguments.Function> functions =
                List.of(
                        new QemuArguments.Function(1, 0, workspace.file("iommu.sock")),
                        new QemuArguments.Function(DISK_SLOT, 0, workspace.file("disk.sock")),
                        new QemuArguments.Function(ENGINE_SLOT, 0, workspace.file("ioat.sock")));
        int first = Viot.bdf(0, DISK_SLOT, 0);
        int second = Viot.bdf(0, ENGINE_SLOT, 0);
        Path viot = workspace.file("viot");
        Files.write(
                viot,
                Viot.table(
                        Viot.Oem.IOASIS,
                        List.of(new Viot.Iommu(0, Viot.bdf(0, 1, 0))),
                        List.of(
                                new Viot.PciRange(0, 0, first, first, first),
                                new Viot.PciRange(0, 0, second, second, second)),
                        Viot.OwnFunction.REFUSED));
        List<String> modules =
                List.copyOf(
                        Initramfs.write(workspace.file("order"), kit, DRIVERS, Optional.empty())
                                .modules());
        return QemuCommand.builder(kit.qemu(), Accel.TCG, kit.kernel().image(), initramfs)
                .memoryMiB(MEMORY_MIB)
                .commandLine(
                        "console=ttyS0 quiet panic=-1 printk.devkmsg=on printk.time=1"
                                + " rdinit=/vfio-init ioasis.modules="
                                + String.join(",", modules))
                .acpiTables(List.of(viot))
                .functions(functions)
                .build();
    }
}
