// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spec;

/**
 * How QEMU's block layer keeps two programs from one disk image (docs/system/images, "disk image
 * file locking"; block/file-posix.c): each bit of what a user of the image does, and each bit of
 * what it does not let others do, is a byte of the file that it holds a shared lock on. Bytes that
 * need not be there. Constants; any thread.
 */
public final class ImageLocks {
    /** The byte of the first permission that is in use. */
    public static final int PERM_BASE = 100;

    /** The byte of the first permission that is not shared. */
    public static final int SHARED_BASE = 200;

    // Permissions by their number (include/block/block-common.h).
    /** Reads, and expects what it wrote. */
    public static final int CONSISTENT_READ = 0;

    /** Changes what a reader sees. */
    public static final int WRITE = 1;

    /** Makes the image larger or smaller. */
    public static final int RESIZE = 3;

    private ImageLocks() {}
}
