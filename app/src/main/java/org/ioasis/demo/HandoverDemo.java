// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongSupplier;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.PageRequest.Response;
import org.ioasis.machine.LocalIommu;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.DriverTables;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.iommu.driver.PageRequestReport;
import org.ioasis.virtio.rogue.Aim;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.virtio.rogue.Tally;
import org.ioasis.virtio.rogue.Volley;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * Page-table handover and page requests, in one process and on one thread: a driver hands the page
 * table of a process to an IOMMU of a profile that takes it; a device shares the process's address
 * space, asks for the pages that are not there and works on; pages go while it does; and a rogue
 * shoots at the same memory through a table of its own, in which nothing is.
 */
public final class HandoverDemo implements AutoCloseable {
    private static final long MEMORY = 8L << 20;
    private static final int SHARING = 1;
    private static final int ROGUE = 2;
    private static final int PASID = 5;
    private static final int PAGES = 48;
    private static final int FRAMES = 16;
    private static final int ACCESSES = 200;
    private static final int SHOTS = 64;
    private static final int LOOKS = 1000;

    /** A device has so many numbers for groups. */
    private static final int GROUPS = 0x1ff;

    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final Arena arena = Arena.ofConfined();
    private final LocalIommu iommu;
    private final IommuDriver driver;
    private final DriverTables tables;
    private final SharedProcess process;
    private final Attachment space;
    private final Dma dma;
    private final Rogue rogue;
    private final Random random;
    private final long[] expected = new long[PAGES];
    private final MemorySegment word = MemorySegment.ofArray(new byte[Long.BYTES]);
    private final HandoverFigures figures = new HandoverFigures();
    private final List<PageRequestReport> asked = new ArrayList<>();
    private @Nullable Response answer;
    private int group;

    /**
     * @param format of the page table
     * @param ring of the IOMMU's queues
     * @param clock nanoseconds of a clock that does not go back
     */
    public HandoverDemo(HandoverFormat format, RingFormat ring, LongSupplier clock, long seed)
            throws IOException, DriverException {
        random = new Random(seed);
        DemoMemory memory = new DemoMemory(arena, MEMORY);
        iommu =
                new LocalIommu(
                        IommuOptions.builder().bypassAtStart(false).build(),
                        format.profile(),
                        memory.bytes(),
                        ring == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0,
                        clock);
        Endpoint sharing = iommu.plugShared(SHARING);
        Attachment opened = format.hasPasid() ? sharing.open(PASID) : sharing.attachment();
        if (opened == null) {
            throw new IllegalStateException("an endpoint without a PASID");
        }
        space = opened;
        dma = iommu.asking(space);
        rogue = new Rogue(iommu.plug(ROGUE, EndpointProperties.UNLIMITED), iommu.deviceThread());

        DriverOptions options = DriverOptions.DEFAULT.withTables();
        long own = (IommuDriver.memoryBytes(options) + 4095) & -4096;
        long ownAddress = memory.take(own);
        driver =
                new IommuDriver(
                        iommu.transport(),
                        new DriverMemory(memory.at(ownAddress, own), ownAddress),
                        Patience.looks(LOOKS, iommu::turn),
                        options);
        tables = driver.tables();
        tables.onPageRequest(asked::add);
        process = new SharedProcess(memory, format, tables, PASID, PAGES, FRAMES, figures);
        format.attach(tables, process.table(), SHARING, PASID);
        SharedProcess nobody = new SharedProcess(memory, format, tables, 0, 0, 0, figures);
        tables.attach(nobody.table(), ROGUE);
    }

    /** Some milliseconds of work. */
    public void round() throws DriverException {
        for (int i = 0; i < ACCESSES; i++) {
            int page = random.nextInt(process.pages());
            if (random.nextBoolean()) {
                long value = random.nextLong();
                perform(page, Access.WRITE, value);
                expected[page] = value;
                figures.writes++;
            } else {
                long found = perform(page, Access.READ, 0);
                figures.reads++;
                figures.wrong += found == expected[page] ? 0 : 1;
            }
            if (random.nextInt(8) == 0) {
                takeOut();
            }
        }
        CompletableFuture<Tally> tally =
                rogue.fire(
                        new Volley(
                                Access.WRITE,
                                new Aim.Scatter(0, MEMORY - 1, random.nextLong()),
                                Long.BYTES,
                                SHOTS));
        iommu.turn();
        Tally shot = tally.getNow(new Tally(SHOTS, 0, 0, 0, ""));
        figures.shots += shot.total();
        figures.stopped += shot.faults();
        driver.pollEvents();
    }

    /** What is gone is not reached, although the device was there a moment before. */
    private void takeOut() throws DriverException {
        int page = process.oldest();
        if (page >= 0) {
            perform(page, Access.READ, 0);
            process.takeOut(page);
            figures.stale += access(page, Access.READ) == Outcome.OK ? 1 : 0;
        }
    }

    /** As a device does: it tries, asks for what is not there, waits for the answer, and tries. */
    private long perform(int page, Access access, long value) throws DriverException {
        while (true) {
            word.set(LE64, 0, value);
            if (access(page, access) == Outcome.OK) {
                return word.get(LE64, 0);
            }
            ask(page);
        }
    }

    private Outcome access(int page, Access access) {
        long address = SharedProcess.address(page);
        dma.enter();
        try {
            return access == Access.WRITE
                    ? dma.write(address, word, 0, Long.BYTES)
                    : dma.read(address, word, 0, Long.BYTES);
        } finally {
            dma.leave();
        }
    }

    private void ask(int page) throws DriverException {
        answer = null;
        figures.requests++;
        iommu.requestPage(
                space,
                group++ & GROUPS,
                SharedProcess.address(page),
                (_, _, response) -> answer = response);
        iommu.turn();
        asked.clear();
        driver.pollEvents();
        for (PageRequestReport request : asked) {
            process.serve(request);
        }
        if (answer != Response.SUCCESS) {
            throw new DriverException("a page request was answered " + answer);
        }
    }

    /** What has come of it so far. */
    public HandoverFigures figures() {
        return figures;
    }

    @Override
    public void close() {
        iommu.close();
        arena.close();
    }
}
