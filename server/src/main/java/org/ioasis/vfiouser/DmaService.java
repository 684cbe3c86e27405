// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.util.function.BooleanSupplier;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.sys.Errno;

/**
 * Does what a device server asks of memory: each of its messages is translated, checked and copied
 * here, and the server sees nothing but the bytes that it may. Guarded sections last over messages
 * that came together, so that an UNMAP is answered after copies and never between. Loop thread.
 */
final class DmaService {
    /** What one guarded section copies at most, and how many messages it lasts. */
    static final long SECTION_BYTES = 256 << 10;

    static final int SECTION_ACCESSES = 64;

    private final Dma dma;
    private final BooleanSupplier isMaster;
    private boolean isOpen;
    private int accesses;
    private long bytes;
    private final Count reads = new Count();
    private final Count readBytes = new Count();
    private final Count writes = new Count();
    private final Count writtenBytes = new Count();
    private final Count refused = new Count();
    private final Count malformed = new Count();

    /**
     * @param isMaster whether the function's driver lets it reach memory at all
     */
    DmaService(Dma dma, BooleanSupplier isMaster) {
        this.dma = dma;
        this.isMaster = isMaster;
    }

    /**
     * Does what the message at {@code at} asks, and puts the answer to {@code out}, which has room
     * for the largest.
     *
     * @param isLast there is no later: memory that is absent is refused
     * @return false if memory is absent: nothing has been done, and it is to be asked again
     */
    boolean serve(Header header, MemorySegment in, int at, DeviceStream out, boolean isLast) {
        boolean isRead = header.command() == VFIO_USER_DMA_READ;
        long payload = at + (long) HEADER_SIZE;
        long length = header.size() - HEADER_SIZE;
        long count = length < DMA_ACCESS_DATA ? 0 : in.get(Codec.U64, payload + DMA_ACCESS_COUNT);
        boolean isWhole =
                count > 0
                        && count <= DeviceStream.DATA_MAX
                        && length == DMA_ACCESS_DATA + (isRead ? 0 : count);
        if (!isWhole) {
            malformed.increment();
            answer(header, out, 0, Errno.EINVAL);
            return true;
        }
        long address = in.get(Codec.U64, payload + DMA_ACCESS_ADDRESS);
        if (!isMaster.getAsBoolean()) {
            // PCI 3.0, 6.2.2: without COMMAND.MASTER a function makes no access.
            refused.increment();
            answer(header, out, 0, Errno.EACCES);
            return true;
        }
        long data = out.end() + (long) HEADER_SIZE + DMA_ACCESS_DATA;
        enter();
        Outcome outcome =
                isRead
                        ? dma.read(address, out.output(), data, count)
                        : dma.write(address, in, payload + DMA_ACCESS_DATA, count);
        if (outcome == Outcome.ABSENT && !isLast) {
            leave();
            return false;
        }
        if (outcome != Outcome.OK) {
            // A section reports its first fault: the next is for the next section.
            leave();
            refused.increment();
            answer(header, out, 0, outcome == Outcome.REFUSED ? Errno.EACCES : Errno.EFAULT);
            return true;
        }
        (isRead ? reads : writes).increment();
        (isRead ? readBytes : writtenBytes).add(count);
        out.output().set(Codec.U64, out.end() + (long) HEADER_SIZE, address);
        out.output().set(Codec.U64, out.end() + HEADER_SIZE + (long) DMA_ACCESS_COUNT, count);
        answer(header, out, DMA_ACCESS_DATA + (isRead ? (int) count : 0), 0);
        accesses++;
        bytes += count;
        if (accesses == SECTION_ACCESSES || bytes >= SECTION_BYTES) {
            leave();
        }
        return true;
    }

    /** A command that is not for us. */
    void refuse(Header header, DeviceStream out) {
        malformed.increment();
        answer(header, out, 0, Errno.ENOTSUP);
    }

    private static void answer(Header header, DeviceStream out, int payload, int error) {
        if (header.wantsReply()) {
            int size = HEADER_SIZE + payload;
            out.put(Codec.reply(out.output(), out.end(), header, size, error));
        }
    }

    private void enter() {
        if (!isOpen) {
            dma.enter();
            isOpen = true;
            accesses = 0;
            bytes = 0;
        }
    }

    /**
     * Closes the section, if one is open: before a call of the system, and before anybody else's
     * work.
     */
    void leave() {
        if (isOpen) {
            isOpen = false;
            dma.leave();
        }
    }

    DmaCounts counts() {
        return new DmaCounts(
                reads.read(),
                readBytes.read(),
                writes.read(),
                writtenBytes.read(),
                refused.read(),
                malformed.read());
    }
}
