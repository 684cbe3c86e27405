// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.MemoryAddress;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/**
 * An UNMAP whose answer had to wait for accesses under the old mapping, for a flight recording.
 * Most wait for nothing, and are none. Belongs to who waits, which uses it again. Loop thread.
 */
@Name("org.ioasis.UnmapWait")
@Label("UNMAP Wait")
@Description("An UNMAP whose answer waited until no access used the range any more")
@Category("Ioasis")
@StackTrace(false)
final class UnmapWaitEvent extends Event {
    private static final UnmapWaitEvent PROBE = new UnmapWaitEvent();

    @Label("IOMMU")
    String iommu = "";

    @Label("Domain")
    String domain = "";

    @Label("First Address")
    @MemoryAddress
    long first;

    @Label("Last Address")
    @MemoryAddress
    long last;

    /** One look at a field that is constant until a recording starts. */
    static boolean isRecorded() {
        return PROBE.isEnabled();
    }

    /** Behind its end. */
    void record(String ofIommu, String ofDomain, long from, long to) {
        if (shouldCommit()) {
            iommu = ofIommu;
            domain = ofDomain;
            first = from;
            last = to;
            commit();
        }
    }
}
