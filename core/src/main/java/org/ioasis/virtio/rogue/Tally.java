// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rogue;

/**
 * What became of the accesses of a {@link Volley}.
 *
 * @param ok got through, every byte of it
 * @param faults refused by the IOMMU; some bytes before the refused one may have got through
 * @param absent allowed, but there was no memory
 * @param refused allowed, but the memory takes no such access (read-only, ROM)
 * @param readSha256 SHA-256, in hexadecimal, over the bytes of the reads that got through, in order
 */
public record Tally(long ok, long faults, long absent, long refused, String readSha256) {
    /** All accesses. */
    public long total() {
        return ok + faults + absent + refused;
    }
}
