// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioBlk.CONFIG_BLK_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_CAPACITY;
import static org.ioasis.spec.VirtioBlk.CONFIG_DISCARD_SECTOR_ALIGNMENT;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_DISCARD_SECTORS;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_DISCARD_SEG;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_WRITE_ZEROES_SECTORS;
import static org.ioasis.spec.VirtioBlk.CONFIG_MAX_WRITE_ZEROES_SEG;
import static org.ioasis.spec.VirtioBlk.CONFIG_MIN_IO_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_NUM_QUEUES;
import static org.ioasis.spec.VirtioBlk.CONFIG_OPT_IO_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_PHYSICAL_BLOCK_EXP;
import static org.ioasis.spec.VirtioBlk.CONFIG_SEG_MAX;
import static org.ioasis.spec.VirtioBlk.CONFIG_SIZE;
import static org.ioasis.spec.VirtioBlk.CONFIG_SIZE_MAX;
import static org.ioasis.spec.VirtioBlk.CONFIG_WRITE_ZEROES_MAY_UNMAP;
import static org.ioasis.spec.VirtioBlk.F_BLK_SIZE;
import static org.ioasis.spec.VirtioBlk.F_DISCARD;
import static org.ioasis.spec.VirtioBlk.F_FLUSH;
import static org.ioasis.spec.VirtioBlk.F_MQ;
import static org.ioasis.spec.VirtioBlk.F_RO;
import static org.ioasis.spec.VirtioBlk.F_SEG_MAX;
import static org.ioasis.spec.VirtioBlk.F_SIZE_MAX;
import static org.ioasis.spec.VirtioBlk.F_TOPOLOGY;
import static org.ioasis.spec.VirtioBlk.F_WRITE_ZEROES;
import static org.ioasis.spec.VirtioBlk.ID_BYTES;
import static org.ioasis.spec.VirtioBlk.REQ_HEADER_SIZE;
import static org.ioasis.spec.VirtioBlk.REQ_SECTOR;
import static org.ioasis.spec.VirtioBlk.REQ_TYPE;
import static org.ioasis.spec.VirtioBlk.SECTOR_SIZE;
import static org.ioasis.spec.VirtioBlk.SEGMENT_FLAGS;
import static org.ioasis.spec.VirtioBlk.SEGMENT_FLAG_UNMAP;
import static org.ioasis.spec.VirtioBlk.SEGMENT_NUM_SECTORS;
import static org.ioasis.spec.VirtioBlk.SEGMENT_SECTOR;
import static org.ioasis.spec.VirtioBlk.SEGMENT_SIZE;
import static org.ioasis.spec.VirtioBlk.S_IOERR;
import static org.ioasis.spec.VirtioBlk.S_OK;
import static org.ioasis.spec.VirtioBlk.S_UNSUPP;
import static org.ioasis.spec.VirtioBlk.T_DISCARD;
import static org.ioasis.spec.VirtioBlk.T_FLUSH;
import static org.ioasis.spec.VirtioBlk.T_GET_ID;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_OUT;
import static org.ioasis.spec.VirtioBlk.T_WRITE_ZEROES;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtio.blk.Request.Phase;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.Pop;
import org.ioasis.virtqueue.SplitQueue;
import org.jspecify.annotations.Nullable;

/**
 * A virtio block device (virtio 1.4, 5.2): IN, OUT, FLUSH, GET_ID, DISCARD and WRITE_ZEROES, on one
 * or several queues that get their turns one request at a time.
 *
 * <p>All methods run on the device's thread, except {@link #counters} (any thread) and the blocking
 * I/O, which runs on the executor given for it and comes back through the other. A request copies
 * through its bounce buffer: guest memory is touched only on the device's thread inside guarded
 * sections, the store only outside, so no section spans a system call.
 *
 * <p>Requests are done in no order. FLUSH covers the writes that were answered before it was made
 * available (5.2.6.2), and those have reached the store. Without FLUSH negotiated each write is
 * flushed before it is answered (the same place, case 1). Once a flush has failed all later ones
 * do: the host forgets what it could not write, so that a second attempt would seem to succeed.
 *
 * <p>Bounds: as many requests at a time as {@link BlkSettings} says, each with one buffer; chains
 * beyond stay in the ring. A request of any length goes through its buffer piece by piece, since
 * virtio-blk has no limit on it that a driver would have to keep; erasing is limited by {@link
 * BlkErasing}.
 *
 * <p>A reset is over at once, of the device and of one queue. I/O that is still running belongs to
 * an earlier life of its queue: its result is dropped, and it is waited for before the next request
 * of any queue is taken, so that a late write cannot overtake a newer one.
 */
