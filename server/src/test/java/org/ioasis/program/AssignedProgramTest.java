// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.engine.EngineDevice;
import org.ioasis.iommufd.engine.EngineIommu;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.Outcome;
import org.ioasis.pci.PciFunction;
import org.ioasis.pci.SharedMemoryFunction;
import org.ioasis.pci.VectorSink;
import org.ioasis.spec.VfioDevice;
import org.ioasis.sys.ChildProcess.End;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.ProgramSetting;
import org.ioasis.vfio.Type1Kind;
import org.ioasis.vfio.VfioContainer;
import org.ioasis.vfiodevice.AssignedDevice;
import org.ioasis.vfiodevice.ContainerFile;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Programs that were compiled for Linux with a device under {@code /dev/vfio}, and a kernel that
 * has none: their memory is what its DMA reaches, their eventfds hear it, and whatever they do,
 * nothing of theirs is left.
 */
@Timeout(240)
class AssignedProgramTest {
    private static final int BAR_BYTES = 0x10000;

    @TempDir static Path folder;
    private static CompiledProgram program;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Guards guards = new Guards(System::nanoTime, _ -> {});
    private final FaultQueue faults = new FaultQueue(64, 256, System::nanoTime);
    private final EngineIommu iommu =
            new EngineIommu(node, IommuOptions.DEFAULT, guards, faults, IntervalStore::new);
    private final EngineDevice hardware = iommu.plug(1, EndpointProperties.UNLIMITED);
    private final Doorbell function = new Doorbell(hardware.dma(guards.open()));
    private final ByteArrayOutputStream traced = new ByteArrayOutputStream();
    private EventLoop loop;
    private AssignedDevice device;
    private AssignedDevice memory;

    @BeforeAll
    static void compile() throws Exception {
        program = new CompiledProgram(folder, "vfio.c");
    }

    @BeforeEach
    void plug() throws ErrnoException {
        loop =
                new EventLoop(
                        "host",
                        Polled.of(guards::hasPending, guards::poll),
                        System::nanoTime,
                        IdlePolicy.EVENT_DRIVEN);
        device = new AssignedDevice(loop, 0, function, hardware);
        memory =
                new AssignedDevice(
                        loop,
                        1,
                        new SharedMemoryFunction(BAR_BYTES, 1),
                        iommu.plug(2, EndpointProperties.UNLIMITED));
        loop.execute(guards::claim);
        loop.start();
    }

    @AfterEach
    void nothingIsLeft() {
        for (AssignedDevice each : List.of(device, memory)) {
            assertThat(each.hasSession()).as("bound").isFalse();
            each.close();
        }
        assertThat(loop.failures()).as(loop.dump()).isZero();
        loop.close();
        assertThat(node.openContexts()).as("open contexts").isZero();
        assertThat(node.heldPages()).as("held pages").isZero();
        assertThat(function.sink.trigger(0)).isFalse();
    }

    /** Writes to memory when it is told to, and raises a vector. Loop thread. */
    private static final class Doorbell implements PciFunction {
        private final Dma dma;
        private final MemorySegment bytes = Arena.ofAuto().allocate(8, 8).fill((byte) 0x77);
        private VectorSink sink = VectorSink.NONE;
        private final AtomicInteger refused = new AtomicInteger();

        Doorbell(Dma dma) {
            this.dma = dma;
        }

        @Override
        public int configRead(int offset, int size) {
            return 0;
        }

        @Override
        public void configWrite(int offset, int size, int value) {}

        @Override
        public long barSize(int bar) {
            return bar == 2 ? 4096 : 0;
        }

        @Override
        public long barRead(int bar, long offset, int size) {
            return 0;
        }

        @Override
        public void barWrite(int bar, long offset, int size, long value) {
            dma.enter();
            try {
                if (dma.write(value, bytes, 0, 8) != Outcome.OK) {
                    refused.incrementAndGet();
                }
            } finally {
                dma.leave();
            }
            boolean _ = sink.trigger(0);
        }

        @Override
        public int vectorCount() {
            return 1;
        }

        @Override
        public void vectors(VectorSink to) {
            sink = to;
        }

        @Override
        public void vectorsChanged() {}

        @Override
        public void reset() {}

        @Override
        public void memoryChanged() {}
    }

    private List<String> run(String thing) throws Exception {
        assertThat(start(program.command(thing)).await()).isEqualTo(new End.Exit(0));
        return program.output();
    }

    private ProgramRun start(List<byte[]> command) throws Exception {
        String sys = "/sys/bus/pci/devices/" + device.address();
        ProgramFiles.Builder files = ProgramFiles.builder().iommu(node::open);
        files.device(
                "/dev/vfio/vfio",
                VfioDevice.MISC_MAJOR,
                VfioDevice.CONTAINER_MINOR,
                _ -> new ContainerFile(new VfioContainer(List.of(new Type1Kind(node)))));
        for (AssignedDevice each : List.of(device, memory)) {
            files.device(each.path().toString(), VfioDevice.MAJOR, each.number(), each::open);
            files.device(
                    each.groupPath().toString(),
                    VfioDevice.GROUP_MAJOR,
                    each.number(),
                    each::openGroup);
        }
        files.folder(sys)
                .folder("/usr/include")
                .text(sys + "/vfio-dev/vfio0/dev", VfioDevice.MAJOR + ":0\n")
                .link(sys + "/iommu_group", "../../../../kernel/iommu_groups/0");
        return ProgramRun.start(
                command,
                ProgramSetting.INHERITED,
                files.build(),
                CallTrace.to(traced, 1 << 20),
                loop);
    }

