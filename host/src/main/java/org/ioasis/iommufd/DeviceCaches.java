// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * What is kept for one device beside translations of its IOMMU: which table each of its spaces has,
 * and what the device itself keeps of them. Devices are named by the numbers that the IOMMU knows
 * them by. One thread at a time, as whoever decodes commands; allocates nothing.
 */
public interface DeviceCaches {
    /** A space is a PASID, or this: what a device does without one. */
    int NO_SPACE = -1;

    /** Nothing is kept. */
    DeviceCaches NONE = new DeviceCaches() {};

    /** What says which table a space of a device has may be another now. */
    default void context(int device, int space) {}

    /** The same of all spaces of a device. */
    default void contexts(int device) {}

    /** A device forgets what it keeps of a range in a space; inclusive, unsigned. */
    default void forget(int device, int space, long first, long last) {}

    /** The same in all its spaces. */
    default void forget(int device, long first, long last) {}
}
