// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.concurrent.locks.ReentrantLock;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.memory.Count;
import org.jspecify.annotations.Nullable;

/**
 * Translations that walks have found, of all domains and address spaces of one IOMMU: a bounded
 * number, in sets of {@value #WAYS}. Looking up takes no lock, and neither that nor filling
 * allocates: any thread, inside a guarded section. Who invalidates takes a lock that they do not
 * know of: any thread, outside of sections, and then waits for the sections that are open, as for
 * an UNMAP, before it says that it is done.
 *
 * <p>An entry is what both stages translate alike: as large as the smaller of their pages. It is
 * known by its domain (VMID, DID, DomainID), its space (ASID or PASID) unless its page is global,
 * and the stages it came through; and it goes when anything of the page of the first stage does
 * that it was made from, for that page is what an invalidation speaks of.
 *
 * <p><b>No stale entry survives.</b> Who fills has read the epoch before its walk; it stores the
 * entry, then a full fence, then reads the epoch again, and takes the entry back if it has moved,
 * before anybody can see it. Who invalidates moves the epoch, then a full fence, then looks at the
 * sets. So either the entry is seen here, or it is taken back there, whatever of the walk was read
 * before the guest changed its table.
 */
public final class Iotlb implements CachedTranslations {
    /** Which stages an entry came through, as bits. */
    public static final int FIRST = 1;

    public static final int SECOND = 2;

    public static final int ENTRIES_MIN = 16;
    public static final int ENTRIES_MAX = 1 << 20;

    /** Answer of {@link #find}: nothing. */
    public static final long NONE = 0;

    /** Entries of a set. */
    static final int WAYS = 4;

    private static final int WAYS_LG2 = 2;

    // An entry is three words: what it leads from, whose it is, what it leads to. Addresses of
    // pages leave twelve bits free, which is why no smaller page is kept. A set is its entries, a
    // word of its own behind them, and as much as makes it a power of two.
    private static final int WORDS = 3;
    private static final int SET_LG2 = 4;
    private static final int STATE = WAYS * WORDS;
    private static final int PAGE_LG2_MIN = 12;
    private static final long LOW_BITS = 0xfff;

    // First word: size of the entry, and that there is one.
    private static final long SIZE_MASK = 0x3f;
    private static final long VALID = 1 << 6;
    private static final long GLOBAL = 1 << 7;

    // Second word: size of the first stage's page, which is no part of what is compared.
    private static final int STAGES_AT = 6;
    private static final int SPACE_AT = 8;
    private static final int SPACE_BITS = 24;
    private static final int DOMAIN_AT = 32;
    private static final long FIRST_STAGE = (long) FIRST << STAGES_AT;
    private static final long STAGES_MASK = 3L << STAGES_AT;
    private static final long SPACE_MASK = Bits.mask(SPACE_BITS) << SPACE_AT;
    private static final long DOMAIN_MASK = -1L << DOMAIN_AT;

    // Third word: rights, and the size once more.
    private static final long RIGHTS_MASK = 0xf;
    private static final int RESULT_SIZE_AT = 4;

    // Of a set: somebody writes, how many entries it has, and a number that each write changes.
    private static final long BUSY = 1;
    private static final int COUNT_AT = 1;
    private static final long COUNT_MASK = 7 << COUNT_AT;
    private static final int VERSION_AT = 4;
    private static final long ONE_VERSION = 1 << VERSION_AT;

    /** Pages that are looked for one by one; more are found by looking at every set. */
    private static final int PROBES_MAX = 64;

    /** How far a level's pages can be larger than its items: less than the next level's item. */
    private static final int LEVEL_LG2 = 9;

