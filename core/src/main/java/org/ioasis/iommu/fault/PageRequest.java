// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.fault;

/**
 * A device asks for a page that is not there. Those with the same endpoint, PASID and number are a
 * group, which ends with its last and gets one answer. Immutable.
 *
 * @param endpoint who asks
 * @param pasid in which of its address spaces, or -1 for the one without a PASID
 * @param group the device's number for the group, 16 bits
 * @param rights what it needs, bits of {@code Rights}
 * @param address the IOVA, 64-bit unsigned
 */
public record PageRequest(
        int endpoint, int pasid, int group, int rights, boolean isLast, long address) {
    private static final int GROUP_BITS = 16;

    public PageRequest {
        if (group >>> GROUP_BITS != 0) {
            throw new IllegalArgumentException("group %d of page requests".formatted(group));
        }
    }

    /** What a group is answered. */
    public enum Response {
        /** The pages are there: try again. */
        SUCCESS,
        /** They are not, and will not be. */
        INVALID,
        /** Something is wrong with the device: it is to ask no more. */
        FAILURE
    }

    /** Who has asked, for the answer. Loop thread; may ask again from within. */
    public interface Asker {
        void answered(int pasid, int group, Response response);
    }
}
