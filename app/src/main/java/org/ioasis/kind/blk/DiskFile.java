// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
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
    /** The kind of a file in its mode, and two of the kinds (inode(7)). */
    private static final int S_IFMT = 0xf000;

    private static final int S_IFREG = 0x8000;
    private static final int S_IFBLK = 0x6000;

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

    /** Whether what is at a path can be a disk at all; also if that cannot be told. */
    static boolean hasBlocks(Path path) {
        try {
            int kind = (int) Files.getAttribute(path, "unix:mode") & S_IFMT;
            return kind == S_IFREG || kind == S_IFBLK;
        } catch (IOException e) {
            // Opening it will say why.
            return true;
        }
    }

    /**
     * Opens it.
     *
     * @throws IOException it cannot be opened, or another opening of it does not go with this one,
     *     or it has not even one block
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
            int block = options.settings().blocks().size();
            if (store.capacity() < block) {
                store.close();
                throw new IOException(
                        "%s has %d bytes, less than a block of %d: a guest would find a disk of nothing; `truncate -s 1G %s` makes an empty disk"
                                .formatted(
                                        options.file(),
                                        Files.size(options.file()),
                                        block,
                                        options.file()));
            }
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
