// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Throttle;

/**
 * A request that was refused, with the reason, for a flight recording; no more a second than its
 * settings say. Device's thread.
 */
@Name("org.ioasis.Refusal")
@Label("Refused Request")
@Description("A request that its IOMMU has refused, and why")
@Category("Ioasis")
@StackTrace(false)
@Throttle("100/s")
final class RefusalEvent extends RequestFields {
    private static final RefusalEvent PROBE = new RefusalEvent();

    @Label("Reason")
    String reason = "";

    /** One look at a field that is constant until a recording starts. */
    static boolean isRecorded() {
        return PROBE.isEnabled();
    }
}
