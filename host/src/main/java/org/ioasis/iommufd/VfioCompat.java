// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spec.VfioType1.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.ioasis.spec.Iommufd;
import org.jspecify.annotations.Nullable;

/**
 * A VFIO container of type 1 on an open {@code /dev/iommu}: its calls go to one address space.
 * Under its context's lock.
 */
final class VfioCompat {
    private @Nullable Ioas ioas;

    /** The address space of the container. */
    Ioas ioas() throws IommufdException {
        if (ioas == null) {
            throw new IommufdException(
                    Errno.ENODEV, "the container has no address space: nothing is attached");
        }
        return ioas;
    }

    /** The same, made if there is none yet. */
    Ioas orMake(IommufdContext context) throws IommufdException {
        Ioas known = ioas;
        if (known == null) {
            known = context.allocateIoas();
            ioas = known;
        }
        return known;
    }

    void ioas(Ioas chosen) {
        ioas = chosen;
    }

    void clear() {
        ioas = null;
    }

    void forget(Ioas gone) {
        if (ioas == gone) {
            ioas = null;
        }
    }

    long ioctl(Caller caller, int command, long argument) throws IommufdException {
        return switch (command) {
            case GET_API_VERSION -> API_VERSION;
            case CHECK_EXTENSION -> checkExtension(argument);
            case SET_IOMMU -> setIommu(argument);
            case IOMMU_GET_INFO -> info(caller, argument);
            case IOMMU_MAP_DMA -> map(caller, argument);
            case IOMMU_UNMAP_DMA -> unmap(caller, argument);
            default ->
                    throw new IommufdException(
                            Errno.ENOTTY, "command 0x%x is none of this device".formatted(command));
        };
    }

    private long checkExtension(long type) throws IommufdException {
        if (type == TYPE1_IOMMU || type == TYPE1V2_IOMMU || type == UNMAP_ALL) {
            return 1;
        }
        return type == DMA_CC_IOMMU && ioas().enforcesCoherency() ? 1 : 0;
    }

    /** Version 1 may cut mappings, which takes small leaves. */
    private long setIommu(long type) throws IommufdException {
        if (type != TYPE1_IOMMU && type != TYPE1V2_IOMMU) {
            throw new IommufdException(Errno.EINVAL, "an IOMMU of another type");
        }
        Ioas target = ioas();
        if (type == TYPE1_IOMMU) {
            target.useLargePages(false);
        }
        return 0;
    }

    private static MemorySegment read(Caller caller, long address, int length)
            throws IommufdException {
        MemorySegment copy = Arena.ofAuto().allocate(length, 8);
        if (caller.read(address, copy, 0, length) != 0) {
            throw new IommufdException(Errno.EFAULT, "the structure cannot be read");
        }
        return copy;
    }

    private static void check(MemorySegment structure, int minimum, int flags)
            throws IommufdException {
        if (Integer.compareUnsigned(structure.get(JAVA_INT, 0), minimum) < 0
                || (structure.get(JAVA_INT, 4) & ~flags) != 0) {
            throw new IommufdException(Errno.EINVAL, "argsz is too small or a flag unknown");
        }
    }

    private long map(Caller caller, long address) throws IommufdException {
        MemorySegment map = read(caller, address, MAP_LENGTH);
        check(map, MAP_LENGTH, MAP_FLAG_READ | MAP_FLAG_WRITE);
        int flags = map.get(JAVA_INT, MAP_FLAGS);
        ioas().mapCompat(
                        new Owner(caller.memory(), caller.mayLock()),
                        map.get(JAVA_LONG, MAP_VADDR),
                        map.get(JAVA_LONG, MAP_SIZE),
                        ((flags & MAP_FLAG_READ) != 0 ? Iommufd.MAP_READABLE : 0)
                                | ((flags & MAP_FLAG_WRITE) != 0 ? Iommufd.MAP_WRITEABLE : 0),
                        map.get(JAVA_LONG, MAP_IOVA));
        return 0;
    }

    private long unmap(Caller caller, long address) throws IommufdException {
        MemorySegment unmap = read(caller, address, UNMAP_LENGTH);
        check(unmap, UNMAP_LENGTH, UNMAP_FLAG_ALL);
        IoPageTable space = ioas().space();
        long iova = unmap.get(JAVA_LONG, UNMAP_IOVA);
        long size = unmap.get(JAVA_LONG, UNMAP_SIZE);
        long unmapped;
        if ((unmap.get(JAVA_INT, UNMAP_FLAGS) & UNMAP_FLAG_ALL) != 0) {
            if (iova != 0 || size != 0) {
                throw new IommufdException(Errno.EINVAL, "who unmaps all names no range");
            }
            unmapped = space.unmapAll();
        } else {
            unmapped = unmap(space, iova, size);
        }
        unmap.set(JAVA_LONG, UNMAP_SIZE, unmapped);
        if (caller.write(address, unmap, 0, UNMAP_LENGTH) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
        return 0;
    }

    private static long unmap(IoPageTable space, long iova, long size) throws IommufdException {
        if (size == 0) {
            throw new IommufdException(Errno.EINVAL, "nothing is asked for");
        }
        long last = iova + size - 1;
        if (Long.compareUnsigned(last, iova) < 0) {
            throw new IommufdException(Errno.EOVERFLOW, "the range goes past the last IOVA");
        }
        if (space.isWithoutLargePages()) {
            space.cut(iova, last + 1);
        }
        return space.isEmpty(iova, last) ? 0 : space.unmap(iova, last);
    }

    private long info(Caller caller, long address) throws IommufdException {
        MemorySegment given = read(caller, address, INFO_MIN);
        long room = Integer.toUnsignedLong(given.get(JAVA_INT, INFO_ARGSZ));
        if (room < INFO_MIN) {
            throw new IommufdException(Errno.EINVAL, "argsz is too small");
        }
        Ioas target = ioas();
        Type1Info answer = new Type1Info(target.pageSizes());
        // Mappings are not counted here: as many as memory is there for.
        answer.addAvailable(-1);
        answer.addRanges(target.usable());
        MemorySegment info = answer.layout(room);
        if (caller.write(address, info, 0, info.byteSize()) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
        return 0;
    }
}
