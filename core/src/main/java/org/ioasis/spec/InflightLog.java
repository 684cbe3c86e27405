// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * The log of chains that are out (QEMU, docs/interop/vhost-user.rst, "Inflight I/O tracking"): of
 * each queue a region with a head and an entry for each descriptor. All fields are little-endian
 * here, as the hosts are that this runs on. Any thread.
 */
public final class InflightLog {
    // What both formats begin with.
    public static final int VERSION = 8;
    public static final int DESC_NUM = 10;

    /** What a region that somebody uses says; 0: nobody has. */
    public static final int VERSION_1 = 1;

    // QueueRegionSplit.
    public static final int LAST_BATCH_HEAD = 12;
    public static final int SPLIT_USED_IDX = 14;
    public static final int SPLIT_ENTRIES = 16;

    // DescStateSplit.
    public static final int SPLIT_NEXT = 6;
    public static final int SPLIT_ENTRY_SIZE = 16;

    // QueueRegionPacked.
    public static final int FREE_HEAD = 12;
    public static final int OLD_FREE_HEAD = 14;
    public static final int PACKED_USED_IDX = 16;
    public static final int OLD_USED_IDX = 18;
    public static final int USED_WRAP_COUNTER = 20;
    public static final int OLD_USED_WRAP_COUNTER = 21;
    public static final int PACKED_ENTRIES = 32;

    // DescStatePacked.
    public static final int PACKED_NEXT = 2;
    public static final int PACKED_LAST = 4;
    public static final int PACKED_NUM = 6;

    /** Buffer id, flags and length, in the order of the log, and the address. */
    public static final int PACKED_ID = 16;

    public static final int PACKED_FLAGS = 18;
    public static final int PACKED_LEN = 20;
    public static final int PACKED_ADDR = 24;
    public static final int PACKED_ENTRY_SIZE = 32;

    // Of an entry of either format.
    public static final int INFLIGHT = 0;
    public static final int COUNTER = 8;

    /** Not in the document; regions begin at multiples of it, as those of other back ends do. */
    public static final int ALIGN = 64;

    private InflightLog() {}
}
