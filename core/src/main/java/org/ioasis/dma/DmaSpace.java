// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.ioasis.iova.IovaAllocator;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.Batch;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.ioasis.virtio.iommu.driver.IommuConfig;
import org.ioasis.virtio.iommu.driver.RefusedException;

/**
 * The buffers that the devices of a domain work with. A buffer is given an address (IOVA), mapped
 * for what the device does with it, and unmapped when it is done. Under a lazy policy the last step
 * is put off, many at a time; an address is handed out again only when the device has answered that
 * it reaches the old buffer no more.
 *
 * <p>One thread, that of the driver.
 */
public final class DmaSpace {
    /** A buffer of memory that program and device use all the time. */
    public record Coherent(long iova, long address, long bytes) {}

    private final DriverDomain domain;
    private final IovaAllocator iovas;
    private final FlushPolicy policy;
    private final long pageMask;

    /** Bytes of each address that is handed out and not waiting, by its first one. */
    private final Map<Long, Long> live = new HashMap<>();

    /** The same of those that wait to be taken away. */
    private final NavigableMap<Long, Long> waiting = new TreeMap<>(Long::compareUnsigned);

    private List<Range> reserved = List.of();
    private long waitingSince;
    private long flushes;
    private long stuckBytes;

    /**
     * @param domain of its endpoints
     * @param iovas what may be handed out of it, by nobody else
     */
    public DmaSpace(DriverDomain domain, IovaAllocator iovas, FlushPolicy policy) {
        if (iovas.pageSize() % domain.driver().config().granule() != 0) {
            throw new IllegalArgumentException(
                    "pages of %d bytes where the device has 0x%x"
                            .formatted(iovas.pageSize(), domain.driver().config().granule()));
        }
        this.domain = domain;
        this.iovas = iovas;
        this.policy = policy;
        pageMask = iovas.pageSize() - 1;
    }

    /** Addresses of the device's input range, but for page 0: no buffer is at 0. */
    public DmaSpace(DriverDomain domain, FlushPolicy policy) {
        this(domain, addresses(domain.driver().config()), policy);
    }

    private static IovaAllocator addresses(IommuConfig config) {
        long page = Math.max(config.granule(), 4096);
        long first =
                Long.compareUnsigned(config.inputFirst(), page) < 0 ? page : config.inputFirst();
        return new IovaAllocator(page, first, config.inputLast());
    }

    // --- one buffer

    /** Maps a buffer; {@code limit} is the highest address that the device can form. */
    public long map(Piece buffer, Direction direction, long limit) throws DriverException {
        return map(List.of(buffer), direction, limit).getFirst().address();
    }

    /** Ends a buffer's use by the device, and lets it be taken away as the policy says. */
    public void unmap(Piece mapped) throws DriverException {
        retire(mapped.address() & ~pageMask);
        flushIfDue();
    }

    // --- scatter lists

    /**
     * Maps buffers, one behind the other and with one notification of the device: those that meet
     * at the borders of pages are one piece for it. All or none.
     *
     * @return what the device sees, in order; {@link #unmap(List)} takes it back
     */
    public List<Piece> map(List<Piece> buffers, Direction direction, long limit)
            throws DriverException {
        // What waits too long goes with what comes.
        flushIfDue();
        long bytes = 0;
        for (Piece each : buffers) {
            bytes = Math.addExact(bytes, span(each));
        }
        long iova = allocate(bytes, limit);
        List<Piece> seen = new ArrayList<>();
        Batch batch = domain.batch();
        try {
            add(batch, buffers, direction, iova, seen);
        } catch (IllegalArgumentException | IllegalStateException unfit) {
            batch.cancel();
            iovas.free(iova, bytes);
            throw unfit;
        }
        live.put(iova, bytes);
        try {
            batch.commit();
        } catch (DriverException refused) {
            undo(iova, refused);
            throw refused;
        }
        return seen;
    }

    /** Bytes of the pages that a buffer touches. */
    private long span(Piece buffer) {
        return Math.addExact(buffer.length(), (buffer.address() & pageMask) + pageMask) & ~pageMask;
    }

    private void add(
            Batch batch, List<Piece> buffers, Direction direction, long iova, List<Piece> seen) {
        long at = iova;
        // What is mapped next: one request for buffers that follow each other in memory too.
        long runIova = iova;
        long runFirst = 0;
        long runBytes = 0;
        for (Piece each : buffers) {
            long first = each.address() & ~pageMask;
            long span = span(each);
            if (runBytes > 0 && runFirst + runBytes != first) {
                batch.map(runIova, runIova + (runBytes - 1), runFirst, direction.permission());
                runBytes = 0;
            }
            if (runBytes == 0) {
                runIova = at;
                runFirst = first;
            }
            runBytes += span;
            see(seen, at + (each.address() & pageMask), each.length());
            at += span;
        }
        batch.map(runIova, runIova + (runBytes - 1), runFirst, direction.permission());
    }

    private static void see(List<Piece> seen, long address, long length) {
        if (!seen.isEmpty()) {
            Piece before = seen.getLast();
            if (before.address() + before.length() == address) {
                seen.set(seen.size() - 1, new Piece(before.address(), before.length() + length));
                return;
            }
        }
        seen.add(new Piece(address, length));
    }

