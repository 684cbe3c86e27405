// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;

/**
 * Which pages of one device's guest memory have been written since somebody asked last, by
 * guest-physical address: a bit for each page that there is writable memory for. Kept from {@link
 * #start} to {@link #stop}, for who moves a VM while it runs; what devices do is the same with it
 * and without.
 *
 * <p>A section notes what it is about to write (any thread). Who asks takes the bits and is told
 * when every section that was open then has ended ({@link Guards#await}): so what is told is in
 * memory, and a write that comes later is noted anew. A bit may be found set by a section and be
 * taken just then: it is told, and not before that section has ended, by the same handshake that an
 * UNMAP waits with. All else belongs to the loop thread.
 *
 * <p>Pages of memory that has gone stay noted. What there is no room to note counts as written.
 */
public final class WriteLog {
    /** Most chunks: together they are 8 MiB. */
    static final int CHUNK_LIMIT = 2048;

    private static final int CHUNK_PAGES_LG2 = 15;
    private static final int CHUNK_PAGES = 1 << CHUNK_PAGES_LG2;
    private static final int PAGE_LG2_MIN = 12;
    private static final int PAGE_LG2_MAX = 21;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);

    /** Chunks by number, in order: each is {@link #CHUNK_PAGES} pages. Never changed. */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    private record Chunks(long[] numbers, long[][] bits) {
        private static final Chunks NONE = new Chunks(new long[0], new long[0][]);

        /** Where that number is; where it would be, as {@link Arrays#binarySearch} says it. */
        int indexOf(long number) {
            return Arrays.binarySearch(numbers, number);
        }

        /** Where that number is or would be. */
        private int placeOf(long number) {
            int at = indexOf(number);
            return at < 0 ? -at - 1 : at;
        }

        /** How many of {@code first..last} are not there. */
        long missing(long first, long last) {
            return last - first + 1 - (placeOf(last + 1) - placeOf(first));
        }

        /** With the first {@code count} of those of {@code first} and on that are not there. */
        Chunks with(long first, int count) {
            int from = placeOf(first);
            long[] moreNumbers = Arrays.copyOf(numbers, numbers.length + count);
            long[][] moreBits = Arrays.copyOf(bits, numbers.length + count);
            int at = from;
            int left = count;
            for (long number = first; left > 0; number++) {
                int to = at + count - left;
                boolean isThere = at < numbers.length && numbers[at] == number;
                moreNumbers[to] = number;
                moreBits[to] = isThere ? bits[at] : newBits();
                at += isThere ? 1 : 0;
                left -= isThere ? 0 : 1;
            }
            System.arraycopy(numbers, at, moreNumbers, at + count, numbers.length - at);
            System.arraycopy(bits, at, moreBits, at + count, numbers.length - at);
            return new Chunks(moreNumbers, moreBits);
        }

        private static long[] newBits() {
            return new long[CHUNK_PAGES / Long.SIZE];
        }
    }

    private final GuestMemory memory;
    private final int pageLg2;
    private volatile Chunks chunks = Chunks.NONE;
    private int copies;

    /** Memory came that there was no chunk for. */
    private boolean isOver;

    /**
     * A log that notes nothing before it is started. Each page has so many bytes as {@code
     * pageSize} says, or the nearest power of two below it from 4 KiB to 2 MiB; more, up to 2 MiB,
     * where the memory that is there would not have room otherwise.
     *
     * @param memory which no other log is kept of
     * @param pageSize bytes, u64
     */
    public WriteLog(GuestMemory memory, long pageSize) {
        this.memory = memory;
        int wanted = Long.SIZE - 1 - Long.numberOfLeadingZeros(pageSize | 1);
        int lg2 = Math.clamp(wanted, PAGE_LG2_MIN, PAGE_LG2_MAX);
        long[] needed = chunksNeeded(memory);
        while (lg2 < PAGE_LG2_MAX && needed[lg2 - PAGE_LG2_MIN] > CHUNK_LIMIT) {
            lg2++;
        }
        pageLg2 = lg2;
    }

    /** For each size that pages can have, in one walk: there may be many regions. */
    private static long[] chunksNeeded(GuestMemory memory) {
        long[] sums = new long[PAGE_LG2_MAX - PAGE_LG2_MIN + 1];
        long[] lasts = new long[sums.length];
        Arrays.fill(lasts, -1);
        memory.forEachRegion(region -> {
            if (isNoted(region)) {
                for (int i = 0; i < sums.length; i++) {
                    // Regions come in order, and neighbours may share a chunk.
                    int chunkLg2 = PAGE_LG2_MIN + i + CHUNK_PAGES_LG2;
                    long first = region.gpaFirst() >>> chunkLg2;
                    long last = region.gpaLast() >>> chunkLg2;
                    sums[i] += last - first + (first == lasts[i] ? 0 : 1);
                    lasts[i] = last;
                }
            }
        });
        return sums;
    }

    /** Devices can write to it. */
    private static boolean isNoted(Region region) {
        return region.segment() != null && region.isWritable();
    }

    /** Bytes of a page, a power of two. Any thread. */
    public long pageSize() {
        return 1L << pageLg2;
    }

    /** Chunks so far, at most {@link #CHUNK_LIMIT}. Any thread. */
    public int chunkCount() {
        return chunks.numbers.length;
    }

    /** Whether there was no room for all memory: what of it has none always counts as written. */
    public boolean isOver() {
        return isOver;
    }

    /**
     * Begins. Memory that comes from now on is noted of as well.
     *
     * @param whenStarted runs, perhaps at once, when each write is noted
     */
    public void start(Runnable whenStarted) {
        chunks = ofAllMemory();
        memory.log(this);
        await(whenStarted);
    }

    /** The chunks of what is there, in arrays that are made once. */
    private Chunks ofAllMemory() {
        long needed = chunksNeeded(memory)[pageLg2 - PAGE_LG2_MIN];
        isOver = needed > CHUNK_LIMIT;
        long[] numbers = new long[(int) Math.min(needed, CHUNK_LIMIT)];
        int[] count = {0};
        memory.forEachRegion(region -> {
            long last = isNoted(region) ? lastChunk(region) : -1;
            for (long number = firstChunk(region);
                    number <= last && count[0] < numbers.length;
                    number++) {
                if (count[0] == 0 || numbers[count[0] - 1] != number) {
                    numbers[count[0]++] = number;
                }
            }
        });
        long[][] bits = new long[numbers.length][];
        Arrays.setAll(bits, _ -> Chunks.newBits());
        copies++;
        return new Chunks(numbers, bits);
    }

    private long firstChunk(Region region) {
        return region.gpaFirst() >>> (pageLg2 + CHUNK_PAGES_LG2);
    }

    private long lastChunk(Region region) {
        return region.gpaLast() >>> (pageLg2 + CHUNK_PAGES_LG2);
    }

    /** How often its chunks have been written down anew, all of them. */
    int copyCount() {
        return copies;
    }

    /** Ends it, and forgets. Twice is fine. */
    public void stop() {
        memory.dropLog(this);
    }

    /** Memory is about to come that devices may write to. */
    void cover(Region region) {
        if (!isNoted(region)) {
            return;
        }
        Chunks now = chunks;
        long missing = now.missing(firstChunk(region), lastChunk(region));
        int added = (int) Math.min(missing, CHUNK_LIMIT - now.numbers.length);
        isOver |= missing > added;
        if (added > 0) {
            chunks = now.with(firstChunk(region), added);
            copies++;
        }
    }

    /**
     * A device is about to write {@code length >= 1} bytes, which do not wrap. In a section; any
     * thread.
     */
    void note(long gpa, long length) {
        Chunks now = chunks;
        long last = (gpa + (length - 1)) >>> pageLg2;
        long page = gpa >>> pageLg2;
        while (true) {
            long end = Math.min(last, page | (CHUNK_PAGES - 1));
            int at = now.indexOf(page >>> CHUNK_PAGES_LG2);
            if (at >= 0) {
                set(now.bits[at], inChunk(page), inChunk(end));
            }
            if (end == last) {
                return;
            }
            page = end + 1;
        }
    }

    private static int inChunk(long page) {
        return (int) page & (CHUNK_PAGES - 1);
    }

    private static void set(long[] bits, int first, int last) {
        for (int word = wordOf(first); word <= wordOf(last); word++) {
            long mask = mask(word, first, last);
            if (((long) WORD.getOpaque(bits, word) & mask) != mask) {
                long _ = (long) WORD.getAndBitwiseOr(bits, word, mask);
            }
        }
    }

    private static int wordOf(int bit) {
        return bit / Long.SIZE;
    }

    /** Those of a word's bits that are among {@code first..last}, some of which are. */
    private static long mask(int word, int first, int last) {
        long mask = -1;
        if (word == wordOf(first)) {
            mask &= -1L << (first % Long.SIZE);
        }
        if (word == wordOf(last)) {
            mask &= -1L >>> (Long.SIZE - 1 - last % Long.SIZE);
        }
        return mask;
    }

    /**
     * Tells what has been written of {@code first..last} since it was told last, or since the
     * start. A page of the log that lies in the range with a part of it only is told and stays
     * noted.
     *
     * @param unit what a bit of {@code bitmap} stands for in bytes, a power of two
     * @param bitmap gets a bit for each unit from {@code first} on, the lowest first; long enough,
     *     and the caller's not before {@code whenTold}
     * @param whenTold runs, perhaps at once, when all that is told is in memory
     */
    public void report(long first, long last, long unit, long[] bitmap, Runnable whenTold) {
        Told told = new Told(first, last, Long.numberOfTrailingZeros(unit), bitmap);
        Chunks now = chunks;
        long lastPage = last >>> pageLg2;
        long page = first >>> pageLg2;
        int at = now.indexOf(page >>> CHUNK_PAGES_LG2);
        for (int i = at < 0 ? -at - 1 : at; i < now.numbers.length; i++) {
            long chunk = now.numbers[i] << CHUNK_PAGES_LG2;
            if (chunk > lastPage) {
                break;
            }
            if (chunk > page) {
                tellMissing(page, chunk - 1, told);
                page = chunk;
            }
            long end = Math.min(lastPage, chunk + (CHUNK_PAGES - 1));
            take(now.bits[i], chunk, inChunk(page), inChunk(end), told);
            page = end + 1;
        }
        if (page <= lastPage) {
            tellMissing(page, lastPage, told);
        }
        await(whenTold);
    }

    private void tellMissing(long page, long lastPage, Told told) {
        if (isOver) {
            told.add(page << pageLg2, lastOf(lastPage));
        }
    }

    private long lastOf(long page) {
        return (page << pageLg2) + ((1L << pageLg2) - 1);
    }

    /** Takes the bits {@code first..last} of a chunk whose first page is {@code chunk}. */
    private void take(long[] bits, long chunk, int first, int last, Told told) {
        int firstWhole = Ranges.isBelow((chunk + first) << pageLg2, told.first) ? first + 1 : first;
        int lastWhole = Ranges.isBelow(told.last, lastOf(chunk + last)) ? last - 1 : last;
        for (int word = wordOf(first); word <= wordOf(last); word++) {
            long found = (long) WORD.getOpaque(bits, word) & mask(word, first, last);
            if (found == 0) {
                continue;
            }
            boolean hasWhole =
                    firstWhole <= lastWhole
                            && word >= wordOf(firstWhole)
                            && word <= wordOf(lastWhole);
            if (hasWhole) {
                long taken = mask(word, firstWhole, lastWhole);
                found |= (long) WORD.getAndBitwiseAnd(bits, word, ~taken) & taken;
            }
            tell(found, chunk + (long) word * Long.SIZE, told);
        }
    }

    /** Run by run, of which a word has 32 at most. */
    private void tell(long found, long page, Told told) {
        long left = found;
        while (left != 0) {
            int from = Long.numberOfTrailingZeros(left);
            int length = Long.numberOfTrailingZeros(~(left >>> from));
            told.add((page + from) << pageLg2, lastOf(page + from + length - 1));
            left = from + length == Long.SIZE ? 0 : left & (-1L << (from + length));
        }
    }

    /** The bitmap of one question. */
    private static final class Told {
        private final long first;
        private final long last;
        private final int unitLg2;
        private final long[] bitmap;

        Told(long first, long last, int unitLg2, long[] bitmap) {
            this.first = first;
            this.last = last;
            this.unitLg2 = unitLg2;
            this.bitmap = bitmap;
        }

        /** What of {@code from..to} is in the range has been written; some of it is. */
        void add(long from, long to) {
            int firstBit = (int) ((Ranges.max(from, first) - first) >>> unitLg2);
            int lastBit = (int) ((Ranges.min(to, last) - first) >>> unitLg2);
            for (int word = wordOf(firstBit); word <= wordOf(lastBit); word++) {
                bitmap[word] |= mask(word, firstBit, lastBit);
            }
        }
    }

    /** Runs {@code then} when no section is open that does not know what has been done. */
    private void await(Runnable then) {
        memory.guards()
                .await(
                        new Quiescence() {
                            @Override
                            protected boolean isHeldBy(PinnedLease lease) {
                                return false;
                            }

                            @Override
                            protected void quiescent() {
                                // Who has a lease may write at any time, and nobody would see it:
                                // that is noted for the next question, if the lease should end
                                // before it.
                                memory.guards().leases().noteIn(WriteLog.this, memory);
                                then.run();
                            }
                        });
    }
}
