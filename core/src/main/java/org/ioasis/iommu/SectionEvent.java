// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/**
 * A guarded section of a device and what it has translated, for a flight recording: one in {@link
 * #INTERVAL} of those of a way to memory. Belongs to that, which uses it again. Its thread, outside
 * of sections.
 */
@Name("org.ioasis.Section")
@Label("DMA Section")
@Description(
        "One in 256 of a device's guarded sections: how long it was, and how much it translated")
@Category("Ioasis")
@StackTrace(false)
final class SectionEvent extends Event {
    /** Sections that one stands for. */
    static final int INTERVAL = 256;

    private static final SectionEvent PROBE = new SectionEvent();

    @Label("IOMMU")
    String iommu = "";

    @Label("Endpoint")
    long endpoint;

    @Label("PASID")
    @Description("-1: none")
    int pasid;

    @Label("Domain")
    @Description("Empty if it is attached to none")
    String domain = "";

    @Label("Translations")
    int translations;

    @Label("Faulted")
    @Description("An access of it was refused")
    boolean isFaulted;

    /** One look at a field that is constant until a recording starts. */
    static boolean isRecorded() {
        return PROBE.isEnabled();
    }

    /** Behind its end. */
    void record(
            String ofIommu, Attachment of, String ofDomain, int translated, boolean hasFaulted) {
        if (shouldCommit()) {
            iommu = ofIommu;
            endpoint = Integer.toUnsignedLong(of.endpoint().id());
            pasid = of.pasid();
            domain = ofDomain;
            translations = translated;
            isFaulted = hasFaulted;
            commit();
        }
    }
}
