// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.iotlb;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.locks.ReentrantLock;
import org.ioasis.iommu.pagetable.Bits;
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
 * before anybody can see it. Who invalidates moves the epoch, and looks at the sets only then
 * ({@link #lock}). So either the entry is seen here, or it is taken back there, whatever of the
 * walk was read before the guest changed its table.
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
    // pages leave twelve bits free, which is why no smaller page is kept. A set begins with what
    // its entries lead from and a word of its own: most who look need no more of it, and it is in
    // one line of a cache. It is as long as makes it a power of two.
    private static final int SET_LG2 = 4;
    private static final int STATE = WAYS;
    private static final int TAG = STATE + 2;
    private static final int RESULT = TAG + WAYS;
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

    // Of kinds, below the bits of sizes.
    private static final long HAS_GLOBAL = 1;
    private static final long HAS_SPLIT = 1 << 1;
    private static final long SIZES = -1L << PAGE_LG2_MIN;

    private static final long HELD = 1;

    // Scopes of invalidations, as the compiler of machine code can know them.
    private static final int OF_ALL = 0;
    private static final int OF_DOMAIN = 1;
    private static final int OF_FIRST_STAGE = 2;
    private static final int OF_SPACE = 3;
    private static final int OF_RANGE = 4;
    private static final int OF_EVERY_SPACE = 5;
    private static final int OF_SECOND_RANGE = 6;
    private static final int SCOPES = 7;

    /** Pages that are looked for one by one; more are found by looking at every set. */
    private static final int PROBES_MAX = 64;

    /** How far a level's pages can be larger than its items: less than the next level's item. */
    private static final int LEVEL_LG2 = 9;

    private static final long MIX = 0x9e37_79b9_7f4a_7c15L;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle TURN;
    private static final VarHandle KINDS;
    private static final VarHandle FILLED;
    private static final VarHandle UNKEPT;
    private static final VarHandle EVICTED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            TURN = lookup.findVarHandle(Iotlb.class, "turn", long.class);
            KINDS = lookup.findVarHandle(Iotlb.class, "kinds", long.class);
            FILLED = lookup.findVarHandle(Iotlb.class, "filled", long.class);
            UNKEPT = lookup.findVarHandle(Iotlb.class, "unkept", long.class);
            EVICTED = lookup.findVarHandle(Iotlb.class, "evicted", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final int shift;

    /**
     * What leads to a set: such that pages of 4 KiB side by side are in sets side by side, which is
     * how they are taken away and how a processor fetches ahead. All higher bits of an address
     * count, by the bits below that of a page; and what is below the address, by the highest.
     */
    private final long stride;

    private final long[] words;

    // By scope; written under the lock, and read without it.
    private final long[] commands = new long[SCOPES];
    private final long[] removed = new long[SCOPES];

    // Which sizes there may be, a bit for each; below those whether an entry may be global, or
    // smaller than the page of the first stage that it was made from. Only ever more of them.
    private long kinds;

    // The lock of who invalidates, odd while it is held; and the epoch, which each of them moves.
    @SuppressWarnings("unused") // by its handle, like those below
    private long turn;

    @SuppressWarnings("unused")
    private long filled;

    @SuppressWarnings("unused")
    private long unkept;

    @SuppressWarnings("unused")
    private long evicted;

    /** Of those who wait for the lock one looks, the others sleep. */
    private final ReentrantLock waiting = new ReentrantLock();

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
        int nextSetLg2 = shift - PAGE_LG2_MIN;
        long highest = MIX & (-1L << (Long.SIZE - PAGE_LG2_MIN));
        long lowest = (MIX >>> (Long.SIZE + 2 - nextSetLg2)) | 1;
        stride = highest | (1L << nextSetLg2) | lowest;
        words = new long[sets << SET_LG2];
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
        long present = (long) KINDS.getOpaque(this);
        for (long left = present & SIZES; left != 0; left &= left - 1) {
            int sizeLg2 = Long.numberOfTrailingZeros(left);
            long found = look((iova & -1L << sizeLg2) | sizeLg2 | VALID, tag);
            if (found != NONE) {
                return found;
            }
        }
        return (present & HAS_GLOBAL) != 0 ? findGlobal(present, tag, iova) : NONE;
    }

    private long findGlobal(long present, long tag, long iova) {
        long shared = globalTag(tag);
        for (long left = present & SIZES; left != 0; left &= left - 1) {
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
        long place = (key + (tag >>> SPACE_AT) * MIX) * stride;
        return (int) (place >>> shift) << SET_LG2;
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
                && !is(words, ++at, key, tag)
                && !is(words, ++at, key, tag)
                && !is(words, ++at, key, tag)) {
            return NONE;
        }
        long found = (long) WORD.getOpaque(words, at + RESULT);
        // Nobody has written to the set in between, or it is nothing that was found.
        VarHandle.loadLoadFence();
        return (long) WORD.getOpaque(words, set + STATE) == before ? found : NONE;
    }

    private static boolean is(long[] words, int at, long key, long tag) {
        return (long) WORD.getOpaque(words, at) == key
                && ((long) WORD.getOpaque(words, at + TAG) ^ tag) >>> STAGES_AT == 0;
    }

    // Filling
    // ---------------------------------------------------------------------------------------------

    /** The epoch, to be read before the walk that an entry comes from. */
    public long epoch() {
        return epoch((long) TURN.getAcquire(this));
    }

    /** It moves when the lock is taken, and not when it is given back. */
    private static long epoch(long turn) {
        return (turn + HELD) >>> 1;
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
        int at = way(set, before, key, owner);
        boolean wasFree = (long) WORD.getOpaque(words, at) == 0;
        WORD.setOpaque(words, at + TAG, owner | pageOfFirst);
        WORD.setOpaque(words, at + RESULT, result);
        WORD.setOpaque(words, at, key);
        // Store, full fence, load: the other half begins in lock().
        VarHandle.fullFence();
        boolean isCurrent = epoch((long) TURN.getOpaque(this)) == epoch;
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
        long kind = 1L << pageLg2 | (isGlobal ? HAS_GLOBAL : 0) | (isSplit ? HAS_SPLIT : 0);
        if ((kind & ~(long) KINDS.getOpaque(this)) != 0) {
            KINDS.getAndBitwiseOr(this, kind);
        }
    }

    /** Where the one is that has the same key, a free one, or one that goes. */
    private int way(int set, long before, long key, long tag) {
        int free = -1;
        for (int at = set; at < set + WAYS; at++) {
            if (is(words, at, key, tag)) {
                return at;
            }
            if (free < 0 && (long) WORD.getOpaque(words, at) == 0) {
                free = at;
            }
        }
        if (free >= 0) {
            return free;
        }
        EVICTED.getAndAdd(this, 1L);
        return set + (int) (before >>> VERSION_AT & (WAYS - 1));
    }

    private void release(int set, long before, int change) {
        long next = (before & ~BUSY) + ONE_VERSION + ((long) change << COUNT_AT);
        WORD.setRelease(words, set + STATE, next);
    }

    // Taking away
    // ---------------------------------------------------------------------------------------------

    @Override
    public void begin() {
        lock();
        together = Thread.currentThread();
    }

    @Override
    public void end() {
        if (!isTogether()) {
            throw new IllegalStateException("who has not begun ends");
        }
        together = null;
        unlock();
    }

    /** Only this thread can have written its own name. */
    private boolean isTogether() {
        return Thread.currentThread().equals(together);
    }

    /**
     * Takes the lock, which moves the epoch. What is read of the sets and their kinds from here to
     * {@link #unlock}, plain loads as they may be, is read after it; who fills later than that read
     * sees that the epoch has moved. The other half is in {@link #fill}.
     */
    private void lock() {
        long free = (long) TURN.getOpaque(this);
        if ((free & HELD) != 0 || !TURN.compareAndSet(this, free, free + HELD)) {
            lockAfterOthers();
        }
        // A plain load may go before the store that an exchange ends with. This one may not, and no
        // load goes before it.
        long _ = (long) TURN.getVolatile(this);
    }

    @SuppressWarnings("ThreadPriorityCheck")
    private void lockAfterOthers() {
        if (isTogether()) {
            throw new IllegalStateException("who has begun begins again");
        }
        waiting.lock();
        try {
            while (true) {
                long free = (long) TURN.getOpaque(this);
                if ((free & HELD) == 0 && TURN.compareAndSet(this, free, free + HELD)) {
                    return;
                }
                // Who has it may have been taken from the processor.
                Thread.yield();
            }
        } finally {
            waiting.unlock();
        }
    }

    private void unlock() {
        TURN.setRelease(this, (long) TURN.getOpaque(this) + HELD);
    }

    /** One alone. Returns whether it is that, and not one of many. */
    private boolean enter() {
        if (isTogether()) {
            return false;
        }
        lock();
        return true;
    }

    private long leave(boolean isAlone, int scope, long went) {
        commands[scope]++;
        if (went != 0) {
            removed[scope] += went;
        }
        if (isAlone) {
            unlock();
        }
        return went;
    }

    @Override
    public long all() {
        boolean isAlone = enter();
        wantTag(0, 0);
        return leave(isAlone, OF_ALL, takeEverywhere());
    }

    @Override
    public long domain(int domain) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK, tag(domain, 0, 0));
        return leave(isAlone, OF_DOMAIN, takeEverywhere());
    }

    @Override
    public long firstStage(int domain) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | FIRST_STAGE, tag(domain, 0, FIRST));
        return leave(isAlone, OF_FIRST_STAGE, takeEverywhere());
    }

    @Override
    public long space(int domain, int space) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | SPACE_MASK | FIRST_STAGE, tag(domain, space, FIRST));
        keyMask = GLOBAL;
        return leave(isAlone, OF_SPACE, takeEverywhere());
    }

    @Override
    public long range(int domain, int space, long first, long last, int leafLg2) {
        boolean isAlone = enter();
        long tag = tag(domain, space, FIRST);
        long present = kinds;
        long went;
        if (isFew(present, first, last)) {
            went = takeFew(present, tag, first, last, leafLg2);
        } else {
            wantOfSpace(tag, first, last, leafLg2);
            went = takeEverywhere();
        }
        if ((present & HAS_GLOBAL) != 0) {
            wantTag(DOMAIN_MASK | FIRST_STAGE, globalTag(tag));
            keyMask = GLOBAL;
            keyWanted = GLOBAL;
            wantRange(first, last, leafLg2);
            went += takeEverywhere();
        }
        return leave(isAlone, OF_RANGE, went);
    }

    @Override
    public long everySpace(int domain, long first, long last, int leafLg2) {
        boolean isAlone = enter();
        wantTag(DOMAIN_MASK | FIRST_STAGE, tag(domain, 0, FIRST));
        wantRange(first, last, leafLg2);
        return leave(isAlone, OF_EVERY_SPACE, takeEverywhere());
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
        return leave(isAlone, OF_SECOND_RANGE, went);
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

    private void wantOfSpace(long tag, long first, long last, int leafLg2) {
        wantTag(DOMAIN_MASK | SPACE_MASK | FIRST_STAGE, tag);
        keyMask = GLOBAL;
        wantRange(first, last, leafLg2);
    }

    private long takeEverywhere() {
        long went = 0;
        for (int set = 0; set < words.length; set += 1 << SET_LG2) {
            if (((long) WORD.getVolatile(words, set + STATE) & (COUNT_MASK | BUSY)) != 0) {
                went += take(set);
            }
        }
        return went;
    }

    /** Whether those that may be wanted can be looked for where they would be. */
    private static boolean isFew(long present, long first, long last) {
        boolean isWithinPage = (first ^ last) >>> PAGE_LG2_MIN == 0;
        return (present & HAS_SPLIT) == 0
                && (isWithinPage || probes(present, first, last) <= PROBES_MAX);
    }

    /** A few pages of one space are looked for where they would be. */
    private long takeFew(long present, long tag, long first, long last, int leafLg2) {
        long went = 0;
        for (long left = present & SIZES; left != 0; left &= left - 1) {
            int sizeLg2 = Long.numberOfTrailingZeros(left);
            long page = first & -1L << sizeLg2;
            while (true) {
                long key = page | sizeLg2 | VALID;
                int set = set(key, tag);
                if (mayBeThere(set, key)) {
                    wantOfSpace(tag, first, last, leafLg2);
                    went += take(set);
                }
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
        for (long left = present & SIZES; left != 0; left &= left - 1) {
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

    @SuppressWarnings("ShortCircuitBoolean") // one branch for all of a set
    private boolean mayBeThere(int set, long key) {
        long[] words = this.words;
        return words[set] == key
                | words[set + 1] == key
                | words[set + 2] == key
                | words[set + 3] == key;
    }

    /**
     * Takes away what is wanted of one set; who finds none writes nothing. An entry that is not
     * seen here, or half of it, is being filled by somebody who will see that the epoch has moved.
     */
    private long take(int set) {
        for (int at = set; at < set + WAYS; at++) {
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
        for (int at = set; at < set + WAYS; at++) {
            if (isWanted(at)) {
                WORD.setOpaque(words, at, 0L);
                went++;
            }
        }
        release(set, before, -went);
        return went;
    }

    private boolean isWanted(int at) {
        long key = (long) WORD.getVolatile(words, at);
        return key != 0 && isWanted(key, (long) WORD.getOpaque(words, at + TAG));
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
        ALL(OF_ALL),
        DOMAIN(OF_DOMAIN),
        FIRST_STAGE(OF_FIRST_STAGE),
        SPACE(OF_SPACE),
        RANGE(OF_RANGE),
        EVERY_SPACE(OF_EVERY_SPACE),
        SECOND_RANGE(OF_SECOND_RANGE);

        private final int index;

        Scope(int index) {
            this.index = index;
        }
    }

    /** Invalidations of a scope so far. Any thread. */
    public long commands(Scope scope) {
        return (long) WORD.getOpaque(commands, scope.index);
    }

    /** Entries that those have taken away. Any thread. */
    public long removed(Scope scope) {
        return (long) WORD.getOpaque(removed, scope.index);
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
