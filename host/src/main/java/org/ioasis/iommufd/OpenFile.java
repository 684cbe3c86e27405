// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * An open file of ours in a program's hands, until its last descriptor and its last mapping are
 * gone. Results are what the call returns, or the negative errno. Any thread; each takes the lock
 * of its context.
 */
public interface OpenFile {
    /** What it must be for the kernel to do the part that is the kernel's. */
    enum Form {
        /** A device that can be mapped. */
        DEVICE,
        /** A file that poll(2) waits for. */
        EVENTS,
        /** A file whose last close is all that matters. */
        MEMORY,
        /** The same with contents, which the kernel serves like those of any file. */
        CONTENTS
    }

    Form form();

    /** For traces. */
    String name();

    default long ioctl(Caller caller, int command, long argument) {
        return -Errno.ENOTTY.number();
    }

    default long read(Caller caller, long address, long length) {
        return -Errno.EINVAL.number();
    }

    default long write(Caller caller, long address, long length) {
        return -Errno.EINVAL.number();
    }

    /**
     * As {@link #read} at an offset, which files that have none ignore: pread(2).
     *
     * @param offset not negative
     */
    default long readAt(Caller caller, long address, long length, long offset) {
        return read(caller, address, length);
    }

    /** As {@link #readAt}, the other way: pwrite(2). */
    default long writeAt(Caller caller, long address, long length, long offset) {
        return write(caller, address, length);
    }

    /**
     * Whether the range may be mapped: 0, and the program maps {@link Caller#window} of it.
     *
     * @param protection PROT_ bits
     * @param flags MAP_ bits
     */
    default long map(long offset, long length, int protection, int flags) {
        return -Errno.ENODEV.number();
    }

    /** What poll(2) says of reading. May change with any call on any file of its context. */
    default boolean isReadable() {
        return false;
    }

    /** Its last descriptor and mapping are gone, in all processes. Works twice as well as once. */
    void release();
}
