// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spec.VfioType1.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.Owner;
import org.jspecify.annotations.Nullable;

/**
 * The bytes of the calls of a container of type 1: reads the structure once, calls the typed
 * method, writes back. No rule of the container stands here but those of the structures. Under its
 * container's lock.
 */
final class Type1Calls {
    private static final int UNMAP_FLAGS_KNOWN =
            UNMAP_FLAG_GET_DIRTY_BITMAP | UNMAP_FLAG_ALL | UNMAP_FLAG_VADDR;

    private Type1Calls() {}

    /**
     * @param container null: one that does not exist yet
     */
    static long extension(@Nullable Type1 container, int number) {
        return switch (number) {
            case TYPE1_IOMMU, TYPE1V2_IOMMU, UNMAP_ALL -> 1;
            case UPDATE_VADDR -> container != null && container.updatesAddresses() ? 1 : 0;
            case DMA_CC_IOMMU -> container != null && container.isCoherent() ? 1 : 0;
            default -> 0;
        };
    }

    static long ioctl(Type1 container, Caller caller, int command, long argument)
            throws IommufdException {
        return switch (command) {
            case IOMMU_GET_INFO -> info(container, caller, argument);
            case IOMMU_MAP_DMA -> map(container, caller, argument);
            case IOMMU_UNMAP_DMA -> unmap(container, caller, argument);
            case IOMMU_DIRTY_PAGES -> dirty(container, caller, argument);
            default ->
                    throw new IommufdException(
                            Errno.ENOTTY, "command 0x%x is not of type 1".formatted(command));
        };
    }

    private static IommufdException invalid(String rule) {
        return new IommufdException(Errno.EINVAL, rule);
    }

