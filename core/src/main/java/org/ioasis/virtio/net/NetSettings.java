// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.net;

import org.ioasis.spec.VirtioNet;

/**
 * What the guest sees of a network device. Immutable.
 *
 * @param mac its address, the first byte highest, in 48 bits
 * @param mtu most bytes of a frame behind the Ethernet header (virtio 1.4, 5.1.4)
 */
public record NetSettings(long mac, int mtu) {
    /** What every Ethernet carries. */
    public static final int USUAL_MTU = 1500;

    public NetSettings {
        if (mac >>> 48 != 0 || (mac >>> 40 & 1) != 0) {
            throw new IllegalArgumentException(
                    "not the address of one station: 0x%x".formatted(mac));
        }
        if (mtu < VirtioNet.MTU_MIN || mtu > VirtioNet.MTU_MAX) {
            throw new IllegalArgumentException("mtu " + mtu);
        }
    }

    /** Bytes of the longest frame. */
    public int frameBytes() {
        return mtu + VirtioNet.ETHERNET_HEADER;
    }
}
