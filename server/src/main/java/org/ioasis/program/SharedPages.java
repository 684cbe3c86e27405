// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommufd.PageSource;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.ioasis.sys.Mapping;
import org.jspecify.annotations.Nullable;

/**
 * Pages that processes share: a memfd, a file, anonymous shared memory. They are reached through a
 * descriptor of our own where we can get one, and then outlive mappings and processes; otherwise
 * through processes that map them, and only while one does. Read and written by calls, so that a
 * program that cuts its file short under us gets an error and we nothing worse; devices reach them
 * as memory. Supervisor's thread.
 */
final class SharedPages implements PageSource {
    private static final int SELF = (int) ProcessHandle.current().pid();

    private final AddressSpaces spaces;
    private final MappedRange.FileKey key;
    private @Nullable Fd file;

    /**
     * The whole file as it was when it was written last; for want of a write that never extends.
     */
    private @Nullable Mapping mapped;

    /** The whole file as devices reach it, while pages of it are held. */
    private @Nullable Mapping reached;

    private boolean isHeld;

    /** Mappings that name the file itself, held or not. */
    private int names;

    /** Where the pages were seen last: for want of a descriptor. */
    private @Nullable MappedRange seen;

    private @Nullable AddressSpace seenBy;

    SharedPages(AddressSpaces spaces, MappedRange.FileKey key) {
        this.spaces = spaces;
        this.key = key;
    }

    /** A process that maps them. */
    void seen(AddressSpace space, MappedRange range) {
        seenBy = space;
        seen = range;
    }

    /** A mapping names them by a descriptor of the program's, which becomes ours. */
    void name(Fd descriptor) {
        names++;
        if (file == null) {
            file = descriptor;
        } else {
            descriptor.close();
        }
    }

    /** A mapping that has named them is gone. */
    void unname() {
        names--;
        closeUnlessNeeded();
    }

    boolean isNeeded() {
        return isHeld || names > 0;
    }

    /** What nobody needs costs no descriptor, and the program's file is gone when it closes it. */
    private void closeUnlessNeeded() {
        if (!isNeeded()) {
            close();
        }
    }

    @Override
    public void hold() {
        isHeld = true;
        AddressSpace space = seenBy;
        MappedRange range = seen;
        if (file == null && space != null && range != null) {
            file = space.openMapped(range);
        }
        forgetOtherSize();
    }

    @Override
    public void release() {
        isHeld = false;
        closeUnlessNeeded();
    }

    /**
     * As the file is when its first page is held: what it grows by later, no device reaches. A
     * program that cuts it short gets the access of a device an InternalError, which is caught
     * where the device's work begins.
     */
    @Override
    public @Nullable MemorySegment memory() {
        Mapping known = reached;
        Fd held = file;
        if (known == null && held != null) {
            known = mapped(held, true);
            if (known == null) {
                known = mapped(held, false);
            }
            reached = known;
        }
        return known == null ? null : known.segment();
    }

    /** Nothing of it was held until now: devices see the file as it has become meanwhile. */
    private void forgetOtherSize() {
        Mapping known = reached;
        Fd held = file;
        try {
            if (known != null && (held == null || held.size() != known.segment().byteSize())) {
                reached = null;
                known.close();
            }
        } catch (ErrnoException e) {
            // It stays as it was; what is cut off is an error of the access.
        }
    }

    private static @Nullable Mapping mapped(Fd file, boolean isWritable) {
        try {
            return Mapping.map(file, 0, file.size(), isWritable);
        } catch (ErrnoException e) {
            // Empty, sealed, or opened for reading only.
            return null;
        }
    }

    void close() {
        unmap();
        Mapping devices = reached;
        reached = null;
        if (devices != null) {
            devices.close();
        }
        Fd held = file;
        file = null;
        if (held != null) {
            held.close();
        }
    }

    private void unmap() {
        Mapping known = mapped;
        mapped = null;
        if (known != null) {
            known.close();
        }
    }

    @Override
    public int read(long offset, MemorySegment to, long at, long length) {
        Fd held = file;
        if (held != null && FileBytes.read(held, offset, to, at, length) == length) {
            return 0;
        }
        AddressSpace space = mapper(offset, length);
        MappedRange range = seen;
        return space != null && range != null
                ? space.read(range.addressOf(offset), to, at, length)
                : -Errno.EFAULT;
    }

    @Override
    public int write(long offset, MemorySegment from, long at, long length) {
        Fd held = file;
        if (held != null && writes(held, offset, from, at, length)) {
            return 0;
        }
        AddressSpace space = mapper(offset, length);
        MappedRange range = seen;
        return space != null && range != null
                ? space.write(range.addressOf(offset), from, at, length)
                : -Errno.EFAULT;
    }

    /**
     * A write to the file itself would make it longer if the program cuts it at that moment. A page
     * behind its end is none, and the kernel says so where an access of ours would be a SIGBUS.
     */
    private boolean writes(Fd held, long offset, MemorySegment from, long at, long length) {
        Mapping whole = mapped;
        if (whole == null || offset > whole.segment().byteSize() - length) {
            unmap();
            whole = mapped(held, true);
            mapped = whole;
            if (whole == null || offset > whole.segment().byteSize() - length) {
                return false;
            }
        }
        return spaces.remote().write(SELF, whole.segment().address() + offset, from, at, length)
                == 0;
    }

    /** A process that maps the bytes: the one that was seen last, and after its end another. */
    private @Nullable AddressSpace mapper(long offset, long length) {
        AddressSpace space = seenBy;
        MappedRange range = seen;
        if (space != null && range != null && !space.isGone() && range.hasOffset(offset, length)) {
            return space;
        }
        return spaces.seek(this, key, offset, length) ? seenBy : null;
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
