// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_OUT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongSupplier;
import org.ioasis.dma.DmaSpace;
import org.ioasis.dma.FlushPolicy;
import org.ioasis.dma.Piece;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.machine.LocalIommu;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.blk.FileStore;
import org.ioasis.virtio.blk.VirtioBlk;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.FaultReport;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.rogue.Aim;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.virtio.rogue.Tally;
import org.ioasis.virtio.rogue.Volley;
import org.ioasis.virtqueue.RingFormat;

/**
 * An IOMMU, a disk behind it, their drivers and a device that lies, in one process and on one
 * thread. Each {@link #round} writes pieces of the disk, reads pieces back and compares them, and
 * lets the rogue shoot: at anything, at what lies in memory, and at where the disk's buffers were a
 * moment before.
 */
public final class Demo implements AutoCloseable {
    /** Bytes of one request of the disk. */
    private static final int PIECE = 64 << 10;

    private static final long MEMORY = 32L << 20;
    private static final int DISK = 1;
    private static final int ROGUE = 2;
    private static final int SHOTS = 64;

    /** Looks at a ring of a device that works when it is called: one would do. */
    private static final int LOOKS = 1000;

    private static final int FAULTS_KEPT = 6;
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final Arena arena = Arena.ofConfined();
    private final DemoMemory memory;
    private final FileStore store;
    private final LocalIommu iommu;
    private final IommuDriver driver;
    private final DriverDomain diskDomain;
    private final DmaSpace space;
    private final DiskDriver disk;
    private final Rogue onDisk;
    private final Rogue rogue;
    private final long secret;
    private final Piece[] buffers;
    private final int[] versions;
    private final Random random;

    private final DemoFigures figures = new DemoFigures();
    private final ArrayDeque<FaultReport> faults = new ArrayDeque<>();

    /**
     * @param file of the disk, of whole pieces of 64 KiB
     * @param ring of both devices' queues
     * @param clock nanoseconds of a clock that does not go back
     */
    public Demo(Path file, RingFormat ring, LongSupplier clock, long seed)
            throws IOException, DriverException {
        long packed = ring == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0;
        random = new Random(seed);
        memory = new DemoMemory(arena, MEMORY);
        iommu =
                new LocalIommu(
                        IommuOptions.builder().bypassAtStart(false).build(),
                        memory.bytes(),
                        packed,
                        clock);
        Dma diskDma = iommu.plug(DISK, EndpointProperties.UNLIMITED);
        Dma rogueDma = iommu.plug(ROGUE, EndpointProperties.UNLIMITED);
        Patience patience = Patience.looks(LOOKS, iommu::turn);

        long own = (IommuDriver.memoryBytes(DriverOptions.DEFAULT) + 4095) & -4096;
        long ownAddress = memory.take(own);
        driver =
                new IommuDriver(
                        iommu.transport(),
                        new DriverMemory(memory.at(ownAddress, own), ownAddress),
                        patience,
                        DriverOptions.DEFAULT);
        driver.onFault(this::reported);

        diskDomain = driver.domain();
        driver.attach(diskDomain, DISK);
        driver.attach(driver.domain(), ROGUE);
        space = new DmaSpace(diskDomain, FlushPolicy.STRICT);

        store = FileStore.open(file, true);
        VirtioBlk type =
                new VirtioBlk(
                        store, BlkSettings.builder().build(), Runnable::run, iommu.deviceThread());
        disk =
                new DiskDriver(
                        iommu.device(type, diskDma, Virtio.F_ACCESS_PLATFORM | packed),
                        patience,
                        space,
                        memory);
        // Between two turns of the disk nothing else is on its way to memory.
        onDisk = new Rogue(diskDma, iommu.deviceThread());
        rogue = new Rogue(rogueDma, iommu.deviceThread());

        versions = new int[(int) (store.capacity() / PIECE)];
        secret = memory.take(PIECE);
        fill(memory.at(secret, PIECE), -1, 0);
        buffers = new Piece[disk.depth()];
        for (int i = 0; i < buffers.length; i++) {
            buffers[i] = new Piece(memory.take(PIECE), PIECE);
        }
    }

    // --- one round

