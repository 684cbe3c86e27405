// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

/**
 * What stat(2) says of something at a path of ours. Immutable; any thread.
 *
 * @param mode type and permissions
 * @param size in bytes; of a link the length of its target
 * @param major number of a device
 * @param minor number of a device
 */
record PathStatus(int mode, long size, int major, int minor) {
    static final int S_IFMT = 0xf000;
    static final int S_IFLNK = 0xa000;
    static final int S_IFREG = 0x8000;
    static final int S_IFDIR = 0x4000;
    static final int S_IFCHR = 0x2000;

    /** Nothing stands at a path of ours, and the kernel's is not seen there. */
    static final PathStatus NOTHING = new PathStatus(0, 0, 0, 0);

    private static final int READ_WRITE = 0666;
    private static final int READ = 0444;
    private static final int READ_SEARCH = 0555;
    private static final int ALL = 0777;

    /** A character device that everybody may use. */
    static PathStatus device(int major, int minor) {
        return new PathStatus(S_IFCHR | READ_WRITE, 0, major, minor);
    }

    static PathStatus folder() {
        return new PathStatus(S_IFDIR | READ_SEARCH, 0, 0, 0);
    }

    static PathStatus file(long size) {
        return new PathStatus(S_IFREG | READ, size, 0, 0);
    }

    static PathStatus link(long size) {
        return new PathStatus(S_IFLNK | ALL, size, 0, 0);
    }

    boolean isThere() {
        return mode != 0;
    }

    /** What access(2) allows: R_OK 4, W_OK 2, X_OK 1. */
    int accessMode() {
        return mode & 7;
    }
}
