// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * What every {@link Dma} over guest memory has in common: finding the region behind a
 * guest-physical address, and following an access over mappings and regions. How the device's
 * address becomes a guest-physical one is the subclass's part. Belongs to the thread that owns its
 * guard.
 */
public abstract class RegionDma implements Dma {
    private static final ValueLayout.OfLong LE64 =
            JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt LE32 =
            JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle U16 = JAVA_SHORT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final long SMALL_BYTES = 64;
    private static final int WRITTEN_OUT = 4;
    private static final MemorySegment NOWHERE = MemorySegment.ofArray(new byte[0]);

    private final GuestMemory memory;
    private final Guard guard;

    /** A number on its way to memory that does not lie in one piece. */
    private final MemorySegment pieces = Arena.ofAuto().allocate(Integer.BYTES, Integer.BYTES);

    /** Counts beginnings and ends of sections. */
    private long section;

    private long offset;
    private long reach;

    // The region of the last access of this section, which most likely is that of the next one:
    // none has 2^64 bytes, so a length of 0 is no region.
    private MemorySegment segment = NOWHERE;
    private long regionFirst;
    private long regionLength;
    private int regionAccesses;
    private @Nullable Region region;

    protected RegionDma(GuestMemory memory, Guard guard) {
        this.memory = memory;
        this.guard = guard;
    }

    @Override
    public void enter() {
        guard.enter();
        section++;
    }

    @Override
    public void leave() {
        guard.leave();
        section++;
        // A resolved address must not outlive the section, not even by mistake.
        segment = NOWHERE;
        regionLength = 0;
        reach = 0;
        region = null;
    }

    @Override
    public final long section() {
        return section;
    }

    @Override
    public final MemorySegment segment() {
        return segment;
    }

    @Override
    public final long offset() {
        return offset;
    }

    @Override
    public final long reach() {
        return reach;
    }

    /**
     * Finds the memory behind {@code gpa .. gpa + length - 1} ({@code length >= 1}; what lies past
     * 2^64-1 or past the region is out of reach).
     */
    protected final Outcome locate(long gpa, long length, Access access) {
        long at = gpa - regionFirst;
        if (Long.compareUnsigned(at, regionLength) < 0 && (regionAccesses & access.bit()) != 0) {
            found(at, length);
            return Outcome.OK;
        }
        return locateElsewhere(gpa, length, access);
    }

    private void found(long at, long length) {
        offset = at;
        // Not more than the region.
        reach = Long.compareUnsigned(length, regionLength - at) <= 0 ? length : regionLength - at;
    }

    /**
     * As {@link #locate} where the region is not that of the access before. While somebody wants to
     * know what is written each write comes here: nothing is written that was not located before in
     * the same section, but for what a lease holds and what goes through {@link GuestWords}.
     */
    private Outcome locateElsewhere(long gpa, long length, Access access) {
        Region found = memory.find(gpa);
        if (found == null) {
            return Outcome.ABSENT;
        }
        MemorySegment bytes = found.segment();
        if (bytes == null) {
            memory.countUnreachable();
            return Outcome.REFUSED;
        }
        if (!found.isWritable() && access == Access.WRITE) {
            return Outcome.REFUSED;
        }
        region = found;
        segment = bytes;
        regionFirst = found.gpaFirst();
        regionLength = bytes.byteSize();
        WriteLog log = memory.log();
        boolean isFree = found.isWritable() && log == null;
        regionAccesses = Access.READ.bit() | (isFree ? Access.WRITE.bit() : 0);
        found(gpa - regionFirst, length);
        if (log != null && access == Access.WRITE) {
            log.note(gpa, reach);
        }
        return Outcome.OK;
    }

    /** Where the last successful {@link #resolve} ended up: its guest-physical address. */
    protected final long located() {
        return regionFirst + offset;
    }

    /** Called after each successful copy of {@code length} bytes: for counters. */
    protected void copied(long length) {}

    /**
     * The space that the last successful {@link #resolve} found its address in, for a lease on it:
     * a domain, or the memory itself.
     */
    protected abstract Object leaseSpace();

    /** Whom a lease belongs to. */
    protected abstract Object leaseOwner();

    /** A lease on {@code first..last} was taken back because its deadline passed. Loop thread. */
    protected abstract void leaseExpired(long first, long last, Access access);

    @Override
    public final Outcome read(long address, MemorySegment target, long targetOffset, long length) {
        if (length == 0) {
            return Outcome.OK;
        }
        Outcome outcome = resolve(address, length, Access.READ);
        long done = 0;
        while (outcome == Outcome.OK) {
            copy(segment, offset, target, targetOffset + done, reach);
            done += reach;
            if (done == length) {
                copied(length);
                return Outcome.OK;
            }
            outcome = goOn(address, done, length, Access.READ);
        }
        return outcome;
    }

