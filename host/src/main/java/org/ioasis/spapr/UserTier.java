// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.List;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.SpaprTce;

/**
 * Hypercalls as a VMM carries them out in user space: it keeps the guest's tables, and maps and
 * unmaps in its containers, call by call. What it does not know is the guest's mistake. Any thread.
 *
 * <p>An entry that cannot be written leads nowhere in any container, and the guest's table says so.
 */
public final class UserTier implements FinalTier {
    private final GuestTables tables;
    private final GuestMemory memory;
    private final Task vmm;

    /**
     * @param vmm the process that the containers are for
     */
    public UserTier(GuestTables tables, GuestMemory memory, Task vmm) {
        this.tables = tables;
        this.memory = memory;
        this.vmm = vmm;
    }

    /**
     * From now on a container shows what is in a table; what is there already is shown first.
     *
     * @throws IommufdException as {@link SpaprContainer#map}; nothing is shown then
     */
    public void connect(TceTable table, SpaprContainer container) throws IommufdException {
        synchronized (table) {
            try {
                for (long index = table.nextAllowing(0);
                        index < table.size();
                        index = table.nextAllowing(index + 1)) {
                    long tce = table.get(index);
                    long user = table.toUser(tce, memory);
                    if (user != GuestMemory.NOWHERE) {
                        map(container, table, index, tce, user);
                    }
                }
            } catch (IommufdException e) {
                unmap(container, table, 0, table.size());
                throw e;
            }
            table.connect(container);
        }
    }

    /** A container shows a table no longer. */
    public void disconnect(TceTable table, SpaprContainer container) {
        synchronized (table) {
            table.disconnect(container);
            unmap(container, table, 0, table.size());
        }
    }

    @Override
    public HcallResult put(long liobn, long ioba, long tce) {
        TceTable table = tables.find(liobn);
        if (table == null || !table.contains(ioba, 1)) {
            return HcallResult.PARAMETER;
        }
        synchronized (table) {
            if (table.isGone() || !isValid(table, tce)) {
                return HcallResult.PARAMETER;
            }
            long index = table.index(ioba);
            return table.reserve(index, 1, tce) ? write(table, index, tce) : HcallResult.HARDWARE;
        }
    }

    @Override
    public HcallResult putIndirect(long liobn, long ioba, long list, long count) {
        TceTable table = tables.find(liobn);
        if (table == null || !table.admitsList(ioba, list, count)) {
            return HcallResult.PARAMETER;
        }
        synchronized (table) {
            if (table.isGone() || !table.readList(list, count, memory, vmm.memory())) {
                return HcallResult.PARAMETER;
            }
            for (long i = 0; i < count; i++) {
                if (!isValid(table, table.listed(i))) {
                    return HcallResult.PARAMETER;
                }
            }
            long index = table.index(ioba);
            if (!table.reserve(index, count, 1)) {
                return HcallResult.HARDWARE;
            }
            HcallResult result = HcallResult.SUCCESS;
            for (long i = 0; i < count && result == HcallResult.SUCCESS; i++) {
                result = write(table, index + i, table.listed(i));
            }
            return result;
        }
    }

    @Override
    public HcallResult stuff(long liobn, long ioba, long tce, long count) {
        TceTable table = tables.find(liobn);
        if (table == null || !table.contains(ioba, count) || TceTable.allows(tce)) {
            return HcallResult.PARAMETER;
        }
        synchronized (table) {
            long index = table.index(ioba);
            if (table.isGone()) {
                return HcallResult.PARAMETER;
            }
            if (!table.reserve(index, count, tce)) {
                return HcallResult.HARDWARE;
            }
            unmapAll(table, index, count);
            table.fill(index, count, tce);
            return HcallResult.SUCCESS;
        }
    }

    @Override
    public HcallResult get(long liobn, long ioba, TceValue value) {
        TceTable table = tables.find(liobn);
        if (table == null || !table.contains(ioba, 1)) {
            return HcallResult.PARAMETER;
        }
        value.set(table.get(table.index(ioba)));
        return HcallResult.SUCCESS;
    }

    private boolean isValid(TceTable table, long tce) {
        return !TceTable.allows(tce) || table.toUser(tce, memory) != GuestMemory.NOWHERE;
    }

    private HcallResult write(TceTable table, long index, long tce) {
        if (!TceTable.allows(tce)) {
            unmapAll(table, index, 1);
            table.set(index, tce);
            return HcallResult.SUCCESS;
        }
        long user = table.toUser(tce, memory);
        try {
            if (user == GuestMemory.NOWHERE) {
                throw new IommufdException(Errno.EINVAL, "no memory of the guest's");
            }
            for (SpaprContainer container : table.connected()) {
                map(container, table, index, tce, user);
            }
        } catch (IommufdException e) {
            unmapAll(table, index, 1);
            table.set(index, 0);
            return result(e.errno());
        }
        table.set(index, tce);
        return HcallResult.SUCCESS;
    }

    private static HcallResult result(Errno errno) {
        return switch (errno) {
            case EBUSY -> HcallResult.CLOSED;
            case ENOMEM, EIO -> HcallResult.HARDWARE;
            default -> HcallResult.PARAMETER;
        };
    }

    private void map(SpaprContainer container, TceTable table, long index, long tce, long user)
            throws IommufdException {
        container.map(
                vmm,
                table.firstAddress() + (index << table.pageLg2()),
                user,
                1L << table.pageLg2(),
                (tce & SpaprTce.READ) != 0,
                (tce & SpaprTce.WRITE) != 0);
    }

    private void unmapAll(TceTable table, long index, long count) {
        List<SpaprContainer> containers = table.connected();
        for (int i = 0; i < containers.size(); i++) {
            unmap(containers.get(i), table, index, count);
        }
    }

    private void unmap(SpaprContainer container, TceTable table, long index, long count) {
        try {
            container.unmap(
                    vmm,
                    table.firstAddress() + (index << table.pageLg2()),
                    count << table.pageLg2());
        } catch (IommufdException e) {
            // Without such a window the container shows nothing. One that does not have all of the
            // range may show some of it.
            if (e.errno() == Errno.EINVAL && count > 1) {
                for (long at = table.nextAllowing(index);
                        at < index + count;
                        at = table.nextAllowing(at + 1)) {
                    unmap(container, table, at, 1);
                }
            }
        }
    }
}
