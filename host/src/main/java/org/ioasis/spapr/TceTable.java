// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ioasis.iommufd.ProgramMemory;
import org.ioasis.iommufd.TableBudget;
import org.ioasis.spec.SpaprTce;

/**
 * A table of the guest's, named by a LIOBN: what the guest wrote, as the guest wrote it, and the
 * hardware tables that show the same. One entry of it is one or several of theirs, whose pages may
 * be smaller. Reads of entries, and what never changes: any thread; all else under the lock of the
 * table.
 */
public final class TceTable {
    private static final HardwareTable[] NONE = {};

    /** An entry in a list, as POWER's guests write it. */
    private static final ValueLayout.OfLong BIG_ENDIAN =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.BIG_ENDIAN);

    private final long liobn;
    private final int pageLg2;
    private final long first;
    private final long size;
    private final EntryPages entries;

    /** The list of the hypercall that is carried out. */
    private final MemorySegment list = Arena.ofAuto().allocate(SpaprTce.LIST_PAGE, 8);

    /** What is attached, and how often. */
    private HardwareTable[] attached = NONE;

    private int[] references = {};

    /** Containers that user space keeps in step with this table. */
    private final List<SpaprContainer> connected = new ArrayList<>();

    private boolean isUserOnly;
    private boolean isGone;

    TceTable(long liobn, int pageLg2, long first, long size, TableBudget budget) {
        this.liobn = liobn;
        this.pageLg2 = pageLg2;
        this.first = first;
        this.size = size;
        entries = new EntryPages(size, budget);
    }

    /** Its number. */
    public long liobn() {
        return liobn;
    }

    /** Size of a page. */
    public int pageLg2() {
        return pageLg2;
    }

    /** Bus address of its first entry. */
    public long firstAddress() {
        return first << pageLg2;
    }

    /** Entries. */
    public long size() {
        return size;
    }

    /** Pages of memory that its entries take. */
    public synchronized long pages() {
        return entries.pages();
    }

    /** Whether a bus address is where an entry begins that has so many behind it. */
    boolean contains(long address, long count) {
        long index = (address >>> pageLg2) - first;
        return (address & ((1L << pageLg2) - 1)) == 0
                && Long.compareUnsigned(index, size) <= 0
                && Long.compareUnsigned(count, size - index) <= 0;
    }

    long index(long address) {
        return (address >>> pageLg2) - first;
    }

    /** What the guest wrote to an entry. */
    long get(long index) {
        return entries.get(index);
    }

    /** The first entry from an index on that leads somewhere, or the size of the table. */
    long nextAllowing(long index) {
        long at = index;
        while (at < size) {
            long next = entries.next(at);
            if (next == at && allows(entries.get(at))) {
                return at;
            }
            at = Math.max(next, at + 1);
        }
        return size;
    }

    /** Makes room for what is not zero; false: there is none. */
    boolean reserve(long index, long count, long word) {
        return word == 0 || entries.reserve(index, count);
    }

    void set(long index, long word) {
        entries.set(index, word);
    }

    void fill(long index, long count, long word) {
        entries.fill(index, count, word);
    }

    /** No entry is left; the table is not used again. */
    void free() {
        isGone = true;
        entries.free();
    }

    /** Whoever found the table before it went must look again. */
    boolean isGone() {
        return isGone;
    }

    // Hardware tables

    HardwareTable[] attached() {
        return attached;
    }

    /** Whether a hardware table can show what this one says. */
    boolean isShownBy(HardwareTable table) {
        return table.pageLg2() <= pageLg2
                && table.firstAddress() == firstAddress()
                && Long.compareUnsigned(table.lastAddress(), firstAddress() + (size << pageLg2) - 1)
                        >= 0;
    }

    /** One more reference to a hardware table. */
    void attach(HardwareTable table) {
        forgetClosed();
        int at = Arrays.asList(attached).indexOf(table);
        if (at < 0) {
            at = attached.length;
            attached = Arrays.copyOf(attached, at + 1);
            references = Arrays.copyOf(references, at + 1);
            attached[at] = table;
        }
        references[at]++;
        recheck();
    }

    /** One reference less, if it has one. */
    void detach(HardwareTable table) {
        int at = Arrays.asList(attached).indexOf(table);
        if (at >= 0 && --references[at] == 0) {
            forget(at);
        }
        recheck();
    }

    private void forget(int at) {
        int last = attached.length - 1;
        attached[at] = attached[last];
        references[at] = references[last];
        attached = Arrays.copyOf(attached, last);
        references = Arrays.copyOf(references, last);
    }

    /** What windows had that are gone: whoever attached them cannot name them any more. */
    private void forgetClosed() {
        for (int at = attached.length - 1; at >= 0; at--) {
            if (attached[at].isClosed()) {
                forget(at);
            }
        }
    }

    void detachAll() {
        attached = NONE;
        references = new int[0];
        recheck();
    }

    /** References to a hardware table. */
    public synchronized int references(HardwareTable table) {
        int at = Arrays.asList(attached).indexOf(table);
        return at < 0 ? 0 : references[at];
    }

    // User space

    List<SpaprContainer> connected() {
        return connected;
    }

    void connect(SpaprContainer container) {
        connected.add(container);
        recheck();
    }

    void disconnect(SpaprContainer container) {
        connected.remove(container);
        recheck();
    }

    private void recheck() {
        boolean isCovered = true;
        for (SpaprContainer container : connected) {
            HardwareTable window = container.window(firstAddress());
            isCovered &= window != null && Arrays.asList(attached).contains(window);
        }
        isUserOnly = !isCovered;
    }

    /** Some container shows this table and is not known here: only user space can change it. */
    boolean isUserOnly() {
        return isUserOnly;
    }

    // What both ways to change an entry have in common

    /** Whether a list is where one can be, and its entries are of this table. */
    boolean admitsList(long address, long guest, long count) {
        return Long.compareUnsigned(count, SpaprTce.LIST_MAX) <= 0
                && (guest & (SpaprTce.LIST_PAGE - 1)) == 0
                && contains(address, count);
    }

    /**
     * Reads a list, once: the guest may write it while it is carried out.
     *
     * @param guest where it is, as {@link #admitsList} was asked
     * @return false: it is not there
     */
    boolean readList(long guest, long count, GuestMemory memory, ProgramMemory process) {
        long user = memory.toUser(guest, SpaprTce.LIST_PAGE);
        return user != GuestMemory.NOWHERE && process.read(user, list, 0, count * Long.BYTES) == 0;
    }

    /** An entry of the list that was read last. */
    long listed(long index) {
        return list.get(BIG_ENDIAN, index * Long.BYTES);
    }

    /** Whether an entry translates anything. */
    static boolean allows(long tce) {
        return (tce & (SpaprTce.READ | SpaprTce.WRITE)) != 0;
    }

    /**
     * The user address that an entry of this table leads to, or {@link GuestMemory#NOWHERE}: it is
     * no page, or none of the guest's memory.
     */
    long toUser(long tce, GuestMemory memory) {
        long guest = tce & ~(SpaprTce.READ | SpaprTce.WRITE);
        long page = 1L << pageLg2;
        return (guest & (page - 1)) != 0 ? GuestMemory.NOWHERE : memory.toUser(guest, page);
    }
}
