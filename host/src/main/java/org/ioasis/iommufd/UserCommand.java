// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * One ioctl: its structure as it was read, once, with zeros where the caller's is shorter, and what
 * goes back. Valid during the call.
 */
public final class UserCommand {
    private final Caller caller;
    private final long address;
    private final MemorySegment fields;
    private final long userSize;
    private @Nullable IommufdObject fresh;

    UserCommand(Caller caller, long address, MemorySegment fields, long userSize) {
        this.caller = caller;
        this.address = address;
        this.fields = fields;
        this.userSize = userSize;
    }

    public Caller caller() {
        return caller;
    }

    /** Whose memory it speaks of. */
    public Owner owner() {
        return new Owner(caller.memory(), caller.mayLock());
    }

    public int getInt(int offset) {
        return fields.get(JAVA_INT, offset);
    }

    public long getLong(int offset) {
        return fields.get(JAVA_LONG, offset);
    }

    int getShort(int offset) {
        return Short.toUnsignedInt(fields.get(JAVA_SHORT, offset));
    }

    int getByte(int offset) {
        return fields.get(JAVA_BYTE, offset);
    }

    public void setInt(int offset, int value) {
        fields.set(JAVA_INT, offset, value);
    }

    public void setLong(int offset, long value) {
        fields.set(JAVA_LONG, offset, value);
    }

    void setByte(int offset, int value) {
        fields.set(JAVA_BYTE, offset, (byte) value);
    }

    /** Data of a driver's own; null: the caller gives none. */
    @Nullable UserData data(int type, int lengthAt, int addressAt) {
        return getInt(lengthAt) == 0
                ? null
                : new UserData(caller, type, getLong(addressAt), getInt(lengthAt));
    }

    /** What must be zero until it means something. */
    void requireZero(int... offsets) throws IommufdException {
        for (int offset : offsets) {
            if (getInt(offset) != 0) {
                throw new IommufdException(
                        Errno.EOPNOTSUPP, "field at %d must be zero".formatted(offset));
            }
        }
    }

    /** The object that this call makes: found by others when all of the call has succeeded. */
    <T extends IommufdObject> T made(T object) {
        fresh = object;
        return object;
    }

    @Nullable IommufdObject made() {
        return fresh;
    }

    /** Writes the structure back, as much as the caller has room for. */
    public void respond() throws IommufdException {
        if (caller.write(address, fields, 0, Math.min(userSize, fields.byteSize())) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
    }
}
