package org.ioasis.spec;

/** Virtio 1.4, 5.2: block device. Feature constants are masks; offsets in bytes. */
public final class VirtioBlk {
    /** Unit of capacity, of {@code sector} and of data lengths, in bytes. 5.2.4. */
    public static final int SECTOR_SIZE = 512;

    public static final long F_SEG_MAX = 1L << 2;
    public static final long F_RO = 1L << 5;
    public static final long F_BLK_SIZE = 1L << 6;
    public static final long F_FLUSH = 1L << 9;

    /** le64, in sectors. 5.2.4. */
    public static final int CONFIG_CAPACITY = 0;

    /** le32, descriptors of data in a request. 5.2.4. */
    public static final int CONFIG_SEG_MAX = 12;

    /** le32, bytes. 5.2.4. */
    public static final int CONFIG_BLK_SIZE = 20;

    /** Up to and with {@code topology} and {@code num_queues}, which older drivers read. 5.2.4. */
    public static final int CONFIG_SIZE = 36;

    public static final int T_IN = 0;
    public static final int T_OUT = 1;
    public static final int T_FLUSH = 4;
    public static final int T_GET_ID = 8;

    public static final int S_OK = 0;
    public static final int S_IOERR = 1;
    public static final int S_UNSUPP = 2;

    /** Size of type, reserved and sector. 5.2.6. */
    public static final int REQ_HEADER_SIZE = 16;

    public static final int REQ_TYPE = 0;
    public static final int REQ_SECTOR = 8;

    /** Length of the device id string; shorter ones are padded with NUL. 5.2.6. */
    public static final int ID_BYTES = 20;

    private VirtioBlk() {}
}