    @Override
    public final Outcome write(long address, MemorySegment source, long sourceOffset, long length) {
        if (length == 0) {
            return Outcome.OK;
        }
        Outcome outcome = resolve(address, length, Access.WRITE);
        return outcome == Outcome.OK ? writeFound(address, source, sourceOffset, length) : outcome;
    }

    /** As {@link #write}, of what was just resolved. */
    private Outcome writeFound(long address, MemorySegment source, long sourceOffset, long length) {
        long done = 0;
        while (true) {
            copy(source, sourceOffset + done, segment, offset, reach);
            done += reach;
            if (done == length) {
                copied(length);
                return Outcome.OK;
            }
            Outcome outcome = goOn(address, done, length, Access.WRITE);
            if (outcome != Outcome.OK) {
                return outcome;
            }
        }
    }

    /** The next piece of an access of which {@code done} bytes are behind it. */
    private Outcome goOn(long address, long done, long length, Access access) {
        return wraps(address, done)
                ? beyondTheEnd(address, access)
                : proceed(address + done, length - done, access);
    }

    @Override
    public final Outcome readWords(long address, long[] words, int at, int length) {
        Outcome outcome = resolve(address, length, Access.READ);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        if (reach != length || at % Long.BYTES != 0 || length % Integer.BYTES != 0) {
            return readBytes(address, words, at, length);
        }
        copyWords(words, at / Long.BYTES, length);
        copied(length);
        return Outcome.OK;
    }

    /**
     * Whole words and perhaps half of one, each byte once. Written out, because it is three or four
     * words mostly, and a loop over so few spends more on itself.
     */
    private void copyWords(long[] words, int to, int length) {
        MemorySegment from = segment;
        long first = offset;
        int whole = length / Long.BYTES;
        if (whole * Long.BYTES != length) {
            int half = from.get(LE32, first + (long) Long.BYTES * whole);
            words[to + whole] = Integer.toUnsignedLong(half);
        }
        int left = whole;
        for (; left > WRITTEN_OUT; left--) {
            words[to + left - 1] = from.get(LE64, first + (long) Long.BYTES * (left - 1));
        }
        if (left > 3) {
            words[to + 3] = from.get(LE64, first + 3 * Long.BYTES);
        }
        if (left > 2) {
            words[to + 2] = from.get(LE64, first + 2 * Long.BYTES);
        }
        if (left > 1) {
            words[to + 1] = from.get(LE64, first + Long.BYTES);
        }
        if (left > 0) {
            words[to] = from.get(LE64, first);
        }
    }

    /** As {@link #readWords}, of what was just resolved. */
    private Outcome readBytes(long address, long[] words, int at, int length) {
        int done = 0;
        while (true) {
            for (int i = 0; i < reach; i++) {
                int to = at + done + i;
                long value = Byte.toUnsignedLong(segment.get(JAVA_BYTE, offset + i));
                int shift = Byte.SIZE * (to % Long.BYTES);
                long others = words[to / Long.BYTES] & ~(0xffL << shift);
                words[to / Long.BYTES] = others | (value << shift);
            }
            done += (int) reach;
            if (done == length) {
                copied(length);
                return Outcome.OK;
            }
            Outcome outcome = goOn(address, done, length, Access.READ);
            if (outcome != Outcome.OK) {
                return outcome;
            }
        }
    }

    @Override
    public final Outcome writeWords(long address, long[] words, int from, int count) {
        long length = (long) Long.BYTES * count;
        Outcome outcome = resolve(address, length, Access.WRITE);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        if (reach != length) {
            return writeBytes(address, words, from, length);
        }
        MemorySegment.copy(words, from, segment, LE64, offset, count);
        copied(length);
        return Outcome.OK;
    }

    /** As {@link #writeWords}, of what was just resolved. */
    private Outcome writeBytes(long address, long[] words, int from, long length) {
        long done = 0;
        while (true) {
            MemorySegment to = segment;
            for (long i = done; i < done + reach; i++) {
                long word = words[from + (int) (i / Long.BYTES)];
                int shift = Byte.SIZE * (int) (i % Long.BYTES);
                to.set(JAVA_BYTE, offset + (i - done), (byte) (word >>> shift));
            }
            done += reach;
            if (done == length) {
                copied(length);
                return Outcome.OK;
            }
            Outcome outcome = goOn(address, done, length, Access.WRITE);
            if (outcome != Outcome.OK) {
                return outcome;
            }
        }
    }

