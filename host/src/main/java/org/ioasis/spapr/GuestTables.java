// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.SpaprTce;
import org.jspecify.annotations.Nullable;

/**
 * The tables of one guest, as its host's kernel has them: by LIOBN, each with the hardware tables
 * of groups that are attached. {@link #find} any thread, without a lock; changes take its lock and
 * then a table's.
 */
public final class GuestTables {
    /** Tables of a guest. */
    static final int TABLES_MAX = 256;

    private static final int PAGE_LG2 = 12;

    /** A table, and a window that shows it. */
    private record Shown(TceTable table, HardwareTable window) {}

    private final SpaprHost host;
    private final RegisteredMemory memory;
    private final boolean mayLock;

    /** In the order of LIOBNs, replaced as a whole. */
    private volatile TceTable[] tables = {};

    /**
     * What was attached for each group, and how often: one that is released may have left its
     * container, and its windows, before.
     */
    private final Map<SpaprGroup, Map<Shown, Integer>> shown = new HashMap<>();

    private boolean isClosed;

    /**
     * @param process whose memory the guest's is; charged for tables
     */
    public GuestTables(SpaprHost host, Task process) {
        this.host = host;
        memory = host.memoryOf(process.memory());
        mayLock = process.mayLock();
    }

    /** What the process has registered. */
    public RegisteredMemory memory() {
        return memory;
    }

    /** Tables that there are. */
    public int size() {
        return tables.length;
    }

    /** The table with a number. */
    public @Nullable TceTable find(long liobn) {
        TceTable[] all = tables;
        int low = 0;
        int high = all.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            int order = Long.compareUnsigned(all[middle].liobn(), liobn);
            if (order == 0) {
                return all[middle];
            }
            if (order < 0) {
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
        return null;
    }

    /**
     * Makes a table. Its process is charged for all pages that the table can come to have.
     *
     * @param first number of the first entry, counted from the start of the bus
     * @param size entries
     * @throws IommufdException EINVAL sizes; EBUSY the number is taken; ENOMEM limits
     */
    public synchronized TceTable create(Task task, long liobn, int pageLg2, long first, long size)
            throws IommufdException {
        if (size == 0
                || pageLg2 < SpaprTce.PAGE_LG2
                || pageLg2 > SpaprTce.PAGE_LG2_MAX
                || Long.compareUnsigned(first + size, first) < 0
                || Long.compareUnsigned(first + size, -1L >>> pageLg2) > 0) {
            throw new IommufdException(Errno.EINVAL, "no such table");
        }
        if (find(liobn) != null) {
            throw new IommufdException(Errno.EBUSY, "LIOBN 0x%x is taken".formatted(liobn));
        }
        task.failures().allocate();
        if (Long.compareUnsigned(size, EntryPages.MAX) > 0 || tables.length == TABLES_MAX) {
            throw new IommufdException(Errno.ENOMEM, "more entries or tables than there may be");
        }
        if (task.failures().fails()
                || !memory.process().locked().chargeProcess(pages(size), mayLock)) {
            throw new IommufdException(Errno.ENOMEM, "the limit of locked memory is reached");
        }
        TceTable table = new TceTable(liobn, pageLg2, first, size, host.node().tables());
        TceTable[] more = Arrays.copyOf(tables, tables.length + 1);
        more[tables.length] = table;
        Arrays.sort(more, (a, b) -> Long.compareUnsigned(a.liobn(), b.liobn()));
        tables = more;
        return table;
    }

    /** Pages of the entries, and of what leads to those pages. */
    private static long pages(long size) {
        long pages = roundUp(size * Long.BYTES);
        return pages + roundUp(pages * Long.BYTES);
    }

    private static long roundUp(long bytes) {
        return (bytes + (1 << PAGE_LG2) - 1) >>> PAGE_LG2;
    }

    /** Ends a table; hardware tables keep what they have. Works twice as well as once. */
    public synchronized void remove(TceTable table) {
        TceTable[] all = tables;
        int at = Arrays.asList(all).indexOf(table);
        if (at < 0) {
            return;
        }
        TceTable[] fewer = Arrays.copyOf(all, all.length - 1);
        System.arraycopy(all, at + 1, fewer, at, all.length - 1 - at);
        tables = fewer;
        shown.values().forEach(ofGroup -> ofGroup.keySet().removeIf(of -> of.table.equals(table)));
        synchronized (table) {
            table.detachAll();
            table.free();
        }
        memory.process().locked().chargeProcess(-pages(table.size()), true);
    }

    /**
     * From now on hypercalls to a table change a group's window too. What is in the table already
     * is not shown there by this. (KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE)
     *
     * @throws IommufdException EINVAL no window of the group fits, or the table is not the guest's;
     *     EPERM the window is another process's; ENOTTY the window is going
     */
    public synchronized void attach(TceTable table, SpaprGroup group) throws IommufdException {
        if (find(table.liobn()) != table) {
            throw new IommufdException(Errno.EINVAL, "the table is none of this guest's");
        }
        for (int i = 0; i < SpaprTce.WINDOWS; i++) {
            HardwareTable window = group.window(i);
            if (window == null || !table.isShownBy(window)) {
                continue;
            }
            SpaprContainer container = group.container();
            if (container == null || container.memory() != memory) {
                throw new IommufdException(Errno.EPERM, "the window is another process's");
            }
            if (window.isClosed()) {
                throw new IommufdException(Errno.ENOTTY, "the window is going");
            }
            synchronized (table) {
                table.attach(window);
            }
            Map<Shown, Integer> ofGroup = shown.computeIfAbsent(group, _ -> new HashMap<>());
            ofGroup.keySet().removeIf(of -> of.window.isClosed());
            ofGroup.merge(new Shown(table, window), 1, Integer::sum);
            return;
        }
        throw new IommufdException(Errno.EINVAL, "no window of the group fits the table");
    }

    /** The group is no longer the guest's: one reference less to each window it was given. */
    public synchronized void release(SpaprGroup group) {
        Map<Shown, Integer> ofGroup = shown.getOrDefault(group, Map.of());
        for (Shown of : List.copyOf(ofGroup.keySet())) {
            synchronized (of.table) {
                of.table.detach(of.window);
            }
            ofGroup.computeIfPresent(of, (_, times) -> times == 1 ? null : times - 1);
        }
        if (ofGroup.isEmpty()) {
            shown.remove(group);
        }
    }

    /** All tables go. Works twice as well as once. */
    public synchronized void close() {
        for (TceTable table : tables) {
            remove(table);
        }
        if (!isClosed) {
            isClosed = true;
            host.forget(memory);
        }
    }
}