    /** Some milliseconds of work. */
    public void round() throws DriverException {
        List<Integer> places = new ArrayList<>();
        while (places.size() < Math.min(buffers.length, versions.length)) {
            int place = random.nextInt(versions.length);
            if (!places.contains(place)) {
                places.add(place);
            }
        }
        for (int i = 0; i < places.size(); i++) {
            int place = places.get(i);
            versions[place]++;
            fill(memory.at(buffers[i].address(), PIECE), place, versions[place]);
        }
        shoot(perform(T_OUT, places));
        for (int i = 0; i < places.size(); i++) {
            memory.at(buffers[i].address(), PIECE).fill((byte) 0);
        }
        shoot(perform(T_IN, places));
        for (int i = 0; i < places.size(); i++) {
            int place = places.get(i);
            if (isFilled(memory.at(buffers[i].address(), PIECE), place, versions[place])) {
                figures.verifiedBytes += PIECE;
            } else {
                figures.wrong++;
            }
        }
        if (!isFilled(memory.at(secret, PIECE), -1, 0)) {
            figures.wrong++;
        }
        driver.pollEvents();
    }

    private List<Piece> perform(int type, List<Integer> places) throws DriverException {
        List<DiskDriver.Request> requests = new ArrayList<>();
        for (int i = 0; i < places.size(); i++) {
            long sector = DiskDriver.sectors((long) PIECE * places.get(i));
            requests.add(new DiskDriver.Request(type, sector, buffers[i]));
        }
        List<Piece> seen = disk.perform(requests);
        figures.requests += requests.size();
        figures.bytes += (long) PIECE * requests.size();
        figures.maps += requests.size();
        figures.unmaps += requests.size();
        return seen;
    }

    /** At what was mapped a moment ago, at all of memory, and at anything. */
    private void shoot(List<Piece> gone) {
        Piece last = gone.getLast();
        count(fire(onDisk, new Aim.Stride(last.address(), 512), Access.WRITE));
        count(fire(rogue, new Aim.Scatter(0, MEMORY - 1, random.nextLong()), Access.WRITE));
        count(fire(rogue, new Aim.Scatter(0, -1, random.nextLong()), Access.READ));
    }

    private Tally fire(Rogue who, Aim aim, Access access) {
        CompletableFuture<Tally> tally = who.fire(new Volley(access, aim, 8, SHOTS));
        iommu.turn();
        return tally.getNow(new Tally(SHOTS, 0, 0, 0, ""));
    }

    private void count(Tally tally) {
        figures.shots += tally.total();
        figures.stopped += tally.faults();
    }

    private void reported(FaultReport fault) {
        figures.faults++;
        faults.addLast(fault);
        if (faults.size() > FAULTS_KEPT) {
            faults.removeFirst();
        }
    }

    // --- what the pieces hold

    /** Each word says which it is. */
    private static void fill(MemorySegment piece, int place, int version) {
        long word = ((long) place << 32) | (version & 0xffff_ffffL);
        for (long at = 0; at < PIECE; at += Long.BYTES) {
            piece.set(LE64, at, word * 0x9e37_79b9_7f4a_7c15L + at);
        }
    }

    private static boolean isFilled(MemorySegment piece, int place, int version) {
        long word = ((long) place << 32) | (version & 0xffff_ffffL);
        for (long at = 0; at < PIECE; at += Long.BYTES) {
            if (piece.get(LE64, at) != word * 0x9e37_79b9_7f4a_7c15L + at) {
                return false;
            }
        }
        return true;
    }

    /** Looks past all of it whether the file holds what was written last. */
    public void compareFile() throws IOException {
        ByteBuffer bytes = ByteBuffer.allocateDirect(PIECE);
        for (int place = 0; place < versions.length; place++) {
            if (versions[place] > 0) {
                store.read((long) PIECE * place, bytes.clear());
                figures.fileBytes += PIECE;
                if (!isFilled(MemorySegment.ofBuffer(bytes.clear()), place, versions[place])) {
                    figures.wrong++;
                }
            }
        }
    }

    /** What has come of it so far. */
    public DemoFigures figures() {
        return figures;
    }

    /** The last faults that the driver was told of. */
    public List<FaultReport> faults() {
        return List.copyOf(faults);
    }

    /** Mappings of the disk that are there now. */
    public int mappings() {
        return diskDomain.mappingCount();
    }

    @Override
    public void close() throws IOException {
        store.close();
        iommu.close();
        arena.close();
    }
}
