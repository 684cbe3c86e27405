// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * vfio-user, protocol version 0.0 (QEMU, docs/interop/vfio-user.rst; the structures come from
 * linux/vfio.h). Offsets of message fields count from the end of the header. Any thread.
 */
public final class VfioUser {
    // Chapter "Header".
    public static final int HEADER_SIZE = 16;
    public static final int HEADER_ID = 0;
    public static final int HEADER_COMMAND = 2;
    public static final int HEADER_MESSAGE_SIZE = 4;
    public static final int HEADER_FLAGS = 8;
    public static final int HEADER_ERROR = 12;

    public static final int FLAGS_TYPE_MASK = 0xf;
    public static final int FLAGS_TYPE_COMMAND = 0x0;
    public static final int FLAGS_TYPE_REPLY = 0x1;
    public static final int FLAGS_NO_REPLY = 0x10;
    public static final int FLAGS_ERROR = 0x20;

    // Chapter "Commands".
    public static final int VFIO_USER_VERSION = 1;
    public static final int VFIO_USER_DMA_MAP = 2;
    public static final int VFIO_USER_DMA_UNMAP = 3;
    public static final int VFIO_USER_DEVICE_GET_INFO = 4;
    public static final int VFIO_USER_DEVICE_GET_REGION_INFO = 5;
    public static final int VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6;
    public static final int VFIO_USER_DEVICE_GET_IRQ_INFO = 7;
    public static final int VFIO_USER_DEVICE_SET_IRQS = 8;
    public static final int VFIO_USER_REGION_READ = 9;
    public static final int VFIO_USER_REGION_WRITE = 10;
    public static final int VFIO_USER_DMA_READ = 11;
    public static final int VFIO_USER_DMA_WRITE = 12;
    public static final int VFIO_USER_DEVICE_RESET = 13;
    public static final int VFIO_USER_REGION_WRITE_MULTI = 15;
    public static final int VFIO_USER_DEVICE_FEATURE = 16;
    public static final int VFIO_USER_MIG_DATA_READ = 17;
    public static final int VFIO_USER_MIG_DATA_WRITE = 18;

    // VFIO_USER_VERSION.
    public static final int VERSION_MAJOR = 0;
    public static final int VERSION_MINOR = 0;
    public static final int VERSION_DATA = 4;
    public static final String CAPABILITIES = "capabilities";
    public static final String MAX_MSG_FDS = "max_msg_fds";
    public static final String MAX_DATA_XFER_SIZE = "max_data_xfer_size";
    public static final String MAX_DMA_MAPS = "max_dma_maps";
    public static final String PGSIZES = "pgsizes";
    public static final String WRITE_MULTIPLE = "write_multiple";
    public static final String TWIN_SOCKET = "twin_socket";
    public static final String TWIN_SOCKET_SUPPORTED = "supported";
    public static final String TWIN_SOCKET_FD_INDEX = "fd_index";
    public static final int MAX_MSG_FDS_DEFAULT = 1;
    public static final int MAX_DATA_XFER_SIZE_DEFAULT = 1_048_576;
    public static final int MAX_DMA_MAPS_DEFAULT = 65_535;

    // VFIO_USER_DMA_MAP.
    public static final int DMA_MAP_ARGSZ = 0;
    public static final int DMA_MAP_FLAGS = 4;
    public static final int DMA_MAP_OFFSET = 8;
    public static final int DMA_MAP_ADDRESS = 16;
    public static final int DMA_MAP_BYTES = 24;
    public static final int DMA_MAP_SIZE = 32;
    public static final int VFIO_DMA_MAP_FLAG_READ = 1;
    public static final int VFIO_DMA_MAP_FLAG_WRITE = 2;

    // VFIO_USER_DMA_UNMAP.
    public static final int DMA_UNMAP_ARGSZ = 0;
    public static final int DMA_UNMAP_FLAGS = 4;
    public static final int DMA_UNMAP_ADDRESS = 8;
    public static final int DMA_UNMAP_BYTES = 16;
    public static final int DMA_UNMAP_SIZE = 24;

