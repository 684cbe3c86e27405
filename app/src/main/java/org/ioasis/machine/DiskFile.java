// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.sys.SparseFile;
import org.ioasis.virtio.blk.FileStore;
import org.ioasis.virtio.blk.HolePuncher;

/** Opens a disk's file so that what the guest discards goes back to the host. Any thread. */
final class DiskFile implements HolePuncher {
    private final SparseFile file;

    private DiskFile(SparseFile file) {
        this.file = file;
    }

    /**
     * Opens it.
     *
     * @param isDiscarding parts of it may be given back
     */
    static FileStore open(Path path, boolean isWritable, boolean isDiscarding) throws IOException {
        if (!isWritable || !isDiscarding) {
            return FileStore.open(path, isWritable);
        }
        DiskFile holes = new DiskFile(SparseFile.open(path));
        boolean isOpen = false;
        try {
            // By descriptor: the name may be another file's by now.
            FileStore store = FileStore.open(holes.file.path(), true, holes);
            isOpen = true;
            return store;
        } finally {
            if (!isOpen) {
                holes.close();
            }
        }
    }

    @Override
    public boolean punch(long position, long length) throws IOException {
        return file.punch(position, length);
    }

    @Override
    public void close() {
        file.close();
    }
}
