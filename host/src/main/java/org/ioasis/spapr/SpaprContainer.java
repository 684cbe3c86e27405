// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.SpaprTce;
import org.jspecify.annotations.Nullable;

/**
 * A container of groups that share windows: what VFIO's two kinds for POWER have in common. It
 * belongs to the process that first uses it. Any thread: each method takes its lock.
 */
public abstract sealed class SpaprContainer permits SpaprV1, SpaprV2 {
    private static final int PAGE_LG2 = 12;

    /** Bytes of an entry, and of what is kept beside it: what it leads to in the process. */
    private static final int ENTRY_BYTES = 16;

    private final SpaprHost host;
    private final List<SpaprGroup> groups = new ArrayList<>();
    private final @Nullable HardwareTable[] windows = new @Nullable HardwareTable[SpaprTce.WINDOWS];
    private final long[] chargedPages = new long[SpaprTce.WINDOWS];
    private volatile @Nullable RegisteredMemory memory;

    /** The default window is made when it is first needed. */
    private boolean isDefaultPending;

    private boolean isEnabled;

    SpaprContainer(SpaprHost host) {
        this.host = host;
    }

    final SpaprHost host() {
        return host;
    }

    // Whose it is

    /**
     * The process that calls is the one that the container is for.
     *
     * @throws IommufdException EPERM it is another
     */
    @SuppressWarnings("ReferenceEquality") // the same object for the same process
    final void check(Task task) throws IommufdException {
        RegisteredMemory owned = memory;
        if (owned != null && owned.process() != task.memory()) {
            throw new IommufdException(Errno.EPERM, "the container is another process's");
        }
    }

    /** From now on it is the calling process's. */
    final RegisteredMemory own(Task task) throws IommufdException {
        check(task);
        RegisteredMemory owned = memory;
        if (owned == null) {
            owned = host.memoryOf(task.memory());
            memory = owned;
        }
        return owned;
    }

    /** What its process has registered; null: it is nobody's yet. */
    final @Nullable RegisteredMemory memory() {
        return memory;
    }

    final boolean isEnabled() {
        return isEnabled;
    }

    final void enable(boolean value) {
        isEnabled = value;
    }

    final boolean hasGroups() {
        return !groups.isEmpty();
    }

    /**
     * The group that windows are made like.
     *
     * @param errno why not, if there is none
     */
    final SpaprGroup firstGroup(Errno errno) throws IommufdException {
        if (groups.isEmpty()) {
            throw new IommufdException(errno, "the container has no group");
        }
        return groups.getFirst();
    }

    // Groups

    /** Whether another group may be added. */
    abstract void checkGroup(SpaprGroup group) throws IommufdException;

    /**
     * Adds a group, which gets the windows that there are.
     *
     * @throws IommufdException EINVAL mediated, or without dynamic windows in version 2; EBUSY a
     *     second one in version 1, or in a container already; EPERM of another family
     */
    @SuppressWarnings("ReferenceEquality") // a family is the very object
    public final synchronized void attach(SpaprGroup group, FailureInjector failures)
            throws IommufdException {
        if (group.isMediated()) {
            throw new IommufdException(Errno.EINVAL, "a mediated device has no window");
        }
        checkGroup(group);
        if (group.container() != null) {
            throw new IommufdException(Errno.EBUSY, "the group is in a container");
        }
        for (SpaprGroup other : groups) {
            if (other.family() != group.family()) {
                throw new IommufdException(
                        Errno.EPERM, "the tables of the groups are not of one kind");
            }
        }
        failures.allocate();
        try {
            for (int i = 0; i < windows.length; i++) {
                HardwareTable window = windows[i];
                if (window != null) {
                    group.window(i, window, failures);
                }
            }
        } catch (IommufdException e) {
            forgetWindows(group);
            throw e;
        }
        if (groups.isEmpty() && windows[0] == null) {
            isDefaultPending = true;
        }
        groups.add(group);
        group.container(this);
    }

    /** Takes a group out; windows stay for the next one. */
    public final synchronized void detach(SpaprGroup group) {
        if (groups.remove(group)) {
            forgetWindows(group);
            group.container(null);
        }
    }

    private static void forgetWindows(SpaprGroup group) {
        for (int i = 0; i < SpaprTce.WINDOWS; i++) {
            group.noWindow(i);
        }
    }

    /** Groups that are attached. */
    public final synchronized int groups() {
        return groups.size();
    }

    // Windows

    /** How the memory of a new window's entries is kept. */
    abstract Backing backing(RegisteredMemory memory, long entries);

