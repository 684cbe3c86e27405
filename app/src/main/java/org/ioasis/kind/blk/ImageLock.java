// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import static org.ioasis.spec.ImageLocks.CONSISTENT_READ;
import static org.ioasis.spec.ImageLocks.PERM_BASE;
import static org.ioasis.spec.ImageLocks.RESIZE;
import static org.ioasis.spec.ImageLocks.SHARED_BASE;
import static org.ioasis.spec.ImageLocks.WRITE;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.LockedFile;

/**
 * Keeps a disk's image from a second writer, in this process or another, in the way that QEMU does
 * and understands: a writer is alone, readers are beside readers. Held until it is closed. One
 * thread.
 */
final class ImageLock implements AutoCloseable {
    private static final int[] READER = {CONSISTENT_READ};
    private static final int[] WRITER = {CONSISTENT_READ, WRITE};

    /** The size is asked once, so a change of it is as bad as a change of the content. */
    private static final int[] NOT_SHARED = {WRITE, RESIZE};

    private final LockedFile file;

    private ImageLock(LockedFile file) {
        this.file = file;
    }

    /**
     * Takes the image.
     *
     * @throws IOException somebody uses it in a way that does not go with this one, or what holds
     *     it has no locks; the message says who and what to do
     */
    static ImageLock take(Path image, boolean isWritable) throws IOException {
        LockedFile file = LockedFile.open(image, isWritable);
        boolean isTaken = false;
        try {
            take(image, file, isWritable);
            isTaken = true;
            return new ImageLock(file);
        } finally {
            if (!isTaken) {
                file.close();
            }
        }
    }

    private static void take(Path image, LockedFile file, boolean isWritable) throws IOException {
        int[] permissions = isWritable ? WRITER : READER;
        try {
            // All locks before the first look: of two that come at once, each sees the other.
            for (int permission : permissions) {
                lock(image, file, PERM_BASE + permission);
            }
            for (int permission : NOT_SHARED) {
                lock(image, file, SHARED_BASE + permission);
            }
            for (int permission : NOT_SHARED) {
                look(image, file, PERM_BASE + permission);
            }
            for (int permission : permissions) {
                look(image, file, SHARED_BASE + permission);
            }
        } catch (ErrnoException e) {
            throw new IOException(
                    "%s cannot be locked (%s); with nolock (lock = false in a configuration) nothing keeps two writers apart"
                            .formatted(image, Errno.words(e.errno())),
                    e);
        }
    }

    private static void lock(Path image, LockedFile file, int at) throws IOException {
        if (!file.tryLock(at, at, false)) {
            throw taken(image, file, at);
        }
    }

    private static void look(Path image, LockedFile file, int at) throws IOException {
        if (file.isLockedElsewhere(at, at)) {
            throw taken(image, file, at);
        }
    }

    private static IOException taken(Path image, LockedFile file, int at) {
        return new IOException(
                "%s is in use: %s %s"
                        .formatted(
                                image,
                                file.holder(at, at),
                                at == PERM_BASE + WRITE
                                        ? "writes to it"
                                        : at == PERM_BASE + RESIZE
                                                ? "changes its size"
                                                : "lets nobody else write to it"));
    }

    /** The same file, whatever has become of its name. Valid until {@link #close}. */
    Path path() {
        return file.path();
    }

    @Override
    public void close() {
        file.close();
    }
}
