// SPDX-License-Identifier: Apache-2.0
package org.ioasis.bench;

import static org.ioasis.spec.Iommufd.MAP_FIXED_IOVA;
import static org.ioasis.spec.Iommufd.MAP_READABLE;
import static org.ioasis.spec.Iommufd.MAP_WRITEABLE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.ioasis.iommufd.Access;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.Owner;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.PageSource;
import org.ioasis.iommufd.ProgramMemory;
import org.jspecify.annotations.Nullable;

/**
 * One open {@code /dev/iommu} and a program with 1 GiB of memory, by the typed face that all others
 * end in. One thread, but for {@link #context}.
 */
final class HostModel {
    /** Where the program's memory begins. */
    static final long VA = 0x7f00_0000_0000L;

    static final long BYTES = 1L << 30;
    private static final int READ_WRITE = MAP_READABLE | MAP_WRITEABLE;
    private static final long MASK = BYTES - 1;

    private final IommufdNode node = IommufdNode.builder().build();
    private final Program program = new Program();
    private final Owner owner = new Owner(program, false);
    private final IommufdContext context = node.openContext();
    private final List<Device> devices = new ArrayList<>();
    private final List<Access> accesses = new ArrayList<>();
    private final List<Integer> tables = new ArrayList<>();

    IommufdContext context() {
        return context;
    }

    /** An address space that so many page tables show. */
    Ioas ioas(int domains) {
        try {
            Ioas ioas = context.allocateIoas();
            for (int i = 0; i < domains; i++) {
                Device device = context.bind(new HostDevice(node));
                devices.add(device);
                tables.add(context.allocateHwpt(device, ioas, 0).id());
            }
            return ioas;
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    Access access(Ioas ioas) {
        try {
            Access access = context.access((_, _) -> {}, false);
            accesses.add(access);
            access.attach(ioas);
            return access;
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Maps at an IOVA; the memory's offset wraps around. */
    void map(Ioas ioas, long offset, long length, long iova) {
        map(ioas, offset, length, READ_WRITE | MAP_FIXED_IOVA, iova);
    }

    /** Maps somewhere. */
    long map(Ioas ioas, long offset, long length) {
        return map(ioas, offset, length, READ_WRITE, 0);
    }

    private long map(Ioas ioas, long offset, long length, int flags, long iova) {
        try {
            return ioas.map(owner, VA + (offset & MASK), length, flags, iova);
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    void copy(Ioas to, Ioas from, long source, long length, long iova) {
        try {
            to.copy(from, source, length, READ_WRITE | MAP_FIXED_IOVA, iova);
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    void unmap(Ioas ioas, long iova, long length) {
        try {
            ioas.unmap(iova, length);
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Drops everything; the pages that were held must be as many as said. */
    void close(long held) {
        if (node.heldPages() != held) {
            throw new IllegalStateException(node.heldPages() + " pages are held");
        }
        try {
            for (int table : tables) {
                context.destroy(table);
            }
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
        accesses.forEach(Access::close);
        devices.forEach(Device::unbind);
        context.release();
    }

    /** Memory that is one piece, told by its offset. */
    private static final class Program implements ProgramMemory, PageSource {
        private final MemorySegment bytes = Arena.ofAuto().allocate(1 << 24, 4096);
        private final LockedMemory locked = new LockedMemory(new AtomicLong(), -1);

        @Override
        public boolean isGone() {
            return false;
        }

        @Override
        public LockedMemory locked() {
            return locked;
        }

        @Override
        public @Nullable PageRun pages(long address, long length, boolean isWrite) {
            return new PageRun(this, address - VA, Math.min(length, VA + BYTES - address));
        }

        @Override
        public int read(long offset, MemorySegment to, long at, long length) {
            MemorySegment.copy(bytes, offset, to, at, length);
            return 0;
        }

        @Override
        public int write(long offset, MemorySegment from, long at, long length) {
            MemorySegment.copy(from, at, bytes, offset, length);
            return 0;
        }
    }
}