    /**
     * Not in the document; QEMU's client sends it, with address and size 0, to unmap everything.
     */
    public static final int VFIO_DMA_UNMAP_FLAG_ALL = 2;

    // VFIO_USER_DEVICE_GET_INFO.
    public static final int DEVICE_INFO_ARGSZ = 0;
    public static final int DEVICE_INFO_FLAGS = 4;
    public static final int DEVICE_INFO_NUM_REGIONS = 8;
    public static final int DEVICE_INFO_NUM_IRQS = 12;
    public static final int DEVICE_INFO_SIZE = 16;
    public static final int VFIO_DEVICE_FLAGS_RESET = 1;
    public static final int VFIO_DEVICE_FLAGS_PCI = 2;

    // VFIO_USER_DEVICE_GET_REGION_INFO.
    public static final int REGION_INFO_ARGSZ = 0;
    public static final int REGION_INFO_FLAGS = 4;
    public static final int REGION_INFO_INDEX = 8;
    public static final int REGION_INFO_CAP_OFFSET = 12;
    public static final int REGION_INFO_BYTES = 16;
    public static final int REGION_INFO_OFFSET = 24;
    public static final int REGION_INFO_SIZE = 32;
    public static final int VFIO_REGION_INFO_FLAG_READ = 1;
    public static final int VFIO_REGION_INFO_FLAG_WRITE = 2;
    public static final int VFIO_REGION_INFO_FLAG_MMAP = 4;
    public static final int VFIO_PCI_BAR0_REGION_INDEX = 0;
    public static final int VFIO_PCI_BAR5_REGION_INDEX = 5;
    public static final int VFIO_PCI_CONFIG_REGION_INDEX = 7;
    public static final int VFIO_PCI_NUM_REGIONS = 9;

    // VFIO_USER_DEVICE_GET_REGION_IO_FDS.
    public static final int IO_FDS_ARGSZ = 0;
    public static final int IO_FDS_FLAGS = 4;
    public static final int IO_FDS_INDEX = 8;
    public static final int IO_FDS_COUNT = 12;
    public static final int IO_FDS_SIZE = 16;

    // "Sub-Region IO FD info format (ioeventfd)"; the flags are those of KVM_IOEVENTFD.
    public static final int IO_FD_OFFSET = 0;
    public static final int IO_FD_BYTES = 8;
    public static final int IO_FD_FD_INDEX = 16;
    public static final int IO_FD_TYPE = 20;
    public static final int IO_FD_FLAGS = 24;
    public static final int IO_FD_DATAMATCH = 32;
    public static final int IO_FD_SIZE = 40;
    public static final int VFIO_USER_IO_FD_TYPE_IOEVENTFD = 0;
    public static final int KVM_IOEVENTFD_FLAG_DATAMATCH = 1;

    // VFIO_USER_DEVICE_FEATURE.
    public static final int FEATURE_ARGSZ = 0;
    public static final int FEATURE_FLAGS = 4;
    public static final int FEATURE_DATA = 8;
    public static final int VFIO_DEVICE_FEATURE_MASK = 0xffff;
    public static final int VFIO_DEVICE_FEATURE_GET = 1 << 16;
    public static final int VFIO_DEVICE_FEATURE_SET = 1 << 17;
    public static final int VFIO_DEVICE_FEATURE_PROBE = 1 << 18;
    public static final int VFIO_DEVICE_FEATURE_MIGRATION = 1;
    public static final int VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;
    public static final int MIGRATION_FLAGS_SIZE = 8;
    public static final long VFIO_MIGRATION_STOP_COPY = 1;
    public static final long VFIO_MIGRATION_PRE_COPY = 1 << 2;
    public static final int MIG_STATE_SIZE = 8;
    public static final int VFIO_DEVICE_STATE_STOP = 1;
    public static final int VFIO_DEVICE_STATE_RUNNING = 2;
    public static final int VFIO_DEVICE_STATE_STOP_COPY = 3;
    public static final int VFIO_DEVICE_STATE_RESUMING = 4;
    public static final int VFIO_DEVICE_STATE_PRE_COPY = 6;