    @Override
    public final Outcome writeInt(long address, int value) {
        Outcome outcome = resolve(address, Integer.BYTES, Access.WRITE);
        if (outcome != Outcome.OK) {
            return outcome;
        }
        if (reach != Integer.BYTES) {
            pieces.set(LE32, 0, value);
            return writeFound(address, pieces, 0, Integer.BYTES);
        }
        segment.set(LE32, offset, value);
        copied(Integer.BYTES);
        return Outcome.OK;
    }

    /**
     * Descriptors, requests and answers are a few words each, for which a copy in bulk spends more
     * on finding out how than on the bytes.
     */
    private static void copy(
            MemorySegment from, long fromOffset, MemorySegment to, long toOffset, long length) {
        if (length > SMALL_BYTES) {
            MemorySegment.copy(from, fromOffset, to, toOffset, length);
            return;
        }
        long done = 0;
        for (; length - done >= Long.BYTES; done += Long.BYTES) {
            long word = from.get(JAVA_LONG_UNALIGNED, fromOffset + done);
            to.set(JAVA_LONG_UNALIGNED, toOffset + done, word);
        }
        if (length - done >= Integer.BYTES) {
            int half = from.get(JAVA_INT_UNALIGNED, fromOffset + done);
            to.set(JAVA_INT_UNALIGNED, toOffset + done, half);
            done += Integer.BYTES;
        }
        for (; done < length; done++) {
            to.set(JAVA_BYTE, toOffset + done, from.get(JAVA_BYTE, fromOffset + done));
        }
    }

    @Override
    public final boolean isShort() {
        return reach >= Short.BYTES && ((segment.address() + offset) & 1) == 0;
    }

    @Override
    public final int loadShort(boolean acquire) {
        short raw =
                acquire
                        ? (short) U16.getAcquire(segment, offset)
                        : (short) U16.getOpaque(segment, offset);
        return Short.toUnsignedInt(raw);
    }

    @Override
    public final void storeShort(int value, boolean release) {
        // Not by setRelease: where that is not compiled the JVM exchanges 16 bits, and if their
        // page is gone, because a VMM has cut its file short, it cannot step over this instruction
        // and ends the process. An aligned store is one piece in either way.
        if (release) {
            VarHandle.releaseFence();
        }
        U16.set(segment, offset, (short) value);
    }

    @Override
    public final long loadLong(long from) {
        return segment.get(LE64, offset + from);
    }

    @Override
    public final boolean isLong() {
        return reach >= Long.BYTES && ((segment.address() + offset) & (Long.BYTES - 1)) == 0;
    }

    @Override
    public final void storeLong(long from, long value, boolean release) {
        // Not by setRelease, as a short.
        if (release) {
            VarHandle.releaseFence();
        }
        segment.set(LE64, offset + from, value);
    }

    private static boolean wraps(long address, long done) {
        return Ranges.wraps(address, done);
    }

    /** An access ran past 2^64-1: no address there to resolve. */
    protected abstract Outcome beyondTheEnd(long address, Access access);

    @Override
    public final @Nullable Lease pin(long address, long length, Access access, long deadlineNanos) {
        Arena arena = Arena.ofShared();
        PinnedLease lease = null;
        enter();
        // Before anything is resolved: an UNMAP that came earlier has taken away what it concerns,
        // one that comes later finds the lease older than itself.
        long epoch = memory.guards().epoch();
        try {
            // Resolved and entered into the table in one section: an UNMAP that comes between would
            // wait for the section first and then find the lease.
            if (resolve(address, length, access) == Outcome.OK) {
                lease = lease(address, access, epoch, deadlineNanos, arena);
            }
        } finally {
            leave();
            if (lease == null) {
                arena.close();
            }
        }
        return lease;
    }

    private @Nullable PinnedLease lease(
            long address, Access access, long epoch, long deadlineNanos, Arena arena) {
        long gpa = located();
        Region lent = region;
        if (lent == null) {
            throw new IllegalStateException("nothing is resolved");
        }
        Lender lender = lent.lender();
        if (lender == null) {
            return null;
        }
        long first = address;
        long last = address + (reach - 1);
        LeaseTable table = memory.guards().leases();
        PinnedLease lease =
                new PinnedLease(
                        table,
                        leaseSpace(),
                        leaseOwner(),
                        epoch,
                        first,
                        last,
                        memory,
                        gpa,
                        deadlineNanos,
                        () -> leaseExpired(first, last, access),
                        arena,
                        lender.lend(offset, reach, arena));
        return table.add(lease) ? lease : null;
    }
}
