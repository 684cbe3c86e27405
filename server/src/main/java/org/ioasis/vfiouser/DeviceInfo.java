// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.spec.Pci;

/**
 * What a device server says of its device, which must stay so from one session to the next.
 * Immutable; any thread.
 *
 * @param canReset it takes VFIO_USER_DEVICE_RESET
 * @param regionSizes of the regions of a PCI device, 0 for those that are not there
 * @param hasPin it interrupts by INTx
 * @param vectors of MSI-X
 */
record DeviceInfo(boolean canReset, List<Long> regionSizes, boolean hasPin, int vectors) {
    DeviceInfo {
        regionSizes = List.copyOf(regionSizes);
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
                interrupts(calls, VFIO_PCI_INTX_IRQ_INDEX, irqs) > 0,
                interrupts(calls, VFIO_PCI_MSIX_IRQ_INDEX, irqs));
    }

    private static int interrupts(ClientCalls calls, int type, int types) throws IOException {
        return Integer.compareUnsigned(type, types) < 0 ? interrupts(calls, type) : 0;
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

    private static int interrupts(ClientCalls calls, int type) throws IOException {
        MemorySegment message = calls.message();
        message.asSlice(HEADER_SIZE, IRQ_INFO_SIZE).fill((byte) 0);
        message.set(Codec.U32, HEADER_SIZE + IRQ_INFO_ARGSZ, IRQ_INFO_SIZE);
        message.set(Codec.U32, HEADER_SIZE + IRQ_INFO_INDEX, type);
        ask(calls, VFIO_USER_DEVICE_GET_IRQ_INFO, IRQ_INFO_SIZE);
        int count = message.get(Codec.U32, HEADER_SIZE + IRQ_INFO_COUNT);
        if (count < 0 || count > Pci.MSIX_VECTORS_MAX) {
            throw new IOException(
                    "the device has %d vectors".formatted(Integer.toUnsignedLong(count)));
        }
        return count;
    }

    private static void ask(ClientCalls calls, int command, int size) throws IOException {
        int _ = calls.call(command, size, size, List.of());
    }
}
