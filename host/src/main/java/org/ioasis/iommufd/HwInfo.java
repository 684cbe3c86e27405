// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** What an IOMMU says of itself. Immutable; any thread. */
public final class HwInfo {
    private final int type;
    private final byte[] data;

    /**
     * @param type of the data
     * @param data its registers, in its own layout
     */
    public HwInfo(int type, byte[] data) {
        this.type = type;
        this.data = data.clone();
    }

    int type() {
        return type;
    }

    byte[] data() {
        return data.clone();
    }
}
