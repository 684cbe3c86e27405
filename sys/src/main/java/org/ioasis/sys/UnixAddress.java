// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.Charset;
import java.nio.file.Path;

/**
 * A path as {@code struct sockaddr_un}: unix(7). Immutable; lives as long as the garbage collector
 * lets it. Any thread.
 */
final class UnixAddress {
    private static final short AF_UNIX = 1;
    private static final int PATH_OFFSET = 2;

    /** sun_path has 108 bytes; the last one is for the zero. */
    private static final int LONGEST_PATH = 107;

    private final Path path;
    private final MemorySegment address;

    private UnixAddress(Path path, MemorySegment address) {
        this.path = path;
        this.address = address;
    }

    /** For {@code call} to that path, ENAMETOOLONG if it does not fit, EINVAL if it is empty. */
    static UnixAddress of(String call, Path path) throws ErrnoException {
        // The bytes that the JDK's own file functions use for this path.
        byte[] name =
                path.toString().getBytes(Charset.forName(System.getProperty("sun.jnu.encoding")));
        if (name.length == 0) {
            // An empty name would be bound somewhere else: in the abstract namespace.
            throw new ErrnoException(call, "to an empty path", Errno.EINVAL);
        }
        if (name.length > LONGEST_PATH) {
            throw new ErrnoException(
                    call,
                    path + " (" + name.length + " bytes, at most " + LONGEST_PATH + ")",
                    Errno.ENAMETOOLONG);
        }
        MemorySegment address = Arena.ofAuto().allocate(PATH_OFFSET + name.length + 1L, 2);
        address.set(JAVA_SHORT, 0, AF_UNIX);
        MemorySegment.copy(name, 0, address, JAVA_BYTE, PATH_OFFSET, name.length);
        return new UnixAddress(path, address);
    }

    /** The whole structure; its size is the address length. */
    MemorySegment address() {
        return address;
    }

    /** The path alone, ended by a zero byte. */
    MemorySegment pathname() {
        return address.asSlice(PATH_OFFSET);
    }

    Path path() {
        return path;
    }

    @Override
    public String toString() {
        return path.toString();
    }
}
