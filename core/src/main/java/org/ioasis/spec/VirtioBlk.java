// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/** Virtio 1.4, 5.2: block device. Feature constants are masks; offsets in bytes. */
public final class VirtioBlk {
    /** Unit of capacity, of {@code sector} and of data lengths, in bytes. 5.2.4. */
    public static final int SECTOR_SIZE = 512;

    public static final long F_SIZE_MAX = 1L << 1;
    public static final long F_SEG_MAX = 1L << 2;
    public static final long F_RO = 1L << 5;
    public static final long F_BLK_SIZE = 1L << 6;
    public static final long F_FLUSH = 1L << 9;
    public static final long F_TOPOLOGY = 1L << 10;
    public static final long F_MQ = 1L << 12;
    public static final long F_DISCARD = 1L << 13;
    public static final long F_WRITE_ZEROES = 1L << 14;

    /** le64, in sectors. 5.2.4. */
    public static final int CONFIG_CAPACITY = 0;

    /** le32, bytes of one descriptor. 5.2.4. */
    public static final int CONFIG_SIZE_MAX = 8;

    /** le32, descriptors of data in a request. 5.2.4. */
    public static final int CONFIG_SEG_MAX = 12;

    /** le32, bytes. 5.2.4. */
    public static final int CONFIG_BLK_SIZE = 20;

    /** u8, log2 of blocks in a physical block. 5.2.4. */
    public static final int CONFIG_PHYSICAL_BLOCK_EXP = 24;

    /** le16, blocks. 5.2.4. */
    public static final int CONFIG_MIN_IO_SIZE = 26;

    /** le32, blocks. 5.2.4. */
    public static final int CONFIG_OPT_IO_SIZE = 28;

    /** le16. 5.2.4. */
    public static final int CONFIG_NUM_QUEUES = 34;

    /** le32, sectors in one segment of a discard. 5.2.4. */
    public static final int CONFIG_MAX_DISCARD_SECTORS = 36;

    /** le32, segments of one discard. 5.2.4. */
    public static final int CONFIG_MAX_DISCARD_SEG = 40;

    /** le32, sectors. 5.2.4. */
    public static final int CONFIG_DISCARD_SECTOR_ALIGNMENT = 44;

    /** le32, sectors in one segment. 5.2.4. */
    public static final int CONFIG_MAX_WRITE_ZEROES_SECTORS = 48;

    /** le32, segments of one request. 5.2.4. */
    public static final int CONFIG_MAX_WRITE_ZEROES_SEG = 52;

    /** u8, 1 if a write of zeroes may give blocks back. 5.2.4. */
    public static final int CONFIG_WRITE_ZEROES_MAY_UNMAP = 56;

    /** Up to and with the fields of discard and write zeroes; the rest is of other features. */
    public static final int CONFIG_SIZE = 60;

    public static final int T_IN = 0;
    public static final int T_OUT = 1;
    public static final int T_FLUSH = 4;
    public static final int T_GET_ID = 8;
    public static final int T_DISCARD = 11;
    public static final int T_WRITE_ZEROES = 13;

    public static final int S_OK = 0;
    public static final int S_IOERR = 1;
    public static final int S_UNSUPP = 2;

    /** Size of type, reserved and sector. 5.2.6. */
    public static final int REQ_HEADER_SIZE = 16;

    public static final int REQ_TYPE = 0;
    public static final int REQ_SECTOR = 8;

    /** Length of the device id string; shorter ones are padded with NUL. 5.2.6. */
    public static final int ID_BYTES = 20;

    /** Size of one segment of a discard or write zeroes request. 5.2.6. */
    public static final int SEGMENT_SIZE = 16;

    /** le64. 5.2.6. */
    public static final int SEGMENT_SECTOR = 0;

    /** le32. 5.2.6. */
    public static final int SEGMENT_NUM_SECTORS = 8;

    /** le32. 5.2.6. */
    public static final int SEGMENT_FLAGS = 12;

    /** The other bits of the flags are reserved. 5.2.6. */
    public static final int SEGMENT_FLAG_UNMAP = 1;

    private VirtioBlk() {}
}
