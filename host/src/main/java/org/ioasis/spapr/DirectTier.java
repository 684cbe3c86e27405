// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.FailureInjector;
import org.ioasis.spec.SpaprTce;

/**
 * Hypercalls as a host's kernel carries them out: straight into the hardware tables of attached
 * groups, from memory that is registered. Whatever else is asked is too hard. Any thread; allocates
 * nothing but pages of tables.
 *
 * <p>All is checked before anything changes. If an entry still cannot be written, it leads nowhere
 * in any table, and the guest's says so: whoever goes on finds nothing half done.
 */
final class DirectTier implements HcallTier {
    private final GuestTables tables;
    private final GuestMemory memory;
    private final FailureInjector failures;

    DirectTier(GuestTables tables, GuestMemory memory, FailureInjector failures) {
        this.tables = tables;
        this.memory = memory;
        this.failures = failures;
    }

    @Override
    public long put(long liobn, long ioba, long tce) {
        TceTable table = tables.find(liobn);
        if (table == null) {
            return TOO_HARD;
        }
        if (!table.contains(ioba, 1)) {
            return SpaprTce.H_PARAMETER;
        }
        synchronized (table) {
            if (isHard(table) || !isValid(table, tce)) {
                return TOO_HARD;
            }
            long index = table.index(ioba);
            if (failures.fails() || !table.reserve(index, 1, tce)) {
                return TOO_HARD;
            }
            boolean isDone = write(table, index, tce);
            flush(table);
            return isDone ? SpaprTce.H_SUCCESS : TOO_HARD;
        }
    }

    @Override
    public long putIndirect(long liobn, long ioba, long list, long count) {
        TceTable table = tables.find(liobn);
        if (table == null) {
            return TOO_HARD;
        }
        if (!table.admitsList(ioba, list, count)) {
            return SpaprTce.H_PARAMETER;
        }
        synchronized (table) {
            if (isHard(table) || !table.readList(list, count, memory, tables.memory().process())) {
                return TOO_HARD;
            }
            for (long i = 0; i < count; i++) {
                if (!isValid(table, table.listed(i))) {
                    return TOO_HARD;
                }
            }
            long index = table.index(ioba);
            if (failures.fails() || !table.reserve(index, count, 1)) {
                return TOO_HARD;
            }
            boolean isDone = true;
            for (long i = 0; i < count && isDone; i++) {
                isDone = write(table, index + i, table.listed(i));
            }
            flush(table);
            return isDone ? SpaprTce.H_SUCCESS : TOO_HARD;
        }
    }

    @Override
    public long stuff(long liobn, long ioba, long tce, long count) {
        TceTable table = tables.find(liobn);
        if (table == null) {
            return TOO_HARD;
        }
        if (!table.contains(ioba, count) || TceTable.allows(tce)) {
            return SpaprTce.H_PARAMETER;
        }
        synchronized (table) {
            long index = table.index(ioba);
            if (isHard(table) || failures.fails() || !table.reserve(index, count, tce)) {
                return TOO_HARD;
            }
            clear(table, index, count);
            table.fill(index, count, tce);
            flush(table);
            return SpaprTce.H_SUCCESS;
        }
    }

    @Override
    public long get(long liobn, long ioba, TceValue value) {
        TceTable table = tables.find(liobn);
        if (table == null) {
            return TOO_HARD;
        }
        if (!table.contains(ioba, 1)) {
            return SpaprTce.H_PARAMETER;
        }
        value.set(table.get(table.index(ioba)));
        return SpaprTce.H_SUCCESS;
    }

    private static boolean isHard(TceTable table) {
        if (table.isGone() || table.isUserOnly()) {
            return true;
        }
        for (HardwareTable hardware : table.attached()) {
            if (hardware.isClosed()) {
                return true;
            }
        }
        return false;
    }

    /** Whether an entry leads nowhere, or to memory that each hardware table can lead to. */
    private boolean isValid(TceTable table, long tce) {
        if (!TceTable.allows(tce)) {
            return true;
        }
        long user = table.toUser(tce, memory);
        if (user == GuestMemory.NOWHERE) {
            return false;
        }
        for (HardwareTable hardware : table.attached()) {
            for (long at = 0; at < 1L << table.pageLg2(); at += 1L << hardware.pageLg2()) {
                if (!hardware.admits(user + at)) {
                    return false;
                }
            }
        }
        return true;
    }

    /** Writes one entry that is valid; false: it leads nowhere now. */
    private boolean write(TceTable table, long index, long tce) {
        if (!TceTable.allows(tce)) {
            clear(table, index, 1);
            table.set(index, tce);
            return true;
        }
        long user = table.toUser(tce, memory);
        for (HardwareTable hardware : table.attached()) {
            if (user == GuestMemory.NOWHERE || !map(table, hardware, index, user, tce)) {
                clear(table, index, 1);
                table.set(index, 0);
                return false;
            }
        }
        table.set(index, tce);
        return true;
    }

    private boolean map(TceTable table, HardwareTable hardware, long index, long user, long tce) {
        int lg2 = table.pageLg2() - hardware.pageLg2();
        long entry = hardwareEntry(table, index, lg2);
        for (long i = 0; i < 1L << lg2; i++) {
            int result =
                    hardware.map(
                            entry + i,
                            user + (i << hardware.pageLg2()),
                            (tce & SpaprTce.READ) != 0,
                            (tce & SpaprTce.WRITE) != 0,
                            failures);
            if (result != 0) {
                return false;
            }
        }
        return true;
    }

    private static void clear(TceTable table, long index, long count) {
        for (HardwareTable hardware : table.attached()) {
            int lg2 = table.pageLg2() - hardware.pageLg2();
            hardware.clear(hardwareEntry(table, index, lg2), count << lg2);
        }
    }

    private static long hardwareEntry(TceTable table, long index, int lg2) {
        return ((table.firstAddress() >>> table.pageLg2()) + index) << lg2;
    }

    private static void flush(TceTable table) {
        for (HardwareTable hardware : table.attached()) {
            hardware.flush();
        }
    }
}