    /**
     * Makes the default window, unless it is there, was removed, or there never was one.
     *
     * @throws IommufdException ENODEV there is no group; as {@link #createWindow}
     */
    final void createDefault(Task task) throws IommufdException {
        if (isDefaultPending) {
            createWindow(task, PAGE_LG2, firstGroup(Errno.ENODEV).defaultSize(), 1);
            isDefaultPending = false;
        }
    }

    /** Says no to the default window before it is there; false: it is there. */
    final boolean cancelDefault() {
        boolean wasPending = isDefaultPending;
        isDefaultPending = false;
        return wasPending;
    }

    /**
     * Makes a window and gives it to all groups, or to none.
     *
     * @return where it begins
     */
    final long createWindow(Task task, long pageLg2, long size, long levels)
            throws IommufdException {
        int number = freeWindow();
        SpaprGroup first = firstGroup(Errno.ENXIO);
        if (pageLg2 >= Long.SIZE || (first.pageSizes() >>> pageLg2 & 1) == 0) {
            throw new IommufdException(Errno.EINVAL, "no window has pages of this size");
        }
        if (!first.family().hasDynamicWindows()) {
            throw new IommufdException(Errno.EPERM, "windows of the platform do not change");
        }
        int sizeLg2 = Long.numberOfTrailingZeros(size);
        PageTableFormat format =
                Long.bitCount(size) == 1 && levels >= 1 && levels <= first.levelsMax()
                        ? first.family().format((int) pageLg2, sizeLg2, (int) levels)
                        : null;
        if (format == null
                || sizeLg2 <= pageLg2
                || sizeLg2 - pageLg2 > Long.numberOfTrailingZeros(EntryPages.MAX)) {
            throw new IommufdException(
                    Errno.EINVAL, "no table has a window of 0x%x bytes".formatted(size));
        }
        long entries = size >>> pageLg2;
        RegisteredMemory owned = own(task);
        long pages = tablePages(entries);
        if (task.failures().fails()
                || !owned.process().locked().chargeProcess(pages, task.mayLock())) {
            throw new IommufdException(Errno.ENOMEM, "the limit of locked memory is reached");
        }
        HardwareTable table = null;
        try {
            task.failures().allocate();
            table =
                    new HardwareTable(
                            format,
                            (int) pageLg2,
                            (number == 0 ? 0 : SpaprTce.SECOND_WINDOW) >>> pageLg2,
                            entries,
                            backing(owned, entries),
                            host.node());
            for (SpaprGroup group : groups) {
                group.window(number, table, task.failures());
            }
        } catch (IommufdException e) {
            groups.forEach(group -> group.noWindow(number));
            if (table != null) {
                table.close();
            }
            owned.process().locked().chargeProcess(-pages, task.mayLock());
            throw e;
        }
        windows[number] = table;
        chargedPages[number] = pages;
        return table.firstAddress();
    }

    private int freeWindow() throws IommufdException {
        for (int i = 0; i < windows.length; i++) {
            if (windows[i] == null) {
                return i;
            }
        }
        throw new IommufdException(Errno.ENOSPC, "there are as many windows as there can be");
    }

    /** Pages of tables that a window can come to have. They are charged when it is made. */
    private static long tablePages(long entries) {
        return (entries * ENTRY_BYTES + (1 << PAGE_LG2) - 1) >>> PAGE_LG2;
    }

    /** Removes a window from all groups, with what is in it. */
    final void removeWindow(int number) {
        HardwareTable table = windows[number];
        if (table == null) {
            return;
        }
        groups.forEach(group -> group.noWindow(number));
        table.close();
        windows[number] = null;
        RegisteredMemory owned = memory;
        if (owned != null) {
            owned.process().locked().chargeProcess(-chargedPages[number], true);
        }
    }

    /** The number of the window around an address, or -1. */
    final int windowAround(long address) {
        for (int i = 0; i < windows.length; i++) {
            HardwareTable table = windows[i];
            if (table != null && table.contains(address, 1)) {
                return i;
            }
        }
        return -1;
    }

    /** The table of the window around an address, or null. Any thread. */
    public final synchronized @Nullable HardwareTable window(long address) {
        int number = windowAround(address);
        return number < 0 ? null : windows[number];
    }

    // Calls

    /**
     * What there is to know.
     *
     * @param defaultStart where the default window begins
     * @param defaultSize its bytes
     * @param pageSizes of dynamic windows, a bit for each
     * @param windowsMax most windows; 0: they do not change
     * @param levels most levels of a table
     */
    public record WindowInfo(
            int defaultStart, int defaultSize, long pageSizes, int windowsMax, int levels) {}

