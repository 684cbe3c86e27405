// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommu.pagetable.LeafVisitor;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.TableDomain;

/**
 * The table of one window, as the IOMMUs of all groups with this window read it. Entries are
 * numbered from the start of the bus, as ioctls and guests do. Any thread: who changes or reads
 * entries takes its lock, devices too, so that tables which are empty can go at once.
 */
public final class HardwareTable {
    /** Answer of {@link #lookUp}: no entry allows it. */
    public static final long NOWHERE = -1;

    /** Of so many entries each is looked at; of more, those that lead somewhere are searched. */
    private static final long LOOKED_AT = 1 << 14;

    private final int pageLg2;
    private final long first;
    private final long entries;
    private final TableDomain table;
    private final long start;
    private final Backing backing;
    private final LeafVisitor finder = (iova, _, _, _, _) -> !found(iova);
    private long foundAt;
    private volatile boolean isClosed;
    private long mapped;
    private final AtomicLong flushes = new AtomicLong();

    /**
     * @param first number of its first entry
     * @throws IommufdException ENOMEM: the node has no memory for tables left
     */
    HardwareTable(
            PageTableFormat format,
            int pageLg2,
            long first,
            long entries,
            Backing backing,
            IommufdNode node)
            throws IommufdException {
        this.pageLg2 = pageLg2;
        this.first = first;
        this.entries = entries;
        this.backing = backing;
        start = format.iova(0);
        table =
                new TableDomain(
                        format,
                        1L << pageLg2 | 1L << format.pageLg2(),
                        start,
                        start + (entries << pageLg2) - 1,
                        false,
                        node);
    }

    /** Size of a page. */
    public int pageLg2() {
        return pageLg2;
    }

    /** Where it begins on the bus. */
    public long firstAddress() {
        return first << pageLg2;
    }

    /** Where it ends. */
    public long lastAddress() {
        return firstAddress() + (entries << pageLg2) - 1;
    }

    /** Whether it has all addresses of a range. */
    boolean contains(long address, long length) {
        return Long.compareUnsigned(address, firstAddress()) >= 0
                && Long.compareUnsigned(address, lastAddress()) <= 0
                && (length == 0 || Long.compareUnsigned(length - 1, lastAddress() - address) <= 0);
    }

    /** Entries that lead somewhere. */
    public synchronized long mapped() {
        return mapped;
    }

    /** Times that caches were told to forget: once for each call that changed something. */
    public long flushes() {
        return flushes.get();
    }

    /** Its window is gone. */
    boolean isClosed() {
        return isClosed;
    }

    private long at(long entry) {
        return start + ((entry - first) << pageLg2);
    }

    /**
     * Leads one entry to memory of the process.
     *
     * @param entry one of the table's
     * @param user a multiple of the page's size
     * @return 0 or a negative errno: EINVAL it is not registered, EPERM the memory behind has
     *     smaller pages, EBUSY it is being unregistered, EFAULT it is not there, ENOMEM, ENODEV the
     *     window is gone; the entry is as it was
     */
    synchronized int map(
            long entry,
            long user,
            boolean isReadable,
            boolean isWritable,
            FailureInjector failures) {
        if (isClosed) {
            return -Errno.ENODEV.number();
        }
        if (failures.fails() || !backing.reserve(entry - first)) {
            return -Errno.ENOMEM.number();
        }
        long address = backing.take(user, pageLg2, isWritable, failures);
        if (address < 0) {
            return (int) address;
        }
        long at = at(entry);
        long old = table.lookUp(at);
        try {
            if (old == TableDomain.NOWHERE) {
                table.map(at, address, 1L << pageLg2, isReadable, isWritable, failures);
                mapped++;
            } else {
                table.replace(at, address, pageLg2, isReadable, isWritable);
            }
        } catch (IommufdException e) {
            backing.untake(user, address);
            return -e.errno().number();
        }
        if (old != TableDomain.NOWHERE) {
            backing.drop(entry - first, old);
        }
        backing.note(entry - first, user);
        return 0;
    }

    /** Whether an entry can be led to this memory, which was registered before. */
    boolean admits(long user) {
        return !isClosed && backing.isRegistered(user, pageLg2);
    }

    /** Entries of a range lead nowhere any more. */
    synchronized void clear(long entry, long count) {
        if (isClosed || count == 0) {
            return;
        }
        long at = at(entry);
        long last = at + (count << pageLg2) - 1;
        if (count <= LOOKED_AT) {
            for (long i = 0; i < count && mapped > 0; i++) {
                clear(at + (i << pageLg2));
            }
            return;
        }
        while (mapped > 0 && Long.compareUnsigned(at, last) <= 0) {
            foundAt = NOWHERE;
            table.leaves(at, last, finder);
            if (foundAt == NOWHERE) {
                return;
            }
            clear(foundAt);
            at = foundAt + (1L << pageLg2);
        }
    }

    private void clear(long at) {
        long address = table.lookUp(at);
        if (address != TableDomain.NOWHERE) {
            table.unmap(at, 1L << pageLg2);
            mapped--;
            backing.drop((at - start) >>> pageLg2, address);
        }
    }

    private boolean found(long iova) {
        foundAt = iova;
        return true;
    }

    /** Caches are told to forget. */
    void flush() {
        flushes.getAndIncrement();
    }

    /** The window goes, and with it all that is in it. */
    synchronized void close() {
        if (!isClosed) {
            clear(first, entries);
            isClosed = true;
            table.free();
            backing.free();
        }
    }

    /** The address behind one on the bus, for a device's access, or {@link #NOWHERE}. */
    public synchronized long lookUp(long address, boolean isWrite) {
        if (isClosed || !contains(address, 1)) {
            return NOWHERE;
        }
        return table.lookUp(
                start + (address - firstAddress()), isWrite ? Rights.WRITE : Rights.READ);
    }
}
