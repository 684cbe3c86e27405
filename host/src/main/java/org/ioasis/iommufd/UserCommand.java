// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One ioctl: its structure as it was read, once, with zeros where the caller's is shorter, and what
 * goes back. A context has one, for the call that runs; under its lock.
 */
public final class UserCommand {
    /** What is read or written in pieces is so in pieces of this size. */
    static final int PIECE = 4096;

    /** Most bytes of zeros behind a structure; a kernel would look at 4 GiB of them. */
    private static final long TAIL_MAX = 1 << 20;

    /** The largest structure that is known. */
    private static final int SIZE_MAX = 128;

    private final MemorySegment fields = Arena.ofAuto().allocate(SIZE_MAX, 8);
    private @Nullable MemorySegment scratch;
    private @Nullable Caller caller;
    private long address;
    private int size;
    private long userSize;
    private @Nullable IommufdObject fresh;

    UserCommand() {}

    /** A call begins: what it says is the size of its structure. */
    long begin(Caller from, long argument) throws IommufdException {
        caller = from;
        address = argument;
        size = 0;
        fresh = null;
        if (from.read(argument, fields, 0, Integer.BYTES) != 0) {
            throw unreadable();
        }
        return Integer.toUnsignedLong(fields.get(JAVA_INT, 0));
    }

    /** Reads what is known of the structure; what the caller has behind it must be zeros. */
    void read(int known, long given) throws IommufdException {
        Objects.checkIndex(known, SIZE_MAX + 1);
        fields.fill((byte) 0);
        size = known;
        userSize = given;
        if (given > known) {
            checkTail(given - known);
        }
        if (caller().read(address, fields, 0, Math.min(known, given)) != 0) {
            throw unreadable();
        }
    }

    private void checkTail(long length) throws IommufdException {
        MemorySegment piece = scratch(PIECE);
        for (long done = 0; done < length; done += PIECE) {
            long bytes = Math.min(PIECE, length - done);
            if (caller().read(address + size + done, piece, 0, bytes) != 0) {
                throw unreadable();
            }
            for (long i = 0; i < bytes; i++) {
                if (piece.get(JAVA_BYTE, i) != 0 || done + i >= TAIL_MAX) {
                    throw new IommufdException(
                            Errno.E2BIG, "what follows the known structure is not zero");
                }
            }
        }
    }

    private static IommufdException unreadable() {
        return new IommufdException(Errno.EFAULT, "the structure cannot be read");
    }

    /** The call is over. */
    void end() {
        caller = null;
        fresh = null;
    }

    /** Memory for a copy, until the next call of this; what is in it is anything. */
    MemorySegment scratch(long bytes) {
        if (bytes > PIECE) {
            return Arena.ofAuto().allocate(bytes, 8);
        }
        MemorySegment kept = scratch;
        if (kept == null) {
            kept = Arena.ofAuto().allocate(PIECE, 8);
            scratch = kept;
        }
        return kept;
    }

    public Caller caller() {
        Caller calling = caller;
        if (calling == null) {
            throw new IllegalStateException("no call runs");
        }
        return calling;
    }

    /** Whose memory it speaks of. */
    public Owner owner() {
        return new Owner(caller().memory(), caller().mayLock());
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
                : UserData.of(caller(), type, getLong(addressAt), getInt(lengthAt));
    }

    /** What must be zero until it means something. */
    void requireZero(int offset) throws IommufdException {
        if (getInt(offset) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "field at %d must be zero".formatted(offset));
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
        if (caller().write(address, fields, 0, Math.min(userSize, size)) != 0) {
            throw new IommufdException(Errno.EFAULT, "the answer cannot be written");
        }
    }
}
