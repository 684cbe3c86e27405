// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

/**
 * What an entropy device has done since it was made, over all resets. Numbers of one snapshot are
 * read one after the other while the device works.
 *
 * @param requests chains that came back with random bytes
 * @param bytes random bytes given
 * @param malformed chains without a writable byte, returned with used length 0
 * @param keptAbsent how often a chain was put back because memory was absent
 * @param faults accesses to buffers that the IOMMU refused
 * @param refusals accesses to buffers in memory that refuses them, for example read-only
 * @param ringFaults how often the queue stopped because an access to a ring faulted
 */
public record RngCounters(
        long requests,
        long bytes,
        long malformed,
        long keptAbsent,
        long faults,
        long refusals,
        long ringFaults) {}
