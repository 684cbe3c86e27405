// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;

/**
 * An array of entries of a driver's own kind in the memory of the caller of an ioctl. How many were
 * done is said on failure too. Valid during the call, under its context's lock.
 */
public final class UserArray {
    private final Caller caller;
    private final int type;
    private final long address;
    private final int entryLength;
    private final int count;
    private int done;

    UserArray(Caller caller, int type, long address, int entryLength, int count) {
        this.caller = caller;
        this.type = type;
        this.address = address;
        this.entryLength = entryLength;
        this.count = count;
    }

    public int type() {
        return type;
    }

    public int entryLength() {
        return entryLength;
    }

    public int count() {
        return count;
    }

    /** Entries done so far. */
    public int done() {
        return done;
    }

    /** One more is done. */
    public void advance() {
        done++;
    }

    /** Reads an entry once; as {@link UserData#read}. */
    public MemorySegment read(int index, int minimum, int size) throws IommufdException {
        long at = address + (long) index * Integer.toUnsignedLong(entryLength);
        if (Integer.toUnsignedLong(entryLength) < minimum) {
            throw new IommufdException(
                    Errno.EINVAL, "entries are shorter than %d bytes".formatted(minimum));
        }
        return UserData.copy(caller, at, entryLength, minimum, size);
    }
}
