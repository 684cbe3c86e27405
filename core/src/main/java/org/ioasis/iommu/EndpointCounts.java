// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

/**
 * Counters of one endpoint's accesses. Immutable snapshot.
 *
 * @param translations accesses that a mapping answered
 * @param translatedBytes bytes copied through mappings
 * @param translationsAbove4GiB those translations that led to a guest-physical address of 4 GiB or
 *     more, which is where the memory of a PC continues after its hole for devices
 * @param walked those translations that went through a table of somebody else's, whether it was
 *     walked or an IOTLB still knew
 * @param identity accesses in a bypass domain, that the driver asked for, and to identity regions
 * @param identityBytes bytes copied in these
 * @param bypassed accesses while attached to no domain, let through because {@code bypass} is 1
 * @param bypassedAfterAttach those of them that came after the first ATTACH since the last reset
 * @param faults accesses refused
 */
public record EndpointCounts(
        long translations,
        long translatedBytes,
        long translationsAbove4GiB,
        long walked,
        long identity,
        long identityBytes,
        long bypassed,
        long bypassedAfterAttach,
        long faults) {

    public static final EndpointCounts ZERO = new EndpointCounts(0, 0, 0, 0, 0, 0, 0, 0, 0);

    public EndpointCounts plus(EndpointCounts other) {
        return new EndpointCounts(
                translations + other.translations,
                translatedBytes + other.translatedBytes,
                translationsAbove4GiB + other.translationsAbove4GiB,
                walked + other.walked,
                identity + other.identity,
                identityBytes + other.identityBytes,
                bypassed + other.bypassed,
                bypassedAfterAttach + other.bypassedAfterAttach,
                faults + other.faults);
    }
}
