// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * vhost-user, protocol version 1 (QEMU, docs/interop/vhost-user.rst). Offsets of payload fields
 * count from the end of the header. Any thread.
 */
public final class VhostUser {
    // "Header".
    public static final int HEADER_SIZE = 12;
    public static final int HEADER_REQUEST = 0;
    public static final int HEADER_FLAGS = 4;
    public static final int HEADER_PAYLOAD_SIZE = 8;

    public static final int FLAGS_VERSION_MASK = 3;
    public static final int FLAGS_VERSION = 1;
    public static final int FLAGS_REPLY = 1 << 2;
    public static final int FLAGS_NEED_REPLY = 1 << 3;

    // "Front-end message types".
    public static final int GET_FEATURES = 1;
    public static final int SET_FEATURES = 2;
    public static final int SET_OWNER = 3;
    public static final int RESET_OWNER = 4;
    public static final int SET_MEM_TABLE = 5;
    public static final int SET_VRING_NUM = 8;
    public static final int SET_VRING_ADDR = 9;
    public static final int SET_VRING_BASE = 10;
    public static final int GET_VRING_BASE = 11;
    public static final int SET_VRING_KICK = 12;
    public static final int SET_VRING_CALL = 13;
    public static final int SET_VRING_ERR = 14;
    public static final int GET_PROTOCOL_FEATURES = 15;
    public static final int SET_PROTOCOL_FEATURES = 16;
    public static final int GET_QUEUE_NUM = 17;
    public static final int SET_VRING_ENABLE = 18;
    public static final int SET_BACKEND_REQ_FD = 21;
    public static final int GET_CONFIG = 24;
    public static final int SET_CONFIG = 25;
    public static final int GET_INFLIGHT_FD = 31;
    public static final int SET_INFLIGHT_FD = 32;
    public static final int RESET_DEVICE = 34;
    public static final int GET_MAX_MEM_SLOTS = 36;
    public static final int ADD_MEM_REG = 37;
    public static final int REM_MEM_REG = 38;
    public static final int SET_STATUS = 39;
    public static final int GET_STATUS = 40;

    // "Back-end message types".
    public static final int BACKEND_CONFIG_CHANGE_MSG = 2;

    /** Bit among the device's features: there are protocol features. Drivers never see it. */
    public static final long F_PROTOCOL_FEATURES = 1L << 30;

    // "Protocol features", as masks.
    public static final long PROTOCOL_F_MQ = 1L;
    public static final long PROTOCOL_F_REPLY_ACK = 1L << 3;
    public static final long PROTOCOL_F_BACKEND_REQ = 1L << 5;
    public static final long PROTOCOL_F_CONFIG = 1L << 9;
    public static final long PROTOCOL_F_INFLIGHT_SHMFD = 1L << 12;
    public static final long PROTOCOL_F_RESET_DEVICE = 1L << 13;
    public static final long PROTOCOL_F_CONFIGURE_MEM_SLOTS = 1L << 15;
    public static final long PROTOCOL_F_STATUS = 1L << 16;

    // "A single 64-bit integer".
    public static final int U64_SIZE = 8;

    /** Of the number that comes with a ring's descriptor: which ring. */
    public static final long VRING_INDEX_MASK = 0xff;

    /** Of the same: no descriptor comes with it. */
    public static final long VRING_NOFD = 1L << 8;

    // "A vring state description".
    public static final int STATE_INDEX = 0;
    public static final int STATE_NUM = 4;
    public static final int STATE_SIZE = 8;

    // "A vring address description".
    public static final int ADDR_INDEX = 0;
    public static final int ADDR_FLAGS = 4;
    public static final int ADDR_DESCRIPTOR = 8;
    public static final int ADDR_USED = 16;
    public static final int ADDR_AVAILABLE = 24;
    public static final int ADDR_SIZE = 40;

    // "Memory regions description" and "Single memory region description".
    public static final int MEMORY_COUNT = 0;
    public static final int MEMORY_REGIONS = 8;
    public static final int MEMORY_REGIONS_MAX = 8;
    public static final int REGION_GUEST_ADDRESS = 0;
    public static final int REGION_BYTES = 8;
    public static final int REGION_USER_ADDRESS = 16;
    public static final int REGION_OFFSET = 24;
    public static final int REGION_SIZE = 32;
    public static final int SINGLE_REGION = 8;

    // "Inflight description".
    public static final int INFLIGHT_MMAP_SIZE = 0;
    public static final int INFLIGHT_MMAP_OFFSET = 8;
    public static final int INFLIGHT_NUM_QUEUES = 16;
    public static final int INFLIGHT_QUEUE_SIZE = 18;
    public static final int INFLIGHT_SIZE = 20;

    /** Not in the document: as C aligns it, which is how others send it. */
    public static final int INFLIGHT_PADDED_SIZE = 24;

    // "Virtio device config space".
    public static final int CONFIG_OFFSET = 0;
    public static final int CONFIG_LENGTH = 4;
    public static final int CONFIG_FLAGS = 8;
    public static final int CONFIG_DATA = 12;

    /** Not in the document; what QEMU has room for. */
    public static final int CONFIG_MAX = 256;

    private VhostUser() {}
}