public final class VirtioBlk implements DeviceType {
    private static final ValueLayout.OfShort LE16 = JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    /** What a guarded section may copy before it ends and another begins. */
    private static final long SECTION_BYTES = 256 << 10;

    /** What a chain costs beside its data, in the same unit. */
    private static final long CHAIN_COST = 1024;

    /** Sections in a row before the rest of the loop gets its turn. */
    private static final int SECTION_LIMIT = 16;

    /** What became of a request for now. */
    private enum Step {
        TO_IO,
        KEPT,
        FINISHED
    }

    private final BlockStore store;
    private final BlkSettings settings;
    private final Executor io;
    private final Executor deviceThread;
    private final long capacitySectors;
    private final MemorySegment config = MemorySegment.ofArray(new byte[CONFIG_SIZE]);
    private final MemorySegment id = MemorySegment.ofArray(new byte[ID_BYTES]);
    private final MemorySegment header = MemorySegment.ofArray(new byte[REQ_HEADER_SIZE]);
    private final MemorySegment statusByte = MemorySegment.ofArray(new byte[1]);
    private final Counts counts = new Counts();

    /** Finished I/O, last one first; pushed by I/O threads, taken whole by the device's thread. */
    private final AtomicReference<@Nullable Request> completed = new AtomicReference<>();

    private final Runnable resume = this::resume;

    private final RequestList free = new RequestList();
    private final RequestList ready = new RequestList();
    private final RequestList kept = new RequestList();
    private final RequestList toIo = new RequestList();

    // One for each queue.
    private final boolean[] ringAbsent;
    private final boolean[] ringFaultCounted;
    private final boolean[] interrupts;
    private final boolean[] drained;

    /** Requests with I/O threads that belong to the queue's present life. */
    private final int[] inIo;

    /**
     * Counts resets. Results of requests of an earlier life are dropped, and I/O threads skip them.
     */
    private final AtomicIntegerArray lives;

    private @Nullable VirtioDevice device;

    /** All queues with MQ negotiated, one without (5.2.2). */
    private int activeQueues = 1;

    /** Whose turn it is. */
    private int nextQueue;

    private long negotiated;

    /** What requests have to be aligned to, in sectors. */
    private int blockSectors = 1;

    /** Something that waited for memory has gone on. */
    private boolean keptMoved;

    private long budget;

    /** Requests with I/O threads that belong to an earlier life. */
    private int staleInIo;

    private volatile boolean writeThrough;

    /** A flush has failed: what was written before may be lost, whatever a later one says. */
    private volatile boolean flushLost;

    /**
     * A disk.
     *
     * @param io runs blocking I/O, up to {@link BlkSettings#requestLimit} at a time; what it
     *     rejects is answered with IOERR
     * @param deviceThread runs things later on the device's thread, from any thread; never at once
     *     inside {@code execute}, and it rejects nothing while I/O is running
     */
    public VirtioBlk(BlockStore store, BlkSettings settings, Executor io, Executor deviceThread) {
        this.store = store;
        this.settings = settings;
        this.io = io;
        this.deviceThread = deviceThread;
        int blockBytes = settings.blocks().size();
        capacitySectors = (store.capacity() - store.capacity() % blockBytes) / SECTOR_SIZE;
        ringAbsent = new boolean[settings.queueCount()];
        ringFaultCounted = new boolean[settings.queueCount()];
        interrupts = new boolean[settings.queueCount()];
        drained = new boolean[settings.queueCount()];
        inIo = new int[settings.queueCount()];
        lives = new AtomicIntegerArray(settings.queueCount());
        fillConfig();
        byte[] serial = settings.serial().getBytes(StandardCharsets.US_ASCII);
        MemorySegment.copy(serial, 0, id, JAVA_BYTE, 0, serial.length);
        int chunk = settings.chunkBytes();
        MemorySegment buffers =
                Arena.ofAuto().allocate((long) chunk * settings.requestLimit(), 4096);
        for (int i = 0; i < settings.requestLimit(); i++) {
            MemorySegment buffer = buffers.asSlice((long) chunk * i, chunk);
            free.add(new Request(this, new Chain(settings.queueSizeMax()), buffer));
        }
    }