    /**
     * What a program asks first.
     *
     * @throws IommufdException EPERM another process; ENXIO no group
     */
    public final synchronized WindowInfo info(Task task) throws IommufdException {
        check(task);
        SpaprGroup group = firstGroup(Errno.ENXIO);
        boolean isDynamic = this instanceof SpaprV2 && group.windowsMax() > 0;
        return new WindowInfo(
                0,
                (int) group.defaultSize(),
                isDynamic ? group.pageSizes() : 0,
                isDynamic ? group.windowsMax() : 0,
                isDynamic ? group.levelsMax() : 0);
    }

    /**
     * Leads addresses of a window to memory of the process, whatever they led to before. If it is
     * refused on the way, all up to there leads nowhere, and what comes behind is as it was.
     *
     * @throws IommufdException EPERM not enabled, another process, or pages that are smaller than
     *     the table's; ENXIO no window; EINVAL alignment, no rights, beyond the window, or not
     *     registered; EBUSY it is being unregistered; EFAULT no memory is there
     */
    public final synchronized void map(
            Task task, long iova, long user, long size, boolean isReadable, boolean isWritable)
            throws IommufdException {
        HardwareTable table = tableFor(task, iova);
        long mask = (1L << table.pageLg2()) - 1;
        if (((size | user) & mask) != 0) {
            throw new IommufdException(
                    Errno.EINVAL, "the window has pages of 0x%x bytes".formatted(mask + 1));
        }
        if (!isReadable && !isWritable) {
            throw new IommufdException(Errno.EINVAL, "neither to be read nor to be written");
        }
        checkRange(table, iova, size);
        long entry = iova >>> table.pageLg2();
        long count = size >>> table.pageLg2();
        for (long i = 0; i < count; i++) {
            int result =
                    table.map(
                            entry + i,
                            user + (i << table.pageLg2()),
                            isReadable,
                            isWritable,
                            task.failures());
            if (result != 0) {
                table.clear(entry, i + 1);
                table.flush();
                throw refusal(result);
            }
        }
        table.flush();
    }

    private static IommufdException refusal(int result) {
        for (Errno errno : Errno.values()) {
            if (errno.number() == -result) {
                return new IommufdException(
                        errno,
                        switch (errno) {
                            case EINVAL -> "the memory is not registered";
                            case EPERM -> "the pages of the memory are smaller than the window's";
                            case EBUSY -> "the memory is being unregistered";
                            case EFAULT -> "no memory of the program is there";
                            default -> "the table has no room";
                        });
            }
        }
        throw new IllegalStateException("a table answered " + result);
    }

    /**
     * Addresses of a window lead nowhere any more; those that do not already are no mistake.
     *
     * @throws IommufdException as {@link #map}
     */
    public final synchronized void unmap(Task task, long iova, long size) throws IommufdException {
        HardwareTable table = tableFor(task, iova);
        if ((size & ((1L << table.pageLg2()) - 1)) != 0) {
            throw new IommufdException(Errno.EINVAL, "no multiple of the window's pages");
        }
        checkRange(table, iova, size);
        table.clear(iova >>> table.pageLg2(), size >>> table.pageLg2());
        table.flush();
    }

    private HardwareTable tableFor(Task task, long iova) throws IommufdException {
        check(task);
        if (!isEnabled) {
            throw new IommufdException(Errno.EPERM, "the container is not enabled");
        }
        createDefault(task);
        int number = windowAround(iova);
        HardwareTable table = number < 0 ? null : windows[number];
        if (table == null) {
            throw new IommufdException(Errno.ENXIO, "0x%x is in no window".formatted(iova));
        }
        return table;
    }

    private static void checkRange(HardwareTable table, long iova, long size)
            throws IommufdException {
        if ((iova & ((1L << table.pageLg2()) - 1)) != 0 || !table.contains(iova, size)) {
            throw new IommufdException(
                    Errno.EINVAL, "0x%x bytes from 0x%x on".formatted(size, iova));
        }
    }

    /** What the kind of container has beside windows is given back. */
    abstract void release();

    /**
     * Groups leave, windows go, and what was registered is no more. Works twice as well as once.
     */
    public final synchronized void close() {
        for (SpaprGroup group : List.copyOf(groups)) {
            detach(group);
        }
        for (int i = 0; i < windows.length; i++) {
            removeWindow(i);
        }
        release();
        isEnabled = false;
        isDefaultPending = false;
        RegisteredMemory owned = memory;
        if (owned != null) {
            memory = null;
            host.forget(owned);
        }
    }
}