    @SuppressWarnings("ReferenceEquality") // another list is another state of the domain
    private long allocate(long bytes, long limit) throws DriverException {
        if (!domain.reserved().equals(reserved)) {
            // An endpoint has come that cannot have all of them.
            reserved = domain.reserved();
            reserved.forEach(range -> iovas.exclude(range.first(), range.last()));
        }
        long iova = iovas.allocate(bytes, limit);
        if (iova == IovaAllocator.NONE && !waiting.isEmpty()) {
            flush();
            iova = iovas.allocate(bytes, limit);
        }
        if (iova == IovaAllocator.NONE) {
            throw new DriverException("no address for %d bytes up to 0x%x".formatted(bytes, limit));
        }
        return iova;
    }

    /** What was mapped of a list is taken away at once. */
    private void undo(long iova, DriverException reason) {
        retire(iova);
        try {
            flush();
        } catch (DriverException refused) {
            reason.addSuppressed(refused);
        }
    }

    /** Ends the use of what {@link #map(List, Direction, long)} has mapped. */
    public void unmap(List<Piece> mapped) throws DriverException {
        unmap(mapped.getFirst());
    }

    // --- coherent memory

    /** Memory that both use all the time, from {@code pages}, mapped for reading and writing. */
    public Coherent coherent(PhysicalPages pages, long bytes, long limit) throws DriverException {
        long whole = Math.addExact(bytes, pageMask) & ~pageMask;
        long address = pages.take(whole);
        if (address == PhysicalPages.NONE) {
            throw new DriverException("no memory for %d bytes".formatted(bytes));
        }
        try {
            return new Coherent(
                    map(new Piece(address, whole), Direction.BOTH, limit), address, whole);
        } catch (DriverException refused) {
            pages.giveBack(address, whole);
            throw refused;
        }
    }

    /**
     * Ends it. The memory goes back only when the device reaches it no more, whatever the policy.
     */
    public void release(PhysicalPages pages, Coherent buffer) throws DriverException {
        retire(buffer.iova());
        flush();
        pages.giveBack(buffer.address(), buffer.bytes());
    }

    // --- taking away

    private void retire(long iova) {
        Long bytes = live.remove(iova);
        if (bytes == null) {
            throw new IllegalArgumentException("0x%x is not mapped".formatted(iova));
        }
        if (waiting.isEmpty()) {
            waitingSince = policy.clock().getAsLong();
        }
        waiting.put(iova, bytes);
    }

    /** Takes away what the policy says is due; for who has nothing to map or unmap for a while. */
    public void tick() throws DriverException {
        flushIfDue();
    }

    private void flushIfDue() throws DriverException {
        boolean isDue =
                waiting.size() > policy.most()
                        || (!waiting.isEmpty()
                                && policy.clock().getAsLong() - waitingSince >= policy.nanos());
        if (isDue) {
            flush();
        }
    }

    /**
     * Takes away all that waits, with one notification: when it returns the device reaches none of
     * it. What the device refuses to give up is never handed out again.
     */
    public void flush() throws DriverException {
        if (waiting.isEmpty()) {
            return;
        }
        flushes++;
        Batch batch = domain.batch();
        List<Range> runs = runs();
        // The request of each run, or none if nothing is mapped there any more.
        int[] request = new int[runs.size()];
        for (int i = 0; i < request.length; i++) {
            int before = batch.size();
            batch.unmap(runs.get(i).first(), runs.get(i).last());
            request[i] = batch.size() > before ? before : -1;
        }
        DriverException refusal = null;
        try {
            batch.commit();
        } catch (RefusedException refused) {
            refusal = refused;
        }
        for (int i = 0; i < request.length; i++) {
            settle(runs.get(i), request[i] < 0 || batch.isDone(request[i]));
        }
        if (refusal != null) {
            throw refusal;
        }
    }

    /** What waits, those that follow each other together: an UNMAP may cover many mappings. */
    private List<Range> runs() {
        List<Range> runs = new ArrayList<>();
        for (Map.Entry<Long, Long> each : waiting.entrySet()) {
            long first = each.getKey();
            long last = first + (each.getValue() - 1);
            if (!runs.isEmpty() && runs.getLast().last() + 1 == first) {
                runs.set(runs.size() - 1, new Range(runs.getLast().first(), last));
            } else {
                runs.add(new Range(first, last));
            }
        }
        return runs;
    }

    /** The device has answered for a run. */
    private void settle(Range run, boolean isGone) {
        Map<Long, Long> inside = waiting.subMap(run.first(), true, run.last(), true);
        inside.forEach((iova, bytes) -> {
            if (isGone) {
                iovas.free(iova, bytes);
            } else {
                stuckBytes += bytes;
            }
        });
        inside.clear();
    }

    // --- counters

    /** Buffers that are mapped and in use. */
    public int liveCount() {
        return live.size();
    }

    /** Buffers that wait to be taken away. */
    public int waitingCount() {
        return waiting.size();
    }

    /** How often what waited was taken away. */
    public long flushes() {
        return flushes;
    }

    /** Bytes of addresses that the device has refused to give up, and that are not used again. */
    public long stuckBytes() {
        return stuckBytes;
    }
}
