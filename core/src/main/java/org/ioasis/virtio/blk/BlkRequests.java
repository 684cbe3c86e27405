// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioBlk.F_BLK_SIZE;
import static org.ioasis.spec.VirtioBlk.F_DISCARD;
import static org.ioasis.spec.VirtioBlk.F_FLUSH;
import static org.ioasis.spec.VirtioBlk.F_WRITE_ZEROES;
import static org.ioasis.spec.VirtioBlk.ID_BYTES;
import static org.ioasis.spec.VirtioBlk.REQ_HEADER_SIZE;
import static org.ioasis.spec.VirtioBlk.REQ_SECTOR;
import static org.ioasis.spec.VirtioBlk.REQ_TYPE;
import static org.ioasis.spec.VirtioBlk.SECTOR_SIZE;
import static org.ioasis.spec.VirtioBlk.SEGMENT_FLAG_UNMAP;
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

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceWork;
import org.ioasis.virtio.Step;
import org.ioasis.virtio.blk.Request.Phase;
import org.jspecify.annotations.Nullable;

/**
 * What a disk does with a request (virtio 1.4, 5.2.6): it copies through the request's bounce
 * buffer, guest memory on the device's thread inside guarded sections, the store by {@link BlockIo}
 * on I/O threads, so that no section spans a system call. A short read that the host can answer
 * from its memory is done between two sections, on the device's thread.
 *
 * <p>Bounds: as many requests at a time as {@link BlkSettings} says, each with one buffer; chains
 * beyond stay in the ring. A request of any length goes through its buffer piece by piece, since
 * virtio-blk has no limit on it that a driver would have to keep; erasing is limited by {@link
 * BlkErasing}.
 *
 * <p>I/O that is still running when its queue is reset is waited for before the next request of any
 * queue is taken, so that a late write cannot overtake a newer one.
 */
