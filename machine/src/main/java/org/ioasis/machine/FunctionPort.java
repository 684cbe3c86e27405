// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.util.concurrent.Executor;
import org.ioasis.memory.Dma;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.virtio.DeviceType;

/**
 * Where a function of one's own meets its IOMMU, the guest's memory and threads: in a machine
 * ({@link Machine}) as in a test without a VMM ({@code org.ioasis.testkit.MockGuest}).
 */
public interface FunctionPort {
    /** The function's only way to the guest's memory. For the thread of its calls. */
    Dma dma();

    /**
     * Runs tasks later on the thread of the function's calls, in order, after those posted before;
     * never at once. What a task throws is in the log, counts as an internal failure, and ends
     * nothing. For any thread.
     *
     * <p>It throws a {@link java.util.concurrent.RejectedExecutionException} when 8192 tasks wait,
     * or the machine is closed.
     */
    Executor tasks();

    /**
     * For work that blocks, as file I/O does: what comes of it goes back by {@link #tasks}. A few
     * threads, which all devices of a machine share. For any thread.
     */
    Executor io();

    /**
     * A virtio device of one's own as a function behind an IOMMU: its rings and buffers are IOVAs.
     *
     * @param type what it does; called by one thread
     * @param classCode of PCI, 24 bits
     */
    VirtioPciFunction function(DeviceType type, int classCode);
}
