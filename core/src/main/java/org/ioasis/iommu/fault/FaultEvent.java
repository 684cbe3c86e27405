// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.MemoryAddress;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/**
 * A refused access, for a flight recording: one for each fault that is kept, so no more a second
 * than its queue lets in. Any thread, outside of guarded sections.
 */
@Name("org.ioasis.Fault")
@Label("DMA Fault")
@Description("An access of a device that its IOMMU has refused")
@Category("Ioasis")
@StackTrace(false)
final class FaultEvent extends Event {
    private static final FaultEvent PROBE = new FaultEvent();

    @Label("IOMMU")
    String iommu = "";

    @Label("Endpoint")
    long endpoint;

    @Label("PASID")
    @Description("-1: none")
    int pasid;

    @Label("Access")
    String access = "";

    @Label("Address")
    @MemoryAddress
    long address;

    @Label("Reason")
    String reason = "";

    @Label("Explanation")
    @Description("What lies near, or what the driver has taken away a moment ago")
    String explanation = "";

    /** One look at a field that is constant until a recording starts. */
    static boolean isRecorded() {
        return PROBE.isEnabled();
    }

    static void record(String iommu, Fault fault) {
        FaultEvent event = new FaultEvent();
        event.iommu = iommu;
        event.endpoint = Integer.toUnsignedLong(fault.endpoint());
        event.pasid = fault.pasid();
        event.access = fault.access().name();
        event.address = fault.address();
        event.reason = fault.reason().name();
        event.explanation = fault.explanation();
        event.commit();
    }
}
