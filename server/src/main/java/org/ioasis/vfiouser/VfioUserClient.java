// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.pci.RegionAccess;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.spec.Pci;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;

/**
 * A PCI function that a vfio-user server shows, for who has a driver and no VMM: memory from
 * address 0 on that both see, and the function's registers. One message is on its way at a time.
 * The server is believed nothing: sizes are checked, and each answer is waited for so long and no
 * longer. One thread.
 */
public final class VfioUserClient implements VirtioPciTransport.Bus, AutoCloseable {
    private static final String CAPABILITY_TEXT =
            "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":4096,\"pgsizes\":4096}}\0";

    private final ClientCalls calls;
    private final Fd file;
    private final Mapping memory;
    private final MemorySegment message;

    /**
     * Connects, shows the server memory, resets the function and lets it reach memory.
     *
     * @param memoryBytes of memory, whole pages
     * @param waitMillis how long an answer may take
     */
    public VfioUserClient(Path server, long memoryBytes, int waitMillis) throws IOException {
        calls = new ClientCalls(server, waitMillis);
        message = calls.message();
        try {
            file = Memfd.create("ioasis-driver", memoryBytes);
            memory = Mapping.map(file, 0, memoryBytes, true);
        } catch (IOException broken) {
            calls.close();
            throw broken;
        }
        try {
            begin(memoryBytes);
        } catch (IOException refused) {
            close();
            throw refused;
        }
    }

    private void begin(long memoryBytes) throws IOException {
        ServerLimits _ = calls.version(CAPABILITY_TEXT);
        message.set(Codec.U32, HEADER_SIZE + DMA_MAP_ARGSZ, DMA_MAP_SIZE);
        message.set(
                Codec.U32,
                HEADER_SIZE + DMA_MAP_FLAGS,
                VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
        message.set(Codec.U64, HEADER_SIZE + DMA_MAP_OFFSET, 0);
        message.set(Codec.U64, HEADER_SIZE + DMA_MAP_ADDRESS, 0);
        message.set(Codec.U64, HEADER_SIZE + DMA_MAP_BYTES, memoryBytes);
        int _ = calls.call(VFIO_USER_DMA_MAP, DMA_MAP_SIZE, 0, List.of(file));
        int _ = calls.call(VFIO_USER_DEVICE_RESET, 0, 0, List.of());
        access(
                VFIO_USER_REGION_WRITE,
                VFIO_PCI_CONFIG_REGION_INDEX,
                Pci.COMMAND,
                2,
                Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER);
    }

    /** Memory from address 0 on, which the function reaches. */
    public MemorySegment memory() {
        return memory.segment();
    }

    @Override
    public int config(int offset, int size) throws IOException {
        return (int) access(VFIO_USER_REGION_READ, VFIO_PCI_CONFIG_REGION_INDEX, offset, size, 0);
    }

    @Override
    public long read(int bar, long offset, int size) throws IOException {
        return access(VFIO_USER_REGION_READ, bar, offset, size, 0);
    }

    @Override
    public void write(int bar, long offset, int size, long value) throws IOException {
        access(VFIO_USER_REGION_WRITE, bar, offset, size, value);
    }

    /** Returns what was read, or 0. */
    private long access(int command, int region, long offset, int size, long value)
            throws IOException {
        boolean isWrite = command == VFIO_USER_REGION_WRITE;
        message.set(Codec.U64, HEADER_SIZE + REGION_ACCESS_OFFSET, offset);
        message.set(Codec.U32, HEADER_SIZE + REGION_ACCESS_REGION, region);
        message.set(Codec.U32, HEADER_SIZE + REGION_ACCESS_COUNT, size);
        // Of which only the first bytes are sent.
        message.set(Codec.U64, HEADER_SIZE + REGION_ACCESS_DATA, value);
        int _ =
                calls.call(
                        command,
                        REGION_ACCESS_DATA + (isWrite ? size : 0),
                        REGION_ACCESS_DATA + (isWrite ? 0 : size),
                        List.of());
        return isWrite
                ? 0
                : RegionAccess.register(message, HEADER_SIZE + (long) REGION_ACCESS_DATA, size);
    }

    @Override
    public void close() {
        calls.close();
        memory.close();
        file.close();
    }
}