    /** The last one of the enumeration; two before it are of devices that others reach. */
    public static final int VFIO_DEVICE_STATE_LAST = 7;

    // VFIO_DEVICE_FEATURE_DMA_LOGGING_START and its counterparts; offsets count from the feature's
    // data on.
    public static final int VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
    public static final int VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
    public static final int VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;
    public static final int LOGGING_START_PAGE_SIZE = 0;
    public static final int LOGGING_START_NUM_RANGES = 8;
    public static final int LOGGING_START_RANGES = 16;
    public static final int LOGGING_RANGE_IOVA = 0;
    public static final int LOGGING_RANGE_LENGTH = 8;
    public static final int LOGGING_RANGE_SIZE = 16;
    public static final int LOGGING_REPORT_IOVA = 0;
    public static final int LOGGING_REPORT_LENGTH = 8;
    public static final int LOGGING_REPORT_PAGE_SIZE = 16;
    public static final int LOGGING_REPORT_BITMAP = 24;

    // VFIO_USER_MIG_DATA_READ and VFIO_USER_MIG_DATA_WRITE.
    public static final int MIG_DATA_ARGSZ = 0;
    public static final int MIG_DATA_BYTES = 4;
    public static final int MIG_DATA_DATA = 8;

    // VFIO_USER_DEVICE_GET_IRQ_INFO.
    public static final int IRQ_INFO_ARGSZ = 0;
    public static final int IRQ_INFO_FLAGS = 4;
    public static final int IRQ_INFO_INDEX = 8;
    public static final int IRQ_INFO_COUNT = 12;
    public static final int IRQ_INFO_SIZE = 16;
    public static final int VFIO_IRQ_INFO_EVENTFD = 1;
    public static final int VFIO_IRQ_INFO_MASKABLE = 2;
    public static final int VFIO_IRQ_INFO_AUTOMASKED = 4;
    public static final int VFIO_PCI_INTX_IRQ_INDEX = 0;
    public static final int VFIO_PCI_MSI_IRQ_INDEX = 1;
    public static final int VFIO_PCI_MSIX_IRQ_INDEX = 2;
    public static final int VFIO_PCI_NUM_IRQS = 5;

    // VFIO_USER_DEVICE_SET_IRQS.
    public static final int IRQ_SET_ARGSZ = 0;
    public static final int IRQ_SET_FLAGS = 4;
    public static final int IRQ_SET_INDEX = 8;
    public static final int IRQ_SET_START = 12;
    public static final int IRQ_SET_COUNT = 16;
    public static final int IRQ_SET_DATA = 20;
    public static final int VFIO_IRQ_SET_DATA_NONE = 1;
    public static final int VFIO_IRQ_SET_DATA_BOOL = 2;
    public static final int VFIO_IRQ_SET_DATA_EVENTFD = 4;
    public static final int VFIO_IRQ_SET_DATA_TYPE_MASK = 7;
    public static final int VFIO_IRQ_SET_ACTION_MASK = 0x08;
    public static final int VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
    public static final int VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;

    // VFIO_USER_REGION_READ and VFIO_USER_REGION_WRITE.
    public static final int REGION_ACCESS_OFFSET = 0;
    public static final int REGION_ACCESS_REGION = 8;
    public static final int REGION_ACCESS_COUNT = 12;
    public static final int REGION_ACCESS_DATA = 16;

    // VFIO_USER_REGION_WRITE_MULTI: each write is a region access with its data behind it.
    public static final int WRITE_MULTI_COUNT = 0;
    public static final int WRITE_MULTI_WRITES = 8;
    public static final int WRITE_MULTI_DATA_MAX = 8;
    public static final int WRITE_MULTI_WRITE_SIZE = REGION_ACCESS_DATA + WRITE_MULTI_DATA_MAX;

    // VFIO_USER_DMA_READ and VFIO_USER_DMA_WRITE.
    public static final int DMA_ACCESS_ADDRESS = 0;
    public static final int DMA_ACCESS_COUNT = 8;
    public static final int DMA_ACCESS_DATA = 16;

    private VfioUser() {}
}
