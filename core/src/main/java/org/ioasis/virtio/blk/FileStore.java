// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
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
    /** Written at a time where zeroes have to be written. */
    private static final int ZEROES = 256 << 10;

    private final FileChannel file;
    private final long capacity;
    private final boolean readOnly;
    private final FileCalls calls;

    /** Zeroes to write, never changed; each use is a duplicate. */
    private final ByteBuffer zeroes;

    FileStore(FileChannel file, long capacity, boolean readOnly, FileCalls calls) {
        this.file = file;
        this.capacity = capacity;
        this.readOnly = readOnly;
        this.calls = calls;
        zeroes = ByteBuffer.allocateDirect(readOnly ? 0 : ZEROES).asReadOnlyBuffer();
    }

    /** As the other one, for a file whose blocks are never given back. */
    public static FileStore open(Path path, boolean writable) throws IOException {
        return open(path, writable, FileCalls.NONE);
    }

    /**
     * Opens an existing file. Its size now, rounded down to whole sectors of 512 bytes, is the size
     * of the disk.
     *
     * @param calls what else can be done with the same file; closed with the store, and by the
     *     caller if this method throws
     */
    public static FileStore open(Path path, boolean writable, FileCalls calls) throws IOException {
        FileChannel file =
                writable
                        ? FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)
                        : FileChannel.open(path, StandardOpenOption.READ);
        try {
            long size = file.size();
            return new FileStore(file, size - size % VirtioBlk.SECTOR_SIZE, !writable, calls);
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
    public boolean canDeallocate() {
        return !readOnly && calls.canPunch();
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
    public boolean readCached(long position, MemorySegment target, long length) {
        return calls.readCached(position, target, length);
    }

    @Override
    public void write(long position, ByteBuffer source) throws IOException {
        long at = position;
        while (source.hasRemaining()) {
            at += file.write(source, at);
        }
    }

    @Override
    public void discard(long position, long length) throws IOException {
        // Where there are no holes the bytes just stay.
        boolean _ = calls.punch(position, length);
    }

    @Override
    public void writeZeroes(long position, long length, boolean mayDeallocate) throws IOException {
        if (mayDeallocate && calls.punch(position, length)) {
            return;
        }
        for (long done = 0; done < length; ) {
            int n = (int) Math.min(ZEROES, length - done);
            write(position + done, zeroes.duplicate().limit(n));
            done += n;
        }
    }

    @Override
    public void flush() throws IOException {
        file.force(false);
    }

    /** Closes the file and what else was open of it. Works twice. */
    @Override
    public void close() throws IOException {
        try {
            file.close();
        } finally {
            calls.close();
        }
    }
}