final class BlkRequests extends DeviceWork<Request> {
    private static final ValueLayout.OfInt LE32 = JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);

    /**
     * Longest read that is tried on the device's thread: such a one costs less than to wake another
     * thread, and others wait while it is copied.
     */
    static final int CACHED_BYTES = 64 << 10;

    private static final ValueLayout.OfLong LE64 = JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    private final BlkSettings settings;
    private final Executor io;
    private final BlockIo blockIo;
    private final boolean isReadOnly;
    private final long capacitySectors;
    private final MemorySegment id = MemorySegment.ofArray(new byte[ID_BYTES]);
    private final MemorySegment header = MemorySegment.ofArray(new byte[REQ_HEADER_SIZE]);
    private final MemorySegment statusByte = MemorySegment.ofArray(new byte[1]);
    private final Counts counts = new Counts();
    private final ArrayDeque<Request> free = new ArrayDeque<>();

    private long negotiated;

    /** What requests have to be aligned to, in sectors. */
    private int blockSectors = 1;

    BlkRequests(BlockStore store, BlkSettings settings, Executor io, Executor deviceThread) {
        super(settings.queueCount(), deviceThread);
        this.settings = settings;
        this.io = io;
        blockIo = new BlockIo(store, this);
        isReadOnly = store.isReadOnly();
        capacitySectors = settings.sectorsOf(store);
        byte[] serial = settings.serial().getBytes(StandardCharsets.US_ASCII);
        MemorySegment.copy(serial, 0, id, JAVA_BYTE, 0, serial.length);
        int chunk = settings.chunkBytes();
        MemorySegment buffers =
                Arena.ofAuto().allocate((long) chunk * settings.requestLimit(), 4096);
        for (int i = 0; i < settings.requestLimit(); i++) {
            MemorySegment buffer = buffers.asSlice((long) chunk * i, chunk);
            free.add(new Request(settings.queueSizeMax(), buffer, blockIo, counts.others));
        }
    }

    /** Any thread. */
    BlkCounters read() {
        return counts.read(counters());
    }

    /** What driver and device have agreed upon, before the work begins. */
    void negotiated(long features) {
        negotiated = features;
        blockIo.writeThrough((features & F_FLUSH) == 0);
        // Who has not seen the block size goes by sectors (5.2.5).
        blockSectors = (features & F_BLK_SIZE) != 0 ? settings.blocks().sectors() : 1;
    }

    @Override
    protected @Nullable Request room(int queue) {
        if (stale() != 0) {
            // A write of an earlier life that is still on its way must not overtake a new one.
            return null;
        }
        Request r = free.poll();
        if (r == null) {
            counts.poolExhausted.increment();
        }
        return r;
    }

    @Override
    protected void release(Request r) {
        free.add(r);
    }

    @Override
    protected void outside() {
        for (Request r = takeOutside(); r != null; r = takeOutside()) {
            if (blockIo.performCached(r)) {
                counts.cached.increment();
                resume(r);
                continue;
            }
            try {
                io.execute(r);
            } catch (RejectedExecutionException _) {
                r.ioOk = false;
                resume(r);
            }
        }
    }

    @Override
    protected Step advance(Request r) {
        while (true) {
            switch (r.phase) {
                case HEADER -> {
                    if (r.chain().writableLength() == 0) {
                        // Nowhere to put a status: all that can be done is to hand it back.
                        counts.malformed.increment();
                        return r.finish(0);
                    }
                    if (r.chain().readableLength() < REQ_HEADER_SIZE) {
                        r.reply(S_IOERR);
                    } else if (!isDone(r, r.chain().copyIn(0, header, 0, REQ_HEADER_SIZE))) {
                        return Step.ABSENT;
                    } else if (r.phase == Phase.HEADER) {
                        decode(r);
                    }
                }
                case SEGMENTS -> {
                    spend(r.chunk);
                    if (!isDone(r, r.chain().copyIn(REQ_HEADER_SIZE, r.buffer, 0, r.chunk))) {
                        return Step.ABSENT;
                    }
                    if (r.phase == Phase.SEGMENTS) {
                        checkSegments(r);
                    }
                }
                case FILL -> {
                    r.chunk = r.nextChunk();
                    spend(r.chunk);
                    long from = REQ_HEADER_SIZE + r.done;
                    if (!isDone(r, r.chain().copyIn(from, r.buffer, 0, r.chunk))) {
                        return Step.ABSENT;
                    }
                    if (r.phase == Phase.FILL) {
                        r.phase = Phase.IO;
                    }
                }
                case IO -> {
                    if (r.type == T_IN) {
                        r.chunk = r.nextChunk();
                        if (r.chunk <= CACHED_BYTES) {
                            spend(r.chunk); // for it may be read on this thread
                        }
                    }
                    r.phase = Phase.IO_DONE;
                    return Step.OUTSIDE;
                }
                case IO_DONE -> afterIo(r);
                case DRAIN -> {
                    spend(r.chunk);
                    if (!isDone(r, r.chain().copyOut(r.done, r.buffer, 0, r.chunk))) {
                        return Step.ABSENT;
                    }
                    if (r.phase == Phase.DRAIN) {
                        counts.bytesRead.add(r.chunk);
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
                    long n = Math.min(ID_BYTES, r.chain().writableLength() - 1);
                    if (!isDone(r, r.chain().copyOut(0, id, 0, n))) {
                        return Step.ABSENT;
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

    private void afterIo(Request r) {
        if (!r.ioOk) {
            r.reply(S_IOERR);
            return;
        }
        switch (r.type) {
            case T_IN -> r.phase = Phase.DRAIN;
            case T_OUT -> {
                r.done += r.chunk;
                counts.bytesWritten.add(r.chunk);
                if (r.done < r.dataLength) {
                    r.phase = Phase.FILL;
                } else {
                    r.reply(S_OK);
                }
            }
            default -> r.reply(S_OK);
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
            case FAULT, REFUSED -> {
                count(outcome);
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
                r.counter = counts.reads;
                transferOf(r, sector, r.chain().writableLength() - 1, Phase.IO);
            }
            case T_OUT -> {
                r.counter = counts.writes;
                if (isReadOnly) {
                    // 5.2.6.2: a write to a read-only device fails and writes nothing.
                    r.reply(S_IOERR);
                } else {
                    transferOf(r, sector, r.chain().readableLength() - REQ_HEADER_SIZE, Phase.FILL);
                }
            }
            case T_FLUSH -> {
                r.counter = counts.flushes;
                r.phase = Phase.IO;
            }
            case T_GET_ID -> {
                r.counter = counts.ids;
                r.phase = Phase.ID;
            }
            case T_DISCARD -> segmentsOf(r, counts.discards, F_DISCARD, settings.discardSegments());
            case T_WRITE_ZEROES ->
                    segmentsOf(r, counts.zeroes, F_WRITE_ZEROES, settings.zeroesSegments());
            default -> r.reply(S_UNSUPP);
        }
    }

    private void segmentsOf(Request r, Counts.Answers counter, long feature, int limit) {
        r.counter = counter;
        long length = r.chain().readableLength() - REQ_HEADER_SIZE;
        if (isReadOnly) {
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
            long sector = Segments.sector(r.buffer, at);
            long sectors = Segments.sectors(r.buffer, at);
            if ((Segments.flags(r.buffer, at) & ~known) != 0) {
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
        long at = r.chain().writableLength() - 1;
        Outcome outcome = r.chain().copyOut(at, statusByte, 0, 1);
        switch (outcome) {
            case OK -> {
                // Used length counts from the first writable byte without a gap (2.7.8.2), so after
                // a failed read the status behind the data does not count.
                if (r.written == at) {
                    r.written++;
                }
            }
            case ABSENT -> {
                return Step.ABSENT;
            }
            // Nothing more can be said to this driver; it gets its chain back.
            case FAULT, REFUSED -> count(outcome);
        }
        r.counter.add(r.status);
        return r.finish(r.written);
    }
}
