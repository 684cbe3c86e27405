// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Threshold;

/**
 * A request from where it is carried out to its answer, for a flight recording: unless its settings
 * say otherwise, one that took long. Belongs to a slot, which uses it again. Device's thread.
 */
@Name("org.ioasis.Request")
@Label("IOMMU Request")
@Description("A request of a driver to its IOMMU, until it is answered")
@Category("Ioasis")
@StackTrace(false)
@Threshold("100 us")
final class RequestEvent extends RequestFields {
    private static final RequestEvent PROBE = new RequestEvent();

    /** One look at a field that is constant until a recording starts. */
    static boolean isRecorded() {
        return PROBE.isEnabled();
    }
}
