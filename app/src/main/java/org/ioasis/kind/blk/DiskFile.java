// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.ioasis.sys.CachedFile;
import org.ioasis.sys.SparseFile;
import org.ioasis.virtio.blk.FileCalls;
import org.ioasis.virtio.blk.FileStore;
import org.jspecify.annotations.Nullable;

/**
 * A disk's file, with what Java's own channels do not have: a lock against a second writer, holes,
 * so that what the guest discards goes back to the host, and reads that do not wait. Threads as
 * {@link FileCalls}.
 */
final class DiskFile implements FileCalls {
    /** Null if the user wants none. */
    private final @Nullable ImageLock lock;

    /** Null if nothing is ever given back. */
    private final @Nullable SparseFile holes;

    /** Null while it is not open yet. */
    private final @Nullable CachedFile cached;

    private DiskFile(
            @Nullable ImageLock lock, @Nullable SparseFile holes, @Nullable CachedFile cached) {
        this.lock = lock;
        this.holes = holes;
        this.cached = cached;
    }

    /**
     * Opens it.
     *
     * @throws IOException it cannot be opened, or another opening of it does not go with this one
     */
    static FileStore open(DiskOptions options) throws IOException {
        ImageLock lock =
                options.isLocked() ? ImageLock.take(options.file(), options.isWritable()) : null;
        SparseFile holes = null;
        CachedFile cached = null;
        boolean isOpen = false;
        try {
            // By descriptor: the name may be another file's by now.
            Path path = lock == null ? options.file() : lock.path();
            boolean isDiscarding = options.settings().erasing().discardSegments() > 0;
            if (options.isWritable() && isDiscarding) {
                holes = SparseFile.open(path);
                path = holes.path();
            }
            cached = CachedFile.open(path);
            FileStore store =
                    FileStore.open(path, options.isWritable(), new DiskFile(lock, holes, cached));
            isOpen = true;
            return store;
        } finally {
            if (!isOpen) {
                new DiskFile(lock, holes, cached).close();
            }
        }
    }

    @Override
    public boolean canPunch() {
        return holes != null;
    }

    @Override
    public boolean punch(long position, long length) throws IOException {
        return holes != null && holes.punch(position, length);
    }

    @Override
    public boolean readCached(long position, MemorySegment target, long length) {
        return cached != null && cached.read(position, target, length);
    }

    @Override
    public void close() {
        if (cached != null) {
            cached.close();
        }
        if (holes != null) {
            holes.close();
        }
        if (lock != null) {
            lock.close();
        }
    }
}
