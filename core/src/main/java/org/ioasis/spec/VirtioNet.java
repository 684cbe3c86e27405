// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * Virtio 1.4, 5.1: the network device, as far as it is used here. Feature constants are masks, not
 * bit numbers.
 */
public final class VirtioNet {
    // 5.1.2, without VIRTIO_NET_F_MQ.
    public static final int RECEIVEQ = 0;
    public static final int TRANSMITQ = 1;

    /** The device says which MTU there is at most. 5.1.3. */
    public static final long F_MTU = 1L << 3;

    /** The device has an address. 5.1.3. */
    public static final long F_MAC = 1L << 5;

    /** A frame may take several receive buffers. 5.1.3. */
    public static final long F_MRG_RXBUF = 1L << 15;

    /** The device says whether the link is up. 5.1.3. */
    public static final long F_STATUS = 1L << 16;

    // 5.1.4, configuration.
    public static final int CONFIG_MAC = 0;
    public static final int CONFIG_STATUS = 6;
    public static final int CONFIG_MTU = 10;
    public static final int CONFIG_SIZE = 12;
    public static final int MAC_BYTES = 6;
    public static final int STATUS_LINK_UP = 1;
    public static final int MTU_MIN = 68;
    public static final int MTU_MAX = 65_535;

    // 5.1.6, struct virtio_net_hdr without the fields of VIRTIO_NET_F_HASH_REPORT.
    public static final int HEADER_FLAGS = 0;
    public static final int HEADER_GSO_TYPE = 1;
    public static final int HEADER_NUM_BUFFERS = 10;
    public static final int HEADER_SIZE = 12;

    /** Two addresses and a type before what the MTU counts (IEEE 802.3). */
    public static final int ETHERNET_HEADER = 14;

    private VirtioNet() {}
}