    /** Fields of features that are not offered stay 0. 5.2.4. */
    private void fillConfig() {
        BlkBlocks blocks = settings.blocks();
        config.set(LE64, CONFIG_CAPACITY, capacitySectors);
        config.set(LE32, CONFIG_SIZE_MAX, settings.sizeMax());
        config.set(LE32, CONFIG_SEG_MAX, settings.segMax());
        config.set(LE32, CONFIG_BLK_SIZE, blocks.size());
        config.set(JAVA_BYTE, CONFIG_PHYSICAL_BLOCK_EXP, (byte) blocks.physicalExponent());
        config.set(LE16, CONFIG_MIN_IO_SIZE, (short) blocks.minimumIo());
        config.set(LE32, CONFIG_OPT_IO_SIZE, blocks.optimalIo());
        if (settings.queueCount() > 1) {
            config.set(LE16, CONFIG_NUM_QUEUES, (short) settings.queueCount());
        }
        if (!store.isReadOnly()) {
            BlkErasing erasing = settings.erasing();
            if (settings.discardSegments() > 0) {
                config.set(LE32, CONFIG_MAX_DISCARD_SECTORS, erasing.discardSectors());
                config.set(LE32, CONFIG_MAX_DISCARD_SEG, settings.discardSegments());
                config.set(LE32, CONFIG_DISCARD_SECTOR_ALIGNMENT, blocks.sectors());
            }
            config.set(LE32, CONFIG_MAX_WRITE_ZEROES_SECTORS, erasing.zeroesSectors());
            config.set(LE32, CONFIG_MAX_WRITE_ZEROES_SEG, settings.zeroesSegments());
            config.set(
                    JAVA_BYTE,
                    CONFIG_WRITE_ZEROES_MAY_UNMAP,
                    (byte) (store.canDeallocate() ? 1 : 0));
        }
    }

    /** What the disk has done so far. Any thread. */
    public BlkCounters counters() {
        return counts.snapshot();
    }

    @Override
    public int id() {
        return Virtio.DEVICE_ID_BLOCK;
    }

    @Override
    public long features() {
        return F_SEG_MAX
                | F_BLK_SIZE
                | F_FLUSH
                | F_TOPOLOGY
                | (settings.sizeMax() != 0 ? F_SIZE_MAX : 0)
                | (settings.queueCount() > 1 ? F_MQ : 0)
                | (settings.discardSegments() > 0 && !store.isReadOnly() ? F_DISCARD : 0)
                | (store.isReadOnly() ? F_RO : F_WRITE_ZEROES);
    }

    @Override
    public int queueCount() {
        return settings.queueCount();
    }

    @Override
    public int queueSizeMax() {
        return settings.queueSizeMax();
    }

    @Override
    public int configSize() {
        return CONFIG_SIZE;
    }

