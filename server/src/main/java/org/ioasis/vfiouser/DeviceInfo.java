// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.pci.Doorbell;
import org.ioasis.spec.Pci;

/**
 * What a device server says of its device, which must stay so from one session to the next.
 * Immutable; any thread.
 *
 * @param canReset it takes VFIO_USER_DEVICE_RESET
 * @param regionSizes of the regions of a PCI device, 0 for those that are not there
 * @param hasPin it interrupts by INTx
 * @param messages vectors of MSI
 * @param vectors of MSI-X
 * @param migrationFlags which states it has when it moves; 0: it cannot
 * @param doorbells writes to its BARs that can come as signals
 */
record DeviceInfo(
        boolean canReset,
        List<Long> regionSizes,
        boolean hasPin,
        int messages,
        int vectors,
        long migrationFlags,
        List<Doorbell> doorbells) {
    DeviceInfo {
        regionSizes = List.copyOf(regionSizes);
        doorbells = List.copyOf(doorbells);
    }

    /** Asks a server that has agreed on a version. */
    static DeviceInfo of(ClientCalls calls) throws IOException {
        MemorySegment message = calls.message();
        message.asSlice(HEADER_SIZE, DEVICE_INFO_SIZE).fill((byte) 0);
        message.set(Codec.U32, HEADER_SIZE + DEVICE_INFO_ARGSZ, DEVICE_INFO_SIZE);
        ask(calls, VFIO_USER_DEVICE_GET_INFO, DEVICE_INFO_SIZE);
        int flags = message.get(Codec.U32, HEADER_SIZE + DEVICE_INFO_FLAGS);
        int regions = message.get(Codec.U32, HEADER_SIZE + DEVICE_INFO_NUM_REGIONS);
        int irqs = message.get(Codec.U32, HEADER_SIZE + DEVICE_INFO_NUM_IRQS);
        if ((flags & VFIO_DEVICE_FLAGS_PCI) == 0) {
            throw new IOException("the device is none of PCI: flags 0x%x".formatted(flags));
        }
        List<Long> sizes = new ArrayList<>();
        for (int region = 0; region < VFIO_PCI_NUM_REGIONS; region++) {
            // Unsigned: more than there can be is as good as all that there can be.
            boolean isThere = Integer.compareUnsigned(region, regions) < 0;
            sizes.add(isThere ? regionSize(calls, region) : 0L);
        }
        if (sizes.get(VFIO_PCI_CONFIG_REGION_INDEX) < Pci.CONFIG_SPACE_SIZE) {
            throw new IOException(
                    "the device has %d bytes of configuration space"
                            .formatted(sizes.get(VFIO_PCI_CONFIG_REGION_INDEX)));
        }
        return new DeviceInfo(
                (flags & VFIO_DEVICE_FLAGS_RESET) != 0,
                sizes,
                interrupts(calls, VFIO_PCI_INTX_IRQ_INDEX, irqs, Pci.MSIX_VECTORS_MAX) > 0,
                interrupts(calls, VFIO_PCI_MSI_IRQ_INDEX, irqs, Pci.MSI_VECTORS_MAX),
                interrupts(calls, VFIO_PCI_MSIX_IRQ_INDEX, irqs, Pci.MSIX_VECTORS_MAX),
                migrationFlags(calls),
                doorbells(calls, sizes));
    }

    /** Of a server that refuses to be asked, or has not even one that all have: none. */
    private static long migrationFlags(ClientCalls calls) throws IOException {
        MemorySegment message = calls.message();
        int answer = FEATURE_DATA + MIGRATION_FLAGS_SIZE;
        message.set(Codec.U32, HEADER_SIZE + FEATURE_ARGSZ, answer);
        message.set(
                Codec.U32,
                HEADER_SIZE + FEATURE_FLAGS,
                VFIO_DEVICE_FEATURE_MIGRATION | VFIO_DEVICE_FEATURE_GET);
        try {
            int _ = calls.call(VFIO_USER_DEVICE_FEATURE, FEATURE_DATA, answer, List.of());
        } catch (ClientCalls.RefusedException e) {
            return 0;
        }
        long flags = message.get(Codec.U64, HEADER_SIZE + FEATURE_DATA);
        return (flags & VFIO_MIGRATION_STOP_COPY) == 0
                ? 0
                : flags & (VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY);
    }

    /**
     * Those that say what is written: the write goes to the server in a message, and its own
     * descriptor is not kept. A server that refuses to be asked of a BAR has none there, and one
     * with so many that their descriptors need not all come with one answer is not asked for them.
     */
    private static List<Doorbell> doorbells(ClientCalls calls, List<Long> sizes)
            throws IOException {
        List<Doorbell> all = new ArrayList<>();
        for (int region = VFIO_PCI_BAR0_REGION_INDEX;
                region <= VFIO_PCI_BAR5_REGION_INDEX;
                region++) {
            if (sizes.get(region) == 0) {
                continue;
            }
            try {
                int _ = askForDoorbells(calls, region, IO_FDS_SIZE);
                int count = calls.message().get(Codec.U32, HEADER_SIZE + IO_FDS_COUNT);
                if (count == 0 || Integer.compareUnsigned(count, Codec.FDS_MAX) > 0) {
                    continue;
                }
                int room = ClientCalls.MESSAGE_MAX - HEADER_SIZE;
                int length = askForDoorbells(calls, region, room);
                addDoorbells(calls.message(), length, region, sizes.get(region), all);
            } catch (ClientCalls.RefusedException e) {
                // It has none there.
            }
        }
        return all;
    }

    private static int askForDoorbells(ClientCalls calls, int region, int room) throws IOException {
        MemorySegment message = calls.message();
        message.asSlice(HEADER_SIZE, IO_FDS_SIZE).fill((byte) 0);
        message.set(Codec.U32, HEADER_SIZE + IO_FDS_ARGSZ, room);
        message.set(Codec.U32, HEADER_SIZE + IO_FDS_INDEX, region);
        return calls.call(VFIO_USER_DEVICE_GET_REGION_IO_FDS, IO_FDS_SIZE, IO_FDS_SIZE, List.of());
    }

    private static void addDoorbells(
            MemorySegment message, int length, int region, long size, List<Doorbell> all)
            throws IOException {
        int count = message.get(Codec.U32, HEADER_SIZE + IO_FDS_COUNT);
        int room = length - IO_FDS_SIZE;
        if (message.get(Codec.U32, HEADER_SIZE + IO_FDS_INDEX) != region
                || count < 0
                || (long) count * IO_FD_SIZE > room) {
            throw new IOException(
                    "%d doorbells in %d bytes".formatted(Integer.toUnsignedLong(count), length));
        }
        for (int i = 0; i < Math.min(count, Codec.FDS_MAX); i++) {
            // Entries may become longer.
            long at = HEADER_SIZE + IO_FDS_SIZE + (long) i * (room / count);
            long offset = message.get(Codec.U64, at + IO_FD_OFFSET);
            long bytes = message.get(Codec.U64, at + IO_FD_BYTES);
            boolean isMeant =
                    message.get(Codec.U32, at + IO_FD_TYPE) == VFIO_USER_IO_FD_TYPE_IOEVENTFD
                            && message.get(Codec.U32, at + IO_FD_FLAGS)
                                    == KVM_IOEVENTFD_FLAG_DATAMATCH
                            && (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8);
            if (!isMeant) {
                continue;
            }
            if (offset < 0 || offset > size - bytes) {
                throw new IOException(
                        "a doorbell at 0x%x of region %d with 0x%x bytes"
                                .formatted(offset, region, size));
            }
            long value = message.get(Codec.U64, at + IO_FD_DATAMATCH);
            all.add(new Doorbell(region, offset, (int) bytes, value));
        }
    }

    private static int interrupts(ClientCalls calls, int type, int types, int most)
            throws IOException {
        return Integer.compareUnsigned(type, types) < 0 ? interrupts(calls, type, most) : 0;
    }

    private static long regionSize(ClientCalls calls, int region) throws IOException {
        MemorySegment message = calls.message();
        message.asSlice(HEADER_SIZE, REGION_INFO_SIZE).fill((byte) 0);
        message.set(Codec.U32, HEADER_SIZE + REGION_INFO_ARGSZ, REGION_INFO_SIZE);
        message.set(Codec.U32, HEADER_SIZE + REGION_INFO_INDEX, region);
        ask(calls, VFIO_USER_DEVICE_GET_REGION_INFO, REGION_INFO_SIZE);
        long size = message.get(Codec.U64, HEADER_SIZE + REGION_INFO_BYTES);
        if (size < 0) {
            throw new IOException("region %d has 0x%x bytes".formatted(region, size));
        }
        return size;
    }

    private static int interrupts(ClientCalls calls, int type, int most) throws IOException {
        MemorySegment message = calls.message();
        message.asSlice(HEADER_SIZE, IRQ_INFO_SIZE).fill((byte) 0);
        message.set(Codec.U32, HEADER_SIZE + IRQ_INFO_ARGSZ, IRQ_INFO_SIZE);
        message.set(Codec.U32, HEADER_SIZE + IRQ_INFO_INDEX, type);
        ask(calls, VFIO_USER_DEVICE_GET_IRQ_INFO, IRQ_INFO_SIZE);
        int count = message.get(Codec.U32, HEADER_SIZE + IRQ_INFO_COUNT);
        if (count < 0 || count > most) {
            throw new IOException(
                    "the device has %d interrupts of type %d"
                            .formatted(Integer.toUnsignedLong(count), type));
        }
        return count;
    }

    private static void ask(ClientCalls calls, int command, int size) throws IOException {
        int _ = calls.call(command, size, size, List.of());
    }
}
