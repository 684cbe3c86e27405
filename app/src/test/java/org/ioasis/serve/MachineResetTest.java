// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.ioasis.config.FlagConfig;
import org.ioasis.kind.blk.BlkKind;
import org.ioasis.spec.Virtio;
import org.ioasis.spec.VirtioBlk;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * A machine that its VMM resets: the IOMMU first, over its socket, and the disk behind it
 * afterwards, over its own. The disk's driver has given it IOVAs that are addresses of RAM, too.
 */
@Timeout(60)
class MachineResetTest {
    private static final int ENDPOINT = 0x88;
    private static final int DOMAIN = 1;
    private static final byte IMAGE_BYTE = 0x5a;

    /** What the disk knows as addresses: rings, header of the request, its data and status. */
    private static final long WINDOW = 0x20000;

    private static final long WINDOW_SIZE = 0x10000;
    private static final long HEADER = WINDOW + 0x4000;
    private static final long DATA = WINDOW + 0x5000;
    private static final int DATA_SIZE = VirtioBlk.SECTOR_SIZE + 1;

    /** Where that is mapped to. */
    private static final long BEHIND = 0x80000;

    private Path folder;
    private Fd ramFd;
    private Mapping ram;
    private Server server;
    private final List<SocketVmm> open = new ArrayList<>();

    @BeforeEach
    void serve() throws Exception {
        folder = Files.createTempDirectory(Path.of("/tmp"), "t-");
        byte[] image = new byte[1 << 16];
        Arrays.fill(image, IMAGE_BYTE);
        Files.write(folder.resolve("disk.img"), image);
        ramFd = Memfd.create("ram", SocketVmm.RAM);
        ram = Mapping.map(ramFd, 0, SocketVmm.RAM, true);
        String disk = folder.resolve("disk.sock") + ",file=" + folder.resolve("disk.img");
        server =
                Server.start(
                        FlagConfig.iommu(folder.resolve("iommu.sock"))
                                .devices(new BlkKind(), List.of(disk))
                                .resolve());
    }

    @AfterEach
    void cleanUp() throws Exception {
        open.forEach(SocketVmm::close);
        server.close();
        ram.close();
        ramFd.close();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    private SocketVmm connect(String device) throws Exception {
        SocketVmm vmm = new SocketVmm(folder.resolve(device + ".sock"));
        open.add(vmm);
        vmm.map(ramFd);
        return vmm;
    }

    /** With rings in {@code window}, which the disk finds at {@link #WINDOW}. */
    private void start(SocketVmm disk, long window) throws Exception {
        disk.negotiate(Virtio.F_VERSION_1 | Virtio.F_ACCESS_PLATFORM);
        disk.queue(0, ram, window, WINDOW);
        disk.driverOk();
    }

    /** Reads the first sector: the header is of zeros. */
    private static void read(SocketVmm disk) throws Exception {
        disk.offer(0, HEADER, VirtioBlk.REQ_HEADER_SIZE, DATA, DATA_SIZE);
    }

    private byte[] bytes(long at, long size) {
        return ram.segment().asSlice(at, size).toArray(ValueLayout.JAVA_BYTE);
    }

    private void clear(long at, long size) {
        ram.segment().asSlice(at, size).fill((byte) 0);
    }

    private boolean hasData(long window) {
        for (byte b : bytes(window + DATA - WINDOW, VirtioBlk.SECTOR_SIZE)) {
            if (b != IMAGE_BYTE) {
                return false;
            }
        }
        return true;
    }

    @Test
    void betweenTheResetOfTheIommuAndThatOfTheDiskNotAByteOfRamChanges() throws Exception {
        SocketVmm disk = connect("disk");
        SocketVmm vmm = connect("iommu");
        int rounds = 0;
        for (int boot = 0; boot < 8; boot++) {
            clear(0, WINDOW);
            IommuDriver iommu = new IommuDriver(vmm, ram);
            iommu.start();
            assertThat(iommu.attach(ENDPOINT, DOMAIN, 0)).isZero();
            assertThat(iommu.map(DOMAIN, WINDOW, WINDOW + WINDOW_SIZE - 1, BEHIND)).isZero();
            clear(BEHIND, WINDOW_SIZE);
            start(disk, BEHIND);
            read(disk);
            disk.awaitUsed(0, 1);
            assertThat(hasData(BEHIND)).as("boot %d", boot).isTrue();

            // What is in RAM at the disk's addresses could be rings of its, with a request to do.
            clear(WINDOW, WINDOW_SIZE);
            MemorySegment.copy(ram.segment(), BEHIND, ram.segment(), WINDOW, 0x1000);
            ram.segment().set(ValueLayout.JAVA_SHORT, disk.availIndex(0), (short) 4);
            byte[] before = bytes(WINDOW, WINDOW_SIZE);
            read(disk); // in flight, or done already
            vmm.reset();
            disk.kick(0);

            assertThat(disk.status() & Virtio.STATUS_DEVICE_NEEDS_RESET)
                    .as("boot %d: the disk has tried, and its rings are out of reach", boot)
                    .isNotZero();
            disk.reset();
            assertThat(bytes(WINDOW, WINDOW_SIZE)).as("boot %d", boot).isEqualTo(before);
            rounds++;
        }
        assertThat(rounds).isEqualTo(8);

        // As firmware does at the next boot.
        clear(WINDOW, WINDOW_SIZE);
        start(disk, WINDOW);
        read(disk);
        disk.awaitUsed(0, 1);
        assertThat(hasData(WINDOW)).isTrue();
    }
}
