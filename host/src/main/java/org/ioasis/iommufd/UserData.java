// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Data of a driver's own kind in the memory of the caller of an ioctl. Valid during the call, under
 * its context's lock.
 *
 * @param caller whose memory it is in
 * @param type what the caller says it is
 */
public record UserData(Caller caller, int type, long address, int length) {
    /** Most of a structure that is longer than we know and ends with zeros. */
    private static final int LENGTH_MAX = 1 << 16;

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
        return copy(caller, address, length, minimum, size);
    }

    /** Writes our side of it back, as much as the caller has room for. */
    public void write(MemorySegment from) throws IommufdException {
        long room = Math.min(Integer.toUnsignedLong(length), from.byteSize());
        if (caller.write(address, from, 0, room) != 0) {
            throw new IommufdException(Errno.EFAULT, "driver's data cannot be written back");
        }
    }

    static MemorySegment copy(Caller caller, long address, int given, int minimum, int size)
            throws IommufdException {
        long length = Integer.toUnsignedLong(given);
        if (length < minimum) {
            throw new IommufdException(
                    Errno.EINVAL, "data of %d bytes is shorter than %d".formatted(length, minimum));
        }
        MemorySegment copy = Arena.ofAuto().allocate(Math.max(size, 8), 8);
        if (length > size) {
            checkTail(caller, address + size, length - size);
        }
        if (caller.read(address, copy, 0, Math.min(length, size)) != 0) {
            throw new IommufdException(Errno.EFAULT, "data cannot be read");
        }
        return copy.asSlice(0, size);
    }

    /** What we do not know must be zero. */
    private static void checkTail(Caller caller, long address, long length)
            throws IommufdException {
        if (length > LENGTH_MAX) {
            throw new IommufdException(Errno.E2BIG, "data is longer than anything known");
        }
        MemorySegment tail = Arena.ofAuto().allocate(length);
        if (caller.read(address, tail, 0, length) != 0) {
            throw new IommufdException(Errno.EFAULT, "data cannot be read");
        }
        for (long i = 0; i < length; i++) {
            if (tail.get(ValueLayout.JAVA_BYTE, i) != 0) {
                throw new IommufdException(
                        Errno.E2BIG, "what stands behind the known part of data is not zero");
            }
        }
    }
}