    /** Descriptors of ours by which programs are served. */
    private static long listeners() throws IOException {
        long found = 0;
        try (DirectoryStream<Path> all = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path entry : all) {
                try {
                    if (Files.readSymbolicLink(entry)
                            .toString()
                            .equals("anon_inode:seccomp notify")) {
                        found++;
                    }
                } catch (NoSuchFileException e) {
                    // The folder's own, closed since.
                }
            }
        }
        return found;
    }

    /** Whoever hears so ends the loop, and with it whatever could give something back. */
    @Test
    void aProgramThatIsNotThereHasLeftNothingWhenThatIsSaid() {
        List<byte[]> nothing = List.of("/no/such/program".getBytes(UTF_8));
        assertThatThrownBy(
                        () -> {
                            try {
                                start(nothing);
                            } finally {
                                assertThat(listeners()).isZero();
                            }
                        })
                .isInstanceOfSatisfying(
                        ErrnoException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT));
    }

    @Test
    void dmaReachesSharedMemoryThatIsMappedAndNoOther() throws Exception {
        assertThat(run("drive"))
                .containsExactly(
                        "map by descriptor: 0",
                        "interrupts: 1, written: 1",
                        "map by address: 0",
                        "interrupts: 1, written: 1",
                        "map of private memory: 0",
                        "interrupts: 1, written: 0",
                        "unmap: 0",
                        "interrupts: 1, written: 0");
        assertThat(function.refused).hasValue(2);
        assertThat(faults.reported()).as("of which one is no fault of the IOMMU's").isEqualTo(1);
        assertThat(traced.toString(UTF_8).lines().filter(line -> line.contains("(private")))
                .singleElement()
                .asString()
                .contains("IOMMU_IOAS_MAP", " = 0 (private memory: no device's DMA reaches it");
        assertThat(traced.toString(UTF_8))
                .contains("VFIO_DEVICE_BIND_IOMMUFD, {argsz=16 flags=0 iommufd=")
                .contains("VFIO_DEVICE_ATTACH_IOMMUFD_PT, {argsz=12")
                .contains("VFIO_DEVICE_SET_IRQS, {argsz=24 flags=36 index=2 start=0 count=1}");
    }

    @Test
    void aProgramsEventfdKeepsItsFlagsAndAFullOneIsLeftAlone() throws Exception {
        assertThat(run("flags")).containsExactly("blocking: 1", "served: 1");
    }

    @Test
    void whatStandsAtAPathIsWhatStatAndSysfsSay() throws Exception {
        assertThat(run("paths"))
                .containsExactly(
                        "device: 1",
                        "group: 1",
                        "folder: 1",
                        "link: 1",
                        "nothing: 2",
                        "nothing of the kernel's: 2 2 2 2",
                        "number: 1",
                        "target: 20 ../../../../kernel/i",
                        "no link: 22");
    }

    @Test
    void aProgramThatDiesAtAnyStepLeavesTheDeviceToTheNext() throws Exception {
        assertThat(run("die")).containsExactly("died: 60", "served: 1");
        assertThat(device.sessionCount()).isEqualTo(61);
    }

    @Test
    void aThousandOpensAreServedOrRefusedAndGoWithTheProgram() throws Exception {
        assertThat(run("thousand")).containsExactly("opened: 1", "bound: 1");
    }

    @Test
    void aFileThatIsCutShortUnderTheDeviceHarmsNobody() throws Exception {
        assertThat(run("cut")).containsExactly("pwrite: 5", "unmap: 0", "map: 0", "written: 1");
    }

    @Test
    void aBarThatIsMemoryIsMappedAndIsNoMemoryOfTheProgram() throws Exception {
        assertThat(run("bar"))
                .containsExactly(
                        "not bound: 22",
                        "flags: 7, size: 65536, at: 1",
                        "flags of others: 3 3 3",
                        "too long: 22",
                        "behind: 22",
                        "another region: 22",
                        "private: 22",
                        "a part: 0",
                        "read: 1",
                        "written: 1",
                        "map for DMA: -14",
                        "map of the file: -22",
                        "reset: 0, 0",
                        "as long as it is mapped: 44",
                        "in use: -22",
                        "free: 0",
                        "the next finds: 0 0");
        assertThat(traced.toString(UTF_8).lines().filter(line -> line.contains("mmap(")))
                .filteredOn(line -> line.contains(" = -1 EINVAL"))
                .isNotEmpty()
                .allMatch(line -> line.contains("EINVAL: not MAP_SHARED, or not whole inside of"));
    }

    @Test
    void aDeviceReachesABarThatAContainerHasMapped() throws Exception {
        assertThat(run("peer"))
                .containsExactly(
                        "map: 0",
                        "interrupts: 1, written: 1",
                        "unmap: 1",
                        "interrupts: 1, written: 0",
                        "map: 0",
                        "interrupts: 1, as the device has gone: -1");
    }

    /** A name in what the kernel writes of a process may be a line of that. */
    @Test
    void aNameThatAProgramHasChosenLeadsToNobodyElsesMemory() throws Exception {
        assertThat(run("names"))
                .containsExactly(
                        "memory of the parent: -14, written: 0",
                        "memory behind a name: 0",
                        "memory with a name: 0",
                        "interrupts: 1, written: 1");
    }

    @Test
    void aProgramThatSpoilsTheFileOfADeviceHarmsNobodyButItself() throws Exception {
        assertThat(run("spoil"))
                .containsExactly(
                        "map for DMA: -14 -14",
                        "cut: 0 5 5 5",
                        "free: 0, 0",
                        "closed: 1, free: 0, 0",
                        "interrupts: 1, written: 0");
    }
}
