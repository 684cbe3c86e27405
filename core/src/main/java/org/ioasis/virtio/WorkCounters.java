// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

/**
 * What became of a device's work beside what was done, since the device was made, over all resets.
 * Numbers of one snapshot are read one after the other while the device works.
 *
 * @param keptAbsent how often a chain was kept, or put back, because memory was absent
 * @param faults accesses to buffers that the IOMMU refused
 * @param refusals accesses to buffers in memory that refuses them, for example read-only
 * @param ringFaults how often a queue stopped because an access to a ring faulted
 * @param dropped chains of before a reset whose results were thrown away
 * @param putOff how often the limit of sections in a row was reached
 * @param refusedPosts how often the device's thread took no task, and the work was done later
 */
public record WorkCounters(
        long keptAbsent,
        long faults,
        long refusals,
        long ringFaults,
        long dropped,
        long putOff,
        long refusedPosts) {}
