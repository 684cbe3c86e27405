// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.jspecify.annotations.Nullable;

/**
 * Watches what passes between a driver and its IOMMU. Called on the device's thread, where it must
 * not block; {@link #refusedAccess} on any. A device without an observer decodes nothing for it.
 */
public interface IommuObserver {
    /** The driver has started the device with these features. */
    void started(long features);

    /** The driver, or the VMM, has reset it: attachments, domains and mappings are gone. */
    void reset();

    /**
     * Requests have been taken from their ring. What is given back comes with the answer to each,
     * in {@link #answeredSince}: a time, for who wants to know how long it took.
     */
    default long taken() {
        return 0;
    }

    /**
     * The request of the {@link #answered} before was taken then.
     *
     * @param taken as {@link #taken} has given it; 0 if nobody watched then
     */
    default void answeredSince(long taken) {}

    /**
     * A request has been answered; the driver may not have seen it yet.
     *
     * @param status null if it is given back without an answer
     * @param why the reason of an answer that is not OK, for people; empty if OK
     */
    void answered(IommuRequest request, @Nullable Status status, String why);

    /** A request is accepted and its answer comes later. */
    void waits(IommuRequest request);

    /** An access has been refused, and the driver will be told of it. Any thread. */
    void refusedAccess(Fault fault);

    /** The driver has been told of a fault. */
    void delivered(Fault fault);

    /** A fault was planted: {@code what} happened to a request or an event. */
    void injected(String what);
}
