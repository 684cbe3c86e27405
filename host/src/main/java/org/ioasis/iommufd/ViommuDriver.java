// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** A driver's part of a vIOMMU. Under its context's lock. */
public interface ViommuDriver extends Invalidator {
    /** Makes a table of the guest, behind the vIOMMU. */
    NestedDomain nested(int flags, UserData data) throws IommufdException;

    /** Whether it has hardware queues of this type. */
    boolean hasQueue(int type);

    /**
     * Starts a hardware queue.
     *
     * @param physical where its memory begins
     */
    void startQueue(HwQueue queue, int index, long physical) throws IommufdException;

    /** Ends one that was started. */
    void stopQueue(HwQueue queue);

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

    void free();
}