    private static final long MIX_TAG = 0x9e37_79b9_7f4a_7c15L;
    private static final long MIX = 0xd6e8_feb8_6659_fd93L;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle EPOCH;
    private static final VarHandle SIZES;
    private static final VarHandle HAS_GLOBAL;
    private static final VarHandle HAS_SPLIT;
    private static final VarHandle FILLED;
    private static final VarHandle UNKEPT;
    private static final VarHandle EVICTED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            EPOCH = lookup.findVarHandle(Iotlb.class, "epoch", long.class);
            SIZES = lookup.findVarHandle(Iotlb.class, "sizes", long.class);
            HAS_GLOBAL = lookup.findVarHandle(Iotlb.class, "hasGlobal", boolean.class);
            HAS_SPLIT = lookup.findVarHandle(Iotlb.class, "hasSplit", boolean.class);
            FILLED = lookup.findVarHandle(Iotlb.class, "filled", long.class);
            UNKEPT = lookup.findVarHandle(Iotlb.class, "unkept", long.class);
            EVICTED = lookup.findVarHandle(Iotlb.class, "evicted", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final int shift;
    private final long[] words;
    private final Count[] commands = counts();
    private final Count[] removed = counts();

    // Which sizes there may be, a bit for each; whether an entry may be global, or smaller than the
    // page of the first stage that it was made from. Only ever more of them.
    @SuppressWarnings("unused") // by its handle, like those below
    private long sizes;

    @SuppressWarnings("unused")
    private boolean hasGlobal;

    @SuppressWarnings("unused")
    private boolean hasSplit;

    @SuppressWarnings("unused")
    private long epoch;

    @SuppressWarnings("unused")
    private long filled;

    @SuppressWarnings("unused")
    private long unkept;

    @SuppressWarnings("unused")
    private long evicted;

    private final ReentrantLock lock = new ReentrantLock();

    /** Who takes away many together, and so has the lock. */
    private @Nullable Thread together;

    // What an invalidation looks for, under the lock.
    private long tagMask;
    private long tagWanted;
    private long keyMask;
    private long keyWanted;
    private boolean isRanged;
    private long rangeFirst;
    private long rangeLast;
    private int rangeLeafLg2;

    /**
     * @param entries a power of two, {@link #ENTRIES_MIN} to {@link #ENTRIES_MAX}
     */
    public Iotlb(int entries) {
        if (entries < ENTRIES_MIN || entries > ENTRIES_MAX || Integer.bitCount(entries) != 1) {
            throw new IllegalArgumentException("IOTLB of %d entries".formatted(entries));
        }
        int sets = entries >>> WAYS_LG2;
        shift = Long.SIZE - Integer.numberOfTrailingZeros(sets);
        words = new long[sets << SET_LG2];
    }

    private static Count[] counts() {
        Count[] counts = new Count[Scope.values().length];
        Arrays.setAll(counts, _ -> new Count());
        return counts;
    }

    /**
     * What entries of one space are known by.
     *
     * @param space 24 bits at most
     * @param stages {@link #FIRST}, {@link #SECOND} or both
     */
    public static long tag(int domain, int space, int stages) {
        return (long) domain << DOMAIN_AT
                | ((long) space << SPACE_AT & SPACE_MASK)
                | (long) stages << STAGES_AT;
    }

    private static long globalTag(long tag) {
        return tag & ~SPACE_MASK;
    }

    // Looking up
    // ---------------------------------------------------------------------------------------------

    /**
     * What {@code iova} leads to in the space of {@code tag}, for {@link #output}, {@link #rights}
     * and {@link #pageLg2}; or {@link #NONE}.
     */
    public long find(long tag, long iova) {
        long present = (long) SIZES.getOpaque(this);
        for (long left = present; left != 0; left &= left - 1) {
            int sizeLg2 = Long.numberOfTrailingZeros(left);
            long found = look((iova & -1L << sizeLg2) | sizeLg2 | VALID, tag);
            if (found != NONE) {
                return found;
            }
        }
        return (boolean) HAS_GLOBAL.getOpaque(this) ? findGlobal(present, tag, iova) : NONE;
    }

    private long findGlobal(long present, long tag, long iova) {
        long shared = globalTag(tag);
        for (long left = present; left != 0; left &= left - 1) {
            int sizeLg2 = Long.numberOfTrailingZeros(left);
            long found = look((iova & -1L << sizeLg2) | sizeLg2 | VALID | GLOBAL, shared);
            if (found != NONE) {
                return found;
            }
        }
        return NONE;
    }

    /** Where a translation leads {@code iova}. */
    public static long output(long found, long iova) {
        return (found & ~LOW_BITS) | (iova & ~(-1L << pageLg2(found)));
    }

    /** Bits of {@code Rights} that need no walk. */
    public static int rights(long found) {
        return (int) (found & RIGHTS_MASK);
    }

    /** Size of what is translated alike around the address. */
    public static int pageLg2(long found) {
        return (int) (found >>> RESULT_SIZE_AT & SIZE_MASK);
    }

    /** Where the set is that an entry belongs to, whichever stages it came through. */
    private int set(long key, long tag) {
        return (int) (((key ^ ((tag >>> SPACE_AT) * MIX_TAG)) * MIX) >>> shift) << SET_LG2;
    }

    private long look(long key, long tag) {
        // After each of its words the compiler would look for the array anew; and the four in a row
        // are faster than a loop, whose end it would compute first.
        long[] words = this.words;
        int set = set(key, tag);
        long before = (long) WORD.getAcquire(words, set + STATE);
        if ((before & BUSY) != 0 || (before & COUNT_MASK) == 0) {
            return NONE;
        }
        int at = set;
        if (!is(words, at, key, tag)
                && !is(words, at += WORDS, key, tag)
                && !is(words, at += WORDS, key, tag)
                && !is(words, at += WORDS, key, tag)) {
            return NONE;
        }
        long found = (long) WORD.getOpaque(words, at + 2);
        // Nobody has written to the set in between, or it is nothing that was found.
        VarHandle.loadLoadFence();
        return (long) WORD.getOpaque(words, set + STATE) == before ? found : NONE;
    }

    private static boolean is(long[] words, int at, long key, long tag) {
        return (long) WORD.getOpaque(words, at) == key
                && ((long) WORD.getOpaque(words, at + 1) ^ tag) >>> STAGES_AT == 0;
    }

    // Filling
    // ---------------------------------------------------------------------------------------------

    /** The epoch, to be read before the walk that an entry comes from. */
    public long epoch() {
        return (long) EPOCH.getAcquire(this);
    }

    /**
     * Keeps a translation, unless something was invalidated since {@code epoch} or another fills
     * the same set; the next walk will do.
     *
     * @param output what {@code iova} leads to
     * @param rights bits of {@code Rights} that further accesses have without a walk
     * @param pageLg2 size of what is translated alike
     * @param leafLg2 size of the page of the first stage, or of the only one: no smaller
     * @param isGlobal whether it is the same in all spaces of the domain
     */
    public boolean fill(
            long epoch,
            long tag,
            long iova,
            long output,
            int rights,
            int pageLg2,
            int leafLg2,
            boolean isGlobal) {
        if (pageLg2 < PAGE_LG2_MIN || pageLg2 >= Long.SIZE) {
            UNKEPT.getAndAdd(this, 1L);
            return false;
        }
        int pageOfFirst = Math.min(leafLg2, Long.SIZE - 1);
        note(pageLg2, isGlobal, pageOfFirst > pageLg2);
        long base = -1L << pageLg2;
        long key = (iova & base) | pageLg2 | VALID | (isGlobal ? GLOBAL : 0);
        long owner = isGlobal ? globalTag(tag) : tag;
        long result = (output & base) | ((long) pageLg2 << RESULT_SIZE_AT) | (rights & RIGHTS_MASK);
        int set = set(key, owner);
        long before = (long) WORD.getOpaque(words, set + STATE);
        if ((before & BUSY) != 0
                || !WORD.compareAndSet(words, set + STATE, before, before | BUSY)) {
            UNKEPT.getAndAdd(this, 1L);
            return false;
        }
        // No word of the entry is seen by who has not seen that the set is written to.
        VarHandle.storeStoreFence();
        int at = set + way(set, before, key, owner) * WORDS;
        boolean wasFree = (long) WORD.getOpaque(words, at) == 0;
        WORD.setOpaque(words, at + 1, owner | pageOfFirst);
        WORD.setOpaque(words, at + 2, result);
        WORD.setOpaque(words, at, key);
        // Store, full fence, load: the other half is in moveEpoch().
        VarHandle.fullFence();
        boolean isCurrent = (long) EPOCH.getOpaque(this) == epoch;
        int change = (isCurrent ? 1 : 0) - (wasFree ? 0 : 1);
        if (!isCurrent) {
            WORD.setOpaque(words, at, 0L);
        }
        release(set, before, change);
        if (!isCurrent) {
            UNKEPT.getAndAdd(this, 1L);
            return false;
        }
        FILLED.getAndAdd(this, 1L);
        return true;
    }

    /** What lookups and invalidations must reckon with, before the entry is there. */
    private void note(int pageLg2, boolean isGlobal, boolean isSplit) {
        if (((long) SIZES.getOpaque(this) >>> pageLg2 & 1) == 0) {
            SIZES.getAndBitwiseOr(this, 1L << pageLg2);
        }
        if (isGlobal && !(boolean) HAS_GLOBAL.getOpaque(this)) {
            HAS_GLOBAL.setVolatile(this, true);
        }
        if (isSplit && !(boolean) HAS_SPLIT.getOpaque(this)) {
            HAS_SPLIT.setVolatile(this, true);
        }
    }

    /** The one that has the same key, a free one, or one that goes. */
    private int way(int set, long before, long key, long tag) {
        int free = -1;
        for (int way = 0; way < WAYS; way++) {
            int at = set + way * WORDS;
            long there = (long) WORD.getOpaque(words, at);
            if (there == key && ((long) WORD.getOpaque(words, at + 1) ^ tag) >>> STAGES_AT == 0) {
                return way;
            }
            if (there == 0 && free < 0) {
                free = way;
            }
        }
        if (free >= 0) {
            return free;
        }
        EVICTED.getAndAdd(this, 1L);
        return (int) (before >>> VERSION_AT & (WAYS - 1));
    }

    private void release(int set, long before, int change) {
        long next = (before & ~BUSY) + ONE_VERSION + ((long) change << COUNT_AT);
        WORD.setRelease(words, set + STATE, next);
    }

    // Taking away
    // ---------------------------------------------------------------------------------------------

    @Override
    public void begin() {
        lock.lock();
        together = Thread.currentThread();
        moveEpoch();
    }

    @Override
    public void end() {
        together = null;
        lock.unlock();
    }

    /** One alone. Returns whether it is that, and not one of many. */
    private boolean enter() {
        // Only this thread can have written its own name.
        if (Thread.currentThread().equals(together)) {
            return false;
        }
        lock.lock();
        moveEpoch();
        return true;
    }

    private long leave(boolean isAlone, Scope scope, long went) {
        commands[scope.index].increment();
        if (went != 0) {
            removed[scope.index].add(went);
        }
        if (isAlone) {
            lock.unlock();
        }
        return went;
    }

    @Override
    public long all() {
        boolean isAlone = enter();
        wantTag(0, 0);
        return leave(isAlone, Scope.ALL, takeEverywhere());
    }

    @Override
    public long domain(int domain) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK, tag(domain, 0, 0));
        return leave(isAlone, Scope.DOMAIN, takeEverywhere());
    }

    @Override
    public long firstStage(int domain) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | FIRST_STAGE, tag(domain, 0, FIRST));
        return leave(isAlone, Scope.FIRST_STAGE, takeEverywhere());
    }

    @Override
    public long space(int domain, int space) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | SPACE_MASK | FIRST_STAGE, tag(domain, space, FIRST));
        keyMask = GLOBAL;
        return leave(isAlone, Scope.SPACE, takeEverywhere());
    }

    @Override
    public long range(int domain, int space, long first, long last, int leafLg2) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | SPACE_MASK | FIRST_STAGE, tag(domain, space, FIRST));
        keyMask = GLOBAL;
        wantRange(first, last, leafLg2);
        long went = takeRange(tagWanted, first, last);
        if ((boolean) HAS_GLOBAL.getOpaque(this)) {
            wantTag(DOMAIN_MASK | FIRST_STAGE, tag(domain, 0, FIRST));
            keyMask = GLOBAL;
            keyWanted = GLOBAL;
            wantRange(first, last, leafLg2);
            went += takeEverywhere();
        }
        return leave(isAlone, Scope.RANGE, went);
    }

    @Override
    public long everySpace(int domain, long first, long last, int leafLg2) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | FIRST_STAGE, tag(domain, 0, FIRST));
        wantRange(first, last, leafLg2);
        return leave(isAlone, Scope.EVERY_SPACE, takeEverywhere());
    }

    /**
     * What leads from a range of addresses between the stages: entries of the second stage alone by
     * their addresses, and of a domain's nested ones all, because they do not say where between the
     * stages they lead.
     */
    public long secondRange(int domain, long first, long last) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | STAGES_MASK, tag(domain, 0, SECOND));
        wantRange(first, last, 0);
        long went = takeEverywhere();
        wantTag(DOMAIN_MASK | STAGES_MASK, tag(domain, 0, FIRST | SECOND));
        went += takeEverywhere();
        return leave(isAlone, Scope.SECOND_RANGE, went);
    }

    private void wantTag(long mask, long wanted) {
        tagMask = mask;
        tagWanted = wanted;
        keyMask = 0;
        keyWanted = 0;
        isRanged = false;
    }

    private void wantRange(long first, long last, int leafLg2) {
        isRanged = true;
        rangeFirst = first;
        rangeLast = last;
        rangeLeafLg2 = leafLg2;
    }

    /** Store, full fence, and the looks at the sets come after: the other half is in fill(). */
    private void moveEpoch() {
        EPOCH.setOpaque(this, (long) EPOCH.getOpaque(this) + 1);
        VarHandle.fullFence();
    }

    private long takeEverywhere() {
        long went = 0;
        for (int set = 0; set < words.length; set += 1 << SET_LG2) {
            if (((long) WORD.getOpaque(words, set + STATE) & (COUNT_MASK | BUSY)) != 0) {
                went += take(set);
            }
        }
        return went;
    }

    /** A few pages of one space are looked for where they would be. */
    private long takeRange(long tag, long first, long last) {
        long present = (long) SIZES.getOpaque(this);
        boolean isWithinPage = (first ^ last) >>> PAGE_LG2_MIN == 0;
        if ((boolean) HAS_SPLIT.getOpaque(this)
                || (!isWithinPage && probes(present, first, last) > PROBES_MAX)) {
            return takeEverywhere();
        }
        long went = 0;
        for (long left = present; left != 0; left &= left - 1) {
            int sizeLg2 = Long.numberOfTrailingZeros(left);
            long page = first & -1L << sizeLg2;
            while (true) {
                went += takePage(page | sizeLg2 | VALID, tag);
                if (Long.compareUnsigned(last - page, Bits.mask(sizeLg2)) <= 0) {
                    break;
                }
                page += 1L << sizeLg2;
            }
        }
        return went;
    }

    private static long probes(long present, long first, long last) {
        long sum = 0;
        for (long left = present; left != 0; left &= left - 1) {
            int sizeLg2 = Long.numberOfTrailingZeros(left);
            long pages = (last >>> sizeLg2) - (first >>> sizeLg2);
            // Also where a range of nearly everything would overflow.
            if (pages < 0 || pages >= PROBES_MAX) {
                return Long.MAX_VALUE;
            }
            sum += pages + 1;
        }
        return sum;
    }

    /** The same as {@link #take} where it is known what a wanted entry leads from. */
    @SuppressWarnings("ShortCircuitBoolean") // one branch for all of a set
    private long takePage(long key, long tag) {
        long[] words = this.words;
        int set = set(key, tag);
        boolean mayBeThere =
                (long) WORD.getOpaque(words, set) == key
                        | (long) WORD.getOpaque(words, set + WORDS) == key
                        | (long) WORD.getOpaque(words, set + 2 * WORDS) == key
                        | (long) WORD.getOpaque(words, set + 3 * WORDS) == key;
        return mayBeThere ? take(set) : 0;
    }

    /**
     * Takes away what is wanted of one set; who finds none writes nothing. An entry that is not
     * seen here, or half of it, is being filled by somebody who will see that the epoch has moved.
     */
    private long take(int set) {
        for (int at = set; at < set + STATE; at += WORDS) {
            if (isWanted(at)) {
                return takeFrom(set);
            }
        }
        return 0;
    }

    private long takeFrom(int set) {
        long before = (long) WORD.getAcquire(words, set + STATE);
        // Who fills holds it for a few stores, and has no reason to wait.
        while ((before & BUSY) != 0
                || !WORD.compareAndSet(words, set + STATE, before, before | BUSY)) {
            Thread.onSpinWait();
            before = (long) WORD.getAcquire(words, set + STATE);
        }
        VarHandle.storeStoreFence();
        int went = 0;
        for (int at = set; at < set + STATE; at += WORDS) {
            if (isWanted(at)) {
                WORD.setOpaque(words, at, 0L);
                went++;
            }
        }
        release(set, before, -went);
        return went;
    }

    private boolean isWanted(int at) {
        long key = (long) WORD.getOpaque(words, at);
        return key != 0 && isWanted(key, (long) WORD.getOpaque(words, at + 1));
    }

    private boolean isWanted(long key, long tag) {
        if ((tag & tagMask) != tagWanted || (key & keyMask) != keyWanted) {
            return false;
        }
        return !isRanged || isInRange(key & ~LOW_BITS, (int) (tag & SIZE_MASK));
    }

    /** The page of the first stage that an entry was made from: any of it is enough. */
    private boolean isInRange(long page, int leafLg2) {
        if (rangeLeafLg2 != 0 && (leafLg2 < rangeLeafLg2 || leafLg2 >= rangeLeafLg2 + LEVEL_LG2)) {
            return false;
        }
        long first = page & -1L << leafLg2;
        long last = page | ~(-1L << leafLg2);
        return Long.compareUnsigned(first, rangeLast) <= 0
                && Long.compareUnsigned(rangeFirst, last) <= 0;
    }

    // Counters
    // ---------------------------------------------------------------------------------------------

    /** What invalidations speak of. */
    public enum Scope {
        ALL(0),
        DOMAIN(1),
        FIRST_STAGE(2),
        SPACE(3),
        RANGE(4),
        EVERY_SPACE(5),
        SECOND_RANGE(6);

        private final int index;

        Scope(int index) {
            this.index = index;
        }
    }

    /** Invalidations of a scope so far. Any thread. */
    public long commands(Scope scope) {
        return commands[scope.index].read();
    }

    /** Entries that those have taken away. Any thread. */
    public long removed(Scope scope) {
        return removed[scope.index].read();
    }

    /** Translations that were kept. Any thread. */
    public long filled() {
        return (long) FILLED.getOpaque(this);
    }

    /**
     * Translations that were not, because of an invalidation, of another in the set, or of their
     * size.
     */
    public long unkept() {
        return (long) UNKEPT.getOpaque(this);
    }

    /** Translations that went because there was no room. Any thread. */
    public long evicted() {
        return (long) EVICTED.getOpaque(this);
    }

    /** Most entries that there can be. */
    public int capacity() {
        return words.length >>> SET_LG2 << WAYS_LG2;
    }

    /** Entries that are there. Any thread; what changes meanwhile makes it inexact. */
    public int size() {
        int size = 0;
        for (int set = 0; set < words.length; set += 1 << SET_LG2) {
            size += (int) (((long) WORD.getOpaque(words, set + STATE) & COUNT_MASK) >>> COUNT_AT);
        }
        return size;
    }
}
