// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.PageSource;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.jspecify.annotations.Nullable;

/**
 * Pages that processes share: a memfd, a file, anonymous shared memory. They are reached through a
 * descriptor of our own where we can get one, and then outlive mappings and processes; otherwise
 * through a process that maps them, and only while it does. Read and written by calls, so that a
 * program that cuts its file short under us gets an error and we nothing worse. Supervisor's
 * thread.
 */
final class SharedPages implements PageSource {
    private final Object key;
    private @Nullable Fd file;
    private boolean isHeld;

    /** Where the pages were seen last: for want of a descriptor. */
    private @Nullable MappedRange seen;

    private @Nullable AddressSpace seenBy;

    SharedPages(Object key) {
        this.key = key;
    }

    /** A process that maps them. */
    void seen(AddressSpace space, MappedRange range) {
        seenBy = space;
        seen = range;
    }

    /** A descriptor of them that the program has itself; becomes ours. */
    void reachBy(Fd descriptor) {
        if (file == null) {
            file = descriptor;
        } else {
            descriptor.close();
        }
    }

    boolean isHeld() {
        return isHeld;
    }

    @Override
    public void hold() {
        isHeld = true;
        AddressSpace space = seenBy;
        MappedRange range = seen;
        if (file == null && space != null && range != null) {
            file = space.openMapped(range);
        }
    }

    @Override
    public void release() {
        isHeld = false;
        close();
    }

    void close() {
        Fd held = file;
        file = null;
        if (held != null) {
            held.close();
        }
    }

    @Override
    public int read(long offset, MemorySegment to, long at, long length) {
        Fd held = file;
        if (held != null && FileBytes.read(held, offset, to, at, length) == length) {
            return 0;
        }
        MappedRange range = seen;
        AddressSpace space = seenBy;
        return space != null && range != null && range.hasOffset(offset, length)
                ? space.read(range.addressOf(offset), to, at, length)
                : -Errno.EFAULT;
    }

    @Override
    public int write(long offset, MemorySegment from, long at, long length) {
        Fd held = file;
        // Writing behind the end would make the program's file longer.
        if (held != null
                && fits(held, offset, length)
                && FileBytes.write(held, offset, from, at, length) == length) {
            return 0;
        }
        MappedRange range = seen;
        AddressSpace space = seenBy;
        return space != null && range != null && range.hasOffset(offset, length)
                ? space.write(range.addressOf(offset), from, at, length)
                : -Errno.EFAULT;
    }

    private static boolean fits(Fd held, long offset, long length) {
        try {
            return offset <= held.size() - length;
        } catch (ErrnoException e) {
            return false;
        }
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof SharedPages pages && pages.key.equals(key);
    }

    @Override
    public int hashCode() {
        return key.hashCode();
    }

    @Override
    public String toString() {
        return "shared pages " + key;
    }
}
