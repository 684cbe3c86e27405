// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * Data of a driver's own kind, in the memory of the caller of an ioctl or in ours. Valid during the
 * call, under its context's lock.
 */
public final class UserData {
    /** Most of a structure that is longer than we know and ends with zeros. */
    private static final int LENGTH_MAX = 1 << 16;

    private final @Nullable Caller caller;
    private final MemorySegment own;
    private final int type;
    private final long address;
    private final int length;

    private UserData(
            @Nullable Caller caller, MemorySegment own, int type, long address, int length) {
        this.caller = caller;
        this.own = own;
        this.type = type;
        this.address = address;
        this.length = length;
    }

    /**
     * @param caller whose memory it is in
     * @param type what the caller says it is
     */
    static UserData of(Caller caller, int type, long address, int length) {
        return new UserData(caller, MemorySegment.NULL, type, address, length);
    }

    /** Data of an embedder's, who calls methods and no ioctls. */
    public static UserData of(int type, MemorySegment bytes) {
        return new UserData(null, bytes, type, 0, Math.toIntExact(bytes.byteSize()));
    }

    /** What the caller says it is. */
    public int type() {
        return type;
    }

    /**
     * The bytes that a mapping of one of our files at this offset shows: to a program. Whoever
     * calls methods has no mappings, and asks the driver's object for them.
     *
     * @return zeroed; null: the caller's files cannot be mapped, or have as many windows as they
     *     may
     */
    public @Nullable MemorySegment window(OpenFile file, long offset, long bytes) {
        return caller == null
                ? Arena.ofAuto().allocate(bytes, PhysicalMemory.PAGE)
                : caller.window(file, offset, bytes);
    }

    /**
     * Reads it once, zeros where the caller knows less than we do.
     *
     * @param expected the type it must have
     * @param minimum what the caller must give of it
     * @param size what we know of it
     * @throws IommufdException EINVAL: another type, or too short; E2BIG: more than we know, and
     *     not zero; EFAULT
     */
    public MemorySegment read(int expected, int minimum, int size) throws IommufdException {
        if (type != expected) {
            throw new IommufdException(
                    Errno.EINVAL, "data of type 0x%x is not of this driver".formatted(type));
        }
        return copy(minimum, size);
    }

    /** Writes our side of it back, as much as the caller has room for. */
    public void write(MemorySegment from) throws IommufdException {
        long room = Math.min(Integer.toUnsignedLong(length), from.byteSize());
        if (caller == null) {
            MemorySegment.copy(from, 0, own, 0, room);
        } else if (caller.write(address, from, 0, room) != 0) {
            throw new IommufdException(Errno.EFAULT, "driver's data cannot be written back");
        }
    }

    private MemorySegment copy(int minimum, int size) throws IommufdException {
        long given = Integer.toUnsignedLong(length);
        if (given < minimum) {
            throw new IommufdException(
                    Errno.EINVAL, "data of %d bytes is shorter than %d".formatted(given, minimum));
        }
        MemorySegment copy = Arena.ofAuto().allocate(Math.max(size, 8), 8);
        if (given > size) {
            checkTail(size, given - size);
        }
        load(0, copy, Math.min(given, size));
        return copy.asSlice(0, size);
    }

    private void load(long offset, MemorySegment to, long bytes) throws IommufdException {
        if (caller == null) {
            MemorySegment.copy(own, offset, to, 0, bytes);
        } else if (caller.read(address + offset, to, 0, bytes) != 0) {
            throw new IommufdException(Errno.EFAULT, "data cannot be read");
        }
    }

    /** What we do not know must be zero. */
    private void checkTail(long offset, long bytes) throws IommufdException {
        if (bytes > LENGTH_MAX) {
            throw new IommufdException(Errno.E2BIG, "data is longer than anything known");
        }
        MemorySegment tail = Arena.ofAuto().allocate(bytes);
        load(offset, tail, bytes);
        for (long i = 0; i < bytes; i++) {
            if (tail.get(ValueLayout.JAVA_BYTE, i) != 0) {
                throw new IommufdException(
                        Errno.E2BIG, "what stands behind the known part of data is not zero");
            }
        }
    }
}
