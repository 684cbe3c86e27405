// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

/** What a driver counts, since it was made. Driver's thread. */
public final class DriverCounts {
    long requests;
    long kicks;
    long refusals;
    long unanswered;
    long faults;
    long ignoredEvents;
    long pageRequests;
    long resets;

    DriverCounts() {}

    /** Requests that the device was shown. */
    public long requests() {
        return requests;
    }

    /** Notifications of the request queue. */
    public long kicks() {
        return kicks;
    }

    /** Answers that were not OK. */
    public long refusals() {
        return refusals;
    }

    /** Requests that came back without an answer; they count as refused too. */
    public long unanswered() {
        return unanswered;
    }

    /** Reports that the listener was told. */
    public long faults() {
        return faults;
    }

    /** Events that were too short or of a form that is not known. */
    public long ignoredEvents() {
        return ignoredEvents;
    }

    /** Page requests that the listener was told. */
    public long pageRequests() {
        return pageRequests;
    }

    /** How often the device was started again. */
    public long resets() {
        return resets;
    }
}