    private static MemorySegment read(Caller caller, long address, int length)
            throws IommufdException {
        caller.failures().allocate();
        MemorySegment copy = Arena.ofAuto().allocate(length, 8);
        if (caller.read(address, copy, 0, length) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        return copy;
    }

    private static void write(Caller caller, long address, MemorySegment from)
            throws IommufdException {
        if (caller.write(address, from, 0, from.byteSize()) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
    }

    /** The size that the caller gives. */
    private static long size(MemorySegment structure, int minimum, int flags)
            throws IommufdException {
        long given = Integer.toUnsignedLong(structure.get(JAVA_INT, 0));
        if (given < minimum || (structure.get(JAVA_INT, 4) & ~flags) != 0) {
            throw invalid("argsz is too small or a flag unknown");
        }
        return given;
    }

    private static long info(Type1 container, Caller caller, long address) throws IommufdException {
        MemorySegment given = read(caller, address, INFO_MIN);
        long room = Integer.toUnsignedLong(given.get(JAVA_INT, INFO_ARGSZ));
        if (room < INFO_MIN) {
            throw invalid("argsz is too small");
        }
        MemorySegment answer = container.info().layout(room);
        if (Integer.toUnsignedLong(answer.get(JAVA_INT, INFO_ARGSZ)) <= room) {
            answer.set(JAVA_INT, INFO_ARGSZ, (int) room);
        }
        write(caller, address, answer);
        return 0;
    }

    private static long map(Type1 container, Caller caller, long address) throws IommufdException {
        MemorySegment map = read(caller, address, MAP_LENGTH);
        size(map, MAP_LENGTH, MAP_FLAG_READ | MAP_FLAG_WRITE | MAP_FLAG_VADDR);
        container.map(
                new Owner(caller.memory(), caller.mayLock()),
                map.get(JAVA_LONG, MAP_VADDR),
                map.get(JAVA_LONG, MAP_IOVA),
                map.get(JAVA_LONG, MAP_SIZE),
                map.get(JAVA_INT, MAP_FLAGS));
        return 0;
    }

    private static long unmap(Type1 container, Caller caller, long address)
            throws IommufdException {
        MemorySegment unmap = read(caller, address, UNMAP_LENGTH);
        long size = size(unmap, UNMAP_LENGTH, UNMAP_FLAGS_KNOWN);
        int flags = unmap.get(JAVA_INT, UNMAP_FLAGS);
        long iova = unmap.get(JAVA_LONG, UNMAP_IOVA);
        long length = unmap.get(JAVA_LONG, UNMAP_SIZE);
        boolean takesAll = (flags & UNMAP_FLAG_ALL) != 0;
        boolean invalidates = (flags & UNMAP_FLAG_VADDR) != 0;
        Bitmap bitmap = null;
        if ((flags & UNMAP_FLAG_GET_DIRTY_BITMAP) != 0) {
            if (takesAll || invalidates || size < UNMAP_LENGTH + BITMAP_LENGTH) {
                throw invalid("a bitmap is told of a range that is unmapped, and needs its room");
            }
            MemorySegment wanted = read(caller, address + UNMAP_LENGTH, BITMAP_LENGTH);
            bitmap = bitmap(container, caller, wanted, 0, length);
        }
        if (takesAll && (iova != 0 || length != 0)) {
            throw invalid("who unmaps all names no range");
        }
        long bytes;
        if (takesAll) {
            bytes = invalidates ? container.invalidateAll() : container.unmapAll();
        } else {
            bytes =
                    invalidates
                            ? container.invalidate(iova, length)
                            : container.unmap(iova, length, bitmap);
        }
        unmap.set(JAVA_LONG, UNMAP_SIZE, bytes);
        write(caller, address, unmap);
        return 0;
    }

    /** A bitmap in the caller's memory, with room for a range. */
    private static Bitmap bitmap(
            Type1 container, Caller caller, MemorySegment wanted, int at, long length)
            throws IommufdException {
        long pageSize = wanted.get(JAVA_LONG, at + BITMAP_PGSIZE);
        long bytes = wanted.get(JAVA_LONG, at + BITMAP_SIZE);
        if (pageSize != container.pageSize()) {
            throw invalid("pages are told of in the smallest size");
        }
        long pages = Long.divideUnsigned(length, pageSize);
        long needed = (pages + Long.SIZE - 1) / Long.SIZE * Long.BYTES;
        if (pages == 0
                || pages > DirtyPages.BITS_MAX
                || Long.compareUnsigned(bytes, needed) < 0
                || Long.compareUnsigned(bytes, DirtyPages.BITS_MAX / Byte.SIZE) > 0) {
            throw invalid("the bitmap has no bit for each page, or is longer than any");
        }
        return new UserBitmap(caller, wanted.get(JAVA_LONG, at + BITMAP_DATA));
    }

    private static long dirty(Type1 container, Caller caller, long address)
            throws IommufdException {
        if (!container.isVersion2()) {
            throw new IommufdException(Errno.EACCES, "version 1 has no such call");
        }
        MemorySegment head = read(caller, address, DIRTY_MIN);
        int known = DIRTY_FLAG_START | DIRTY_FLAG_STOP | DIRTY_FLAG_GET_BITMAP;
        long size = size(head, DIRTY_MIN, known);
        switch (head.get(JAVA_INT, DIRTY_FLAGS)) {
            case DIRTY_FLAG_START -> container.startDirty();
            case DIRTY_FLAG_STOP -> container.stopDirty();
            case DIRTY_FLAG_GET_BITMAP -> {
                if (size < DIRTY_LENGTH) {
                    throw invalid("argsz is too small for a range");
                }
                MemorySegment range = read(caller, address, DIRTY_LENGTH);
                long length = range.get(JAVA_LONG, DIRTY_RANGE_SIZE);
                container.dirty(
                        range.get(JAVA_LONG, DIRTY_RANGE_IOVA),
                        length,
                        bitmap(container, caller, range, DIRTY_RANGE_BITMAP, length));
            }
            default -> throw invalid("one thing at a time");
        }
        return 0;
    }

    /** A bitmap where the caller has it. */
    private static final class UserBitmap implements Bitmap {
        private final Caller caller;
        private final long address;

        UserBitmap(Caller caller, long address) {
            this.caller = caller;
            this.address = address;
        }

        @Override
        public long read(long word) throws IommufdException {
            MemorySegment one = MemorySegment.ofArray(new long[1]);
            if (caller.read(address + word * Long.BYTES, one, 0, Long.BYTES) != 0) {
                throw new IommufdException(Errno.EFAULT, "the bitmap cannot be read");
            }
            return one.get(JAVA_LONG, 0);
        }

        @Override
        public void write(long word, long[] from, int count) throws IommufdException {
            MemorySegment words = MemorySegment.ofArray(from);
            long bytes = (long) count * Long.BYTES;
            if (caller.write(address + word * Long.BYTES, words, 0, bytes) != 0) {
                throw new IommufdException(Errno.EFAULT, "the bitmap cannot be written");
            }
        }
    }
}
