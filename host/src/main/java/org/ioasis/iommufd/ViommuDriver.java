// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** A driver's part of a vIOMMU. Under its context's lock. */
public interface ViommuDriver extends Invalidator {
    /** Makes a table of the guest, behind the vIOMMU. */
    NestedDomain nested(int flags, UserData data) throws IommufdException;

    /** Whether it has hardware queues of this type. */
    default boolean hasQueue(int type) {
        return false;
    }

    /**
     * Starts a hardware queue, of a type that it has.
     *
     * @param physical where its memory begins
     */
    default void startQueue(HwQueue queue, int index, long physical) throws IommufdException {
        throw new IommufdException(Errno.EOPNOTSUPP, "the vIOMMU has no queues");
    }

    /** Ends one that was started. */
    default void stopQueue(HwQueue queue) {}

    /**
     * Carries out what guests have put into its queues without a call.
     *
     * @return how many commands it were
     */
    default int poll() {
        return 0;
    }

    /** What a mapping of its window shows, for a guest; null: it has none. */
    default @Nullable MemorySegment window() {
        return null;
    }

    /** A device is known to the guest by an id. */
    default void added(Vdevice device) throws IommufdException {}

    /** It is not any more. */
    default void removed(Vdevice device) {}

    /** Its tables, devices and queues are gone before. */
    default void free() {}
}
