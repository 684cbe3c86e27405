// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.SpaprTce;
import org.jspecify.annotations.Nullable;

/**
 * Devices that one IOMMU cannot tell apart, and the windows through which they reach memory. A
 * container gives it windows, under its lock; devices of it on any thread.
 */
public final class SpaprGroup {
    private final TableFamily family;
    private final boolean isMediated;
    private final long defaultSize;
    private final long pageSizes;
    private final int windowsMax;
    private final int levelsMax;
    private final @Nullable HardwareTable[] windows = new @Nullable HardwareTable[SpaprTce.WINDOWS];
    private @Nullable SpaprContainer container;

    private SpaprGroup(Builder options) {
        family = options.family;
        isMediated = options.isMediated;
        defaultSize = options.defaultSize;
        pageSizes = options.pageSizes;
        windowsMax = options.windowsMax;
        levelsMax = options.levelsMax;
    }

    /** A group with a default window of 1 GiB and one dynamic window beside it. */
    public static Builder builder() {
        return new Builder();
    }

    /** How a group is. One thread. */
    public static final class Builder {
        private TableFamily family = TableFamily.TCE;
        private boolean isMediated;
        private long defaultSize = 1L << 30;
        private long pageSizes = 1L << 12 | 1L << 16 | 1L << 21 | 1L << 24;
        private int windowsMax = SpaprTce.WINDOWS;
        private int levelsMax = SpaprTce.LEVELS_MAX;

        private Builder() {}

        /** Which tables its windows have. */
        public Builder family(TableFamily value) {
            family = value;
            return this;
        }

        /** Its devices are a driver's, with no IOMMU of their own. */
        public Builder mediated() {
            isMediated = true;
            return this;
        }

        /**
         * Bytes of the window that it has from the start, in pages of 4 KiB.
         *
         * @param value below 4 GiB; 0: it has none
         */
        public Builder defaultSize(long value) {
            defaultSize = value;
            return this;
        }

        /** Sizes of pages of its windows, a bit for each. */
        public Builder pageSizes(long value) {
            pageSizes = value;
            return this;
        }

        /** Most windows at a time; 0: they do not change. */
        public Builder windows(int value) {
            windowsMax = value;
            return this;
        }

        /** Most levels of a window's table. */
        public Builder levels(int value) {
            levelsMax = value;
            return this;
        }

        public SpaprGroup build() {
            return new SpaprGroup(this);
        }
    }

    TableFamily family() {
        return family;
    }

    boolean isMediated() {
        return isMediated;
    }

    long defaultSize() {
        return defaultSize;
    }

    long pageSizes() {
        return pageSizes;
    }

    int windowsMax() {
        return windowsMax;
    }

    int levelsMax() {
        return levelsMax;
    }

    /** The container that it is in. */
    synchronized @Nullable SpaprContainer container() {
        return container;
    }

    synchronized void container(@Nullable SpaprContainer now) {
        container = now;
    }

    /** The table of a window, or null. */
    public synchronized @Nullable HardwareTable window(int number) {
        return windows[number];
    }

    /** Hardware learns of a window. */
    synchronized void window(int number, HardwareTable table, FailureInjector failures)
            throws IommufdException {
        if (failures.fails()) {
            throw new IommufdException(Errno.EIO, "injected failure of the hardware");
        }
        windows[number] = table;
    }

    synchronized void noWindow(int number) {
        windows[number] = null;
    }

    /**
     * The address behind one on the bus, for an access of a device of the group.
     *
     * @return {@link HardwareTable#NOWHERE}: no window leads anywhere from there
     */
    public long lookUp(long address, boolean isWrite) {
        for (int i = 0; i < SpaprTce.WINDOWS; i++) {
            HardwareTable table = window(i);
            if (table != null && table.contains(address, 1)) {
                return table.lookUp(address, isWrite);
            }
        }
        return HardwareTable.NOWHERE;
    }
}