    @Override
    public long readConfig(int offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | Byte.toUnsignedLong(config.get(JAVA_BYTE, offset + i));
        }
        return value;
    }

    /** Nothing is writable: CONFIG_WCE is not offered. */
    @Override
    public void writeConfig(int offset, int size, long value) {}

    @Override
    public void start(long negotiated, VirtioDevice device) {
        this.device = device;
        this.negotiated = negotiated;
        writeThrough = (negotiated & F_FLUSH) == 0;
        activeQueues = (negotiated & F_MQ) != 0 ? settings.queueCount() : 1;
        // Who has not seen the block size goes by sectors (5.2.5).
        blockSectors = (negotiated & F_BLK_SIZE) != 0 ? settings.blocks().sectors() : 1;
    }

    @Override
    public void kick(int queue) {
        work();
    }

    @Override
    public void memoryChanged() {
        for (Request r = kept.poll(); r != null; r = kept.poll()) {
            ready.add(r);
        }
        work();
    }

    @Override
    public void reset() {
        for (int q = 0; q < inIo.length; q++) {
            forget(q);
        }
        device = null;
        activeQueues = 1;
        nextQueue = 0;
        keptMoved = false;
        dropAll(kept);
        dropAll(ready);
    }

    @Override
    public void resetQueue(int queue) {
        forget(queue);
        dropThoseOf(queue, kept);
        dropThoseOf(queue, ready);
        VirtioDevice running = device;
        if (running != null) {
            settle(running);
        }
    }

    @Override
    public void systemReset() {
        reset();
    }

    /** What the queue has with I/O threads is stale from now on. */
    private void forget(int queue) {
        lives.incrementAndGet(queue);
        staleInIo += inIo[queue];
        inIo[queue] = 0;
        ringAbsent[queue] = false;
        ringFaultCounted[queue] = false;
    }

    private void dropThoseOf(int queue, RequestList list) {
        RequestList others = new RequestList();
        for (Request r = list.poll(); r != null; r = list.poll()) {
            if (r.queue == queue) {
                drop(r);
            } else {
                others.add(r);
            }
        }
        for (Request r = others.poll(); r != null; r = others.poll()) {
            list.add(r);
        }
    }

    private void dropAll(RequestList list) {
        for (Request r = list.poll(); r != null; r = list.poll()) {
            drop(r);
        }
    }

    private void drop(Request r) {
        counts.add(Counts.DROPPED, 1);
        free.add(r);
    }

    // --- on I/O threads

    /** The blocking part of a request, and its way back. */
    void performIo(Request r) {
        r.ioOk = false;
        try {
            // The answer of an earlier life goes nowhere, so its write had better not happen.
            if (r.life == lives.get(r.queue)) {
                transfer(r);
                r.ioOk = true;
            }
        } catch (IOException _) {
            // The guest is told with IOERR, and it is counted.
        } finally {
            complete(r);
        }
    }

    private void transfer(Request r) throws IOException {
        r.view.clear().limit(r.chunk);
        switch (r.type) {
            case T_IN -> store.read(r.position + r.done, r.view);
            case T_OUT -> {
                store.write(r.position + r.done, r.view);
                if (writeThrough && r.done + r.chunk == r.dataLength) {
                    flush();
                }
            }
            case T_DISCARD, T_WRITE_ZEROES -> {
                erase(r);
                if (writeThrough) {
                    flush();
                }
            }
            case T_FLUSH -> flush();
            default -> throw new IllegalStateException("no I/O for type " + r.type);
        }
    }

    private void erase(Request r) throws IOException {
        for (int at = 0; at < r.chunk; at += SEGMENT_SIZE) {
            long position = r.buffer.get(LE64, at + SEGMENT_SECTOR) * SECTOR_SIZE;
            long length = sectorsOf(r.buffer, at) * SECTOR_SIZE;
            if (length == 0) {
                continue;
            }
            if (r.type == T_DISCARD) {
                store.discard(position, length);
            } else {
                int flags = r.buffer.get(LE32, at + SEGMENT_FLAGS);
                store.writeZeroes(position, length, (flags & SEGMENT_FLAG_UNMAP) != 0);
            }
        }
    }

    private static long sectorsOf(MemorySegment segments, int at) {
        return Integer.toUnsignedLong(segments.get(LE32, at + SEGMENT_NUM_SECTORS));
    }

    private void flush() throws IOException {
        if (flushLost) {
            throw new IOException("an earlier flush has failed");
        }
        try {
            store.flush();
        } catch (IOException | RuntimeException e) {
            flushLost = true;
            throw e;
        }
    }

    private void complete(Request r) {
        Request before;
        do {
            before = completed.get();
            r.next = before;
        } while (!completed.compareAndSet(before, r));
        if (before == null) {
            // Whoever finds the stack empty wakes the device; the others ride along.
            deviceThread.execute(resume);
        }
    }

    // --- on the device's thread

    /** I/O has completed, or work was put off. */
    private void resume() {
        Request reversed = null;
        Request r = completed.getAndSet(null);
        while (r != null) {
            Request following = r.next;
            r.next = reversed;
            reversed = r;
            r = following;
        }
        while (reversed != null) {
            Request following = reversed.next;
            if (reversed.life == lives.get(reversed.queue)) {
                inIo[reversed.queue]--;
                afterIo(reversed);
                ready.add(reversed);
            } else {
                staleInIo--;
                drop(reversed);
            }
            reversed = following;
        }
        work();
    }

    private void afterIo(Request r) {
        if (!r.ioOk) {
            r.reply(S_IOERR);
            return;
        }
        switch (r.type) {
            case T_IN -> r.phase = Phase.DRAIN;
            case T_OUT -> {
                r.done += r.chunk;
                counts.add(Counts.BYTES_WRITTEN, r.chunk);
                if (r.done < r.dataLength) {
                    r.phase = Phase.FILL;
                } else {
                    r.reply(S_OK);
                }
            }
            default -> r.reply(S_OK);
        }
    }

    /** Does what can be done: answers first, since they make room for new requests. */
    private void work() {
        VirtioDevice d = device;
        if (d == null || !d.isRunning()) {
            return;
        }
        Dma dma = d.dma();
        boolean more = true;
        for (int sections = 0; more; sections++) {
            if (sections == SECTION_LIMIT) {
                deviceThread.execute(resume);
                break;
            }
            dma.enter();
            try {
                budget = SECTION_BYTES;
                more = section(d);
                publish(d);
            } finally {
                dma.leave();
            }
            more |= dispatch();
        }
        for (int q = 0; q < activeQueues; q++) {
            if (interrupts[q]) {
                interrupts[q] = false;
                d.interrupt(q);
            }
        }
        settle(d);
    }

    private void publish(VirtioDevice d) {
        for (int q = 0; q < activeQueues; q++) {
            SplitQueue queue = d.queue(q);
            // Not OK: absent is retried, the rest is seen in settle.
            if (queue.unpublished() > 0 && queue.publish() == Outcome.OK) {
                interrupts[q] |= queue.shouldInterrupt();
            }
        }
    }

    /** One guarded section's worth of work; true if it ended because its budget was spent. */
    private boolean section(VirtioDevice d) {
        for (Request r = ready.poll(); r != null; r = ready.poll()) {
            proceed(d, r);
            if (budget <= 0) {
                return true;
            }
        }
        // A write of an earlier life that is still on its way must not overtake a new one.
        if (staleInIo != 0) {
            return false;
        }
        int left = activeQueues;
        Arrays.fill(drained, false);
        while (left > 0) {
            int q = nextQueue;
            // One request each in turn: a full queue must not keep the others waiting.
            nextQueue = (q + 1) % activeQueues;
            if (drained[q]) {
                continue;
            }
            Request r = free.poll();
            if (r == null) {
                counts.add(Counts.POOL_EXHAUSTED, 1);
                return false;
            }
            SplitQueue queue = d.queue(q);
            Pop pop = queue.pop(r.chain);
            if (pop == Pop.GOT) {
                keptMoved |= ringAbsent[q];
                ringAbsent[q] = false;
                r.begin(lives.get(q), q);
                proceed(d, r);
                if (budget <= 0) {
                    return true;
                }
                continue;
            }
            free.add(r);
            if (pop == Pop.EMPTY) {
                pop = queue.resumeKicks();
            }
            if (pop != Pop.GOT) {
                ringAbsent[q] = pop == Pop.ABSENT;
                drained[q] = true;
                left--;
            }
        }
        return false;
    }

    private void proceed(VirtioDevice d, Request r) {
        budget -= CHAIN_COST;
        Step step = advance(r);
        if (step != Step.KEPT && r.waited) {
            r.waited = false;
            keptMoved = true;
        }
        switch (step) {
            case TO_IO -> toIo.add(r);
            case KEPT -> {
                r.waited = true;
                counts.add(Counts.KEPT_ABSENT, 1);
                kept.add(r);
            }
            case FINISHED -> {
                d.queue(r.queue).push(r.chain.head(), r.written);
                free.add(r);
            }
        }
    }

    /** Hands requests to the I/O threads; true if some came back at once. */
    private boolean dispatch() {
        boolean rejected = false;
        for (Request r = toIo.poll(); r != null; r = toIo.poll()) {
            inIo[r.queue]++;
            try {
                io.execute(r);
            } catch (RejectedExecutionException _) {
                inIo[r.queue]--;
                r.reply(S_IOERR);
                ready.add(r);
                rejected = true;
            }
        }
        return rejected;
    }

    private void settle(VirtioDevice d) {
        if (keptMoved) {
            // The time limit is for a wait in which nothing moves.
            d.waitsForMemory(false);
            keptMoved = false;
        }
        boolean waits = !kept.isEmpty();
        String reason = null;
        for (int q = 0; q < activeQueues; q++) {
            SplitQueue queue = d.queue(q);
            waits |= ringAbsent[q] || queue.unpublished() > 0;
            if (queue.isFaulted() && !ringFaultCounted[q]) {
                ringFaultCounted[q] = true;
                counts.add(Counts.RING_FAULTS, 1);
            }
            if (reason == null) {
                reason = queue.brokenReason();
            }
        }
        d.waitsForMemory(waits);
        if (reason != null) {
            d.needsReset(reason);
        }
    }

    /** Takes a request as far as it goes without I/O. In a guarded section. */
    private Step advance(Request r) {
        while (true) {
            switch (r.phase) {
                case HEADER -> {
                    if (r.chain.writableLength() == 0) {
                        // Nowhere to put a status: all that can be done is to hand it back.
                        counts.add(Counts.MALFORMED, 1);
                        return Step.FINISHED;
                    }
                    if (r.chain.readableLength() < REQ_HEADER_SIZE) {
                        r.reply(S_IOERR);
                    } else if (!isDone(r, r.chain.copyIn(0, header, 0, REQ_HEADER_SIZE))) {
                        return Step.KEPT;
                    } else if (r.phase == Phase.HEADER) {
                        decode(r);
                    }
                }
                case SEGMENTS -> {
                    budget -= r.chunk;
                    if (!isDone(r, r.chain.copyIn(REQ_HEADER_SIZE, r.buffer, 0, r.chunk))) {
                        return Step.KEPT;
                    }
                    if (r.phase == Phase.SEGMENTS) {
                        checkSegments(r);
                    }
                }
                case FILL -> {
                    r.chunk = r.nextChunk();
                    budget -= r.chunk;
                    long from = REQ_HEADER_SIZE + r.done;
                    if (!isDone(r, r.chain.copyIn(from, r.buffer, 0, r.chunk))) {
                        return Step.KEPT;
                    }
                    if (r.phase == Phase.FILL) {
                        r.phase = Phase.IO;
                    }
                }
                case IO -> {
                    if (r.type == T_IN) {
                        r.chunk = r.nextChunk();
                    }
                    return Step.TO_IO;
                }
                case DRAIN -> {
                    budget -= r.chunk;
                    if (!isDone(r, r.chain.copyOut(r.done, r.buffer, 0, r.chunk))) {
                        return Step.KEPT;
                    }
                    if (r.phase == Phase.DRAIN) {
                        counts.add(Counts.BYTES_READ, r.chunk);
                        r.done += r.chunk;
                        r.written = r.done;
                        if (r.done < r.dataLength) {
                            r.phase = Phase.IO;
                        } else {
                            r.reply(S_OK);
                        }
                    }
                }
                case ID -> {
                    long n = Math.min(ID_BYTES, r.chain.writableLength() - 1);
                    if (!isDone(r, r.chain.copyOut(0, id, 0, n))) {
                        return Step.KEPT;
                    }
                    if (r.phase == Phase.ID) {
                        r.written = n;
                        r.reply(S_OK);
                    }
                }
                case REPLY -> {
                    return answer(r);
                }
            }
        }
    }

    /**
     * Looks at the outcome of a copy: false if the request has to wait for memory. When the access
     * was refused, the request goes on to answer IOERR.
     */
    private boolean isDone(Request r, Outcome outcome) {
        switch (outcome) {
            case OK -> {}
            case ABSENT -> {
                return false;
            }
            case FAULT -> {
                counts.add(Counts.FAULTS, 1);
                r.reply(S_IOERR);
            }
            case REFUSED -> {
                counts.add(Counts.REFUSALS, 1);
                r.reply(S_IOERR);
            }
        }
        return true;
    }

    /** Reads the header that was copied and decides what becomes of the request. 5.2.6. */
    private void decode(Request r) {
        r.type = header.get(LE32, REQ_TYPE);
        long sector = header.get(LE64, REQ_SECTOR);
        switch (r.type) {
            case T_IN -> {
                r.counter = Counts.READS;
                transferOf(r, sector, r.chain.writableLength() - 1, Phase.IO);
            }
            case T_OUT -> {
                r.counter = Counts.WRITES;
                if (store.isReadOnly()) {
                    // 5.2.6.2: a write to a read-only device fails and writes nothing.
                    r.reply(S_IOERR);
                } else {
                    transferOf(r, sector, r.chain.readableLength() - REQ_HEADER_SIZE, Phase.FILL);
                }
            }
            case T_FLUSH -> {
                r.counter = Counts.FLUSHES;
                r.phase = Phase.IO;
            }
            case T_GET_ID -> {
                r.counter = Counts.IDS;
                r.phase = Phase.ID;
            }
            case T_DISCARD -> segmentsOf(r, Counts.DISCARDS, F_DISCARD, settings.discardSegments());
            case T_WRITE_ZEROES ->
                    segmentsOf(r, Counts.ZEROES, F_WRITE_ZEROES, settings.zeroesSegments());
            default -> r.reply(S_UNSUPP);
        }
    }

    private void segmentsOf(Request r, int counter, long feature, int limit) {
        r.counter = counter;
        long length = r.chain.readableLength() - REQ_HEADER_SIZE;
        if (store.isReadOnly()) {
            // It changes data, as a write does (5.2.6.2).
            r.reply(S_IOERR);
        } else if ((negotiated & feature) == 0) {
            r.reply(S_UNSUPP);
        } else if (length == 0 || length % SEGMENT_SIZE != 0 || length / SEGMENT_SIZE > limit) {
            r.reply(S_IOERR);
        } else {
            r.chunk = (int) length;
            r.phase = Phase.SEGMENTS;
        }
    }

    /** All of them, before anything is erased. 5.2.6.2. */
    private void checkSegments(Request r) {
        int known = r.type == T_DISCARD ? 0 : SEGMENT_FLAG_UNMAP;
        int most =
                r.type == T_DISCARD
                        ? settings.erasing().discardSectors()
                        : settings.erasing().zeroesSectors();
        int status = S_OK;
        for (int at = 0; at < r.chunk; at += SEGMENT_SIZE) {
            long sector = r.buffer.get(LE64, at + SEGMENT_SECTOR);
            long sectors = sectorsOf(r.buffer, at);
            if ((r.buffer.get(LE32, at + SEGMENT_FLAGS) & ~known) != 0) {
                status = S_UNSUPP;
                break;
            }
            if (sectors > most || !isRange(sector, sectors)) {
                status = S_IOERR;
            }
        }
        if (status == S_OK) {
            r.phase = Phase.IO;
        } else {
            r.reply(status);
        }
    }

    /** Aligned to blocks and inside the disk. */
    private boolean isRange(long sector, long sectors) {
        return ((sector | sectors) & (blockSectors - 1)) == 0
                && Long.compareUnsigned(sector, capacitySectors) <= 0
                && sectors <= capacitySectors - sector;
    }

    private void transferOf(Request r, long sector, long length, Phase phase) {
        // No overflow below: the capacity in bytes is a long, and sector is at most its sectors.
        if (length % SECTOR_SIZE != 0 || !isRange(sector, length / SECTOR_SIZE)) {
            r.reply(S_IOERR);
            return;
        }
        r.position = sector * SECTOR_SIZE;
        r.dataLength = length;
        if (length == 0) {
            r.reply(S_OK);
        } else {
            r.phase = phase;
        }
    }

    /** Writes the status, the last writable byte (5.2.6). */
    private Step answer(Request r) {
        statusByte.set(JAVA_BYTE, 0, (byte) r.status);
        long at = r.chain.writableLength() - 1;
        switch (r.chain.copyOut(at, statusByte, 0, 1)) {
            case OK -> {
                // Used length counts from the first writable byte without a gap (2.7.8.2), so after
                // a failed read the status behind the data does not count.
                if (r.written == at) {
                    r.written++;
                }
            }
            case ABSENT -> {
                return Step.KEPT;
            }
            // Nothing more can be said to this driver; it gets its chain back.
            case FAULT -> counts.add(Counts.FAULTS, 1);
            case REFUSED -> counts.add(Counts.REFUSALS, 1);
        }
        counts.answer(r.counter, r.status);
        return Step.FINISHED;
    }
}
