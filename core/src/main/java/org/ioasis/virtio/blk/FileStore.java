package org.ioasis.virtio.blk;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.ioasis.spec.VirtioBlk;

/**
 * A disk in a raw file. Any thread. Interrupting a thread inside one of these calls closes the file
 * for all of them (that is how {@link FileChannel} works), so I/O threads must not be interrupted
 * while the disk is in use.
 */
public final class FileStore implements BlockStore, AutoCloseable {
    private final FileChannel file;
    private final long capacity;
    private final boolean readOnly;

    private FileStore(FileChannel file, long capacity, boolean readOnly) {
        this.file = file;
        this.capacity = capacity;
        this.readOnly = readOnly;
    }

    /**
     * Opens an existing file. Its size now, rounded down to whole sectors of 512 bytes, is the size
     * of the disk.
     */
    public static FileStore open(Path path, boolean writable) throws IOException {
        FileChannel file =
                writable
                        ? FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)
                        : FileChannel.open(path, StandardOpenOption.READ);
        try {
            long size = file.size();
            return new FileStore(file, size - size % VirtioBlk.SECTOR_SIZE, !writable);
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    @Override
    public long capacity() {
        return capacity;
    }

    @Override
    public boolean isReadOnly() {
        return readOnly;
    }

    @Override
    public void read(long position, ByteBuffer target) throws IOException {
        long at = position;
        while (target.hasRemaining()) {
            int n = file.read(target, at);
            if (n < 0) {
                // Someone has made the file shorter.
                throw new EOFException("read at " + at + ": end of file");
            }
            at += n;
        }
    }

    @Override
    public void write(long position, ByteBuffer source) throws IOException {
        long at = position;
        while (source.hasRemaining()) {
            at += file.write(source, at);
        }
    }

    @Override
    public void flush() throws IOException {
        file.force(false);
    }

    /** Closes the file. Works twice. */
    @Override
    public void close() throws IOException {
        file.close();
    }
}
