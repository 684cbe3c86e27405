// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import org.ioasis.sys.Errno;

/**
 * An open file of ours in a program's hands, as the kernel's file_operations are: every call on one
 * of its descriptors, in whichever process, comes here. All methods are called on the supervisor's
 * thread, one at a time; results are what the call returns, or the negative errno.
 */
public interface ServedFile {
    /** What fstat(2) says it is, and what stands in for it in the program's table. */
    enum Form {
        /** The character device at a path of ours; can be mapped. */
        DEVICE,
        /** A file without a name that poll(2) waits for. */
        EVENTS,
        /** A file without a name that has contents of its own: only its last close matters. */
        MEMORY
    }

    Form form();

    /** Shown in {@code /proc/PID/fd} and in traces. */
    String name();

    default long ioctl(Caller caller, int command, long argument) {
        return -Errno.ENOTTY;
    }

    default long read(Caller caller, long address, long length) {
        return -Errno.EINVAL;
    }

    default long write(Caller caller, long address, long length) {
        return -Errno.EINVAL;
    }

    /** Whether the range may be mapped: 0, and the kernel maps the same range of the stand-in. */
    default long map(long offset, long length, int protection, int flags) {
        return -Errno.ENODEV;
    }

    /** What poll(2) says of reading. Asked after each call that could change it. */
    default boolean isReadable() {
        return false;
    }

    /** The last descriptor and the last mapping of it are gone, in all processes. */
    void release();
}
