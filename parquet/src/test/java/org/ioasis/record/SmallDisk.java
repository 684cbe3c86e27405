// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;

/** A file on a disk that is full from some place on. One thread. */
final class SmallDisk extends FileChannel {
    private final FileChannel file;
    private long room = Long.MAX_VALUE;

    SmallDisk(FileChannel file) {
        this.file = file;
    }

    /** From now on the file has no more than so many bytes. */
    void fillUp(long bytes) {
        room = bytes;
    }

    @Override
    public int write(ByteBuffer from, long at) throws IOException {
        if (at >= room) {
            throw new IOException("No space left on device");
        }
        int length = (int) Math.min(from.remaining(), room - at);
        ByteBuffer part = from.duplicate().limit(from.position() + length);
        int written = file.write(part, at);
        from.position(from.position() + written);
        return written;
    }

    @Override
    public FileChannel truncate(long size) throws IOException {
        file.truncate(size);
        return this;
    }

    @Override
    public long size() throws IOException {
        return file.size();
    }

    // What a recording does not need.

    @Override
    public int read(ByteBuffer into) {
        throw new UnsupportedOperationException("read");
    }

    @Override
    public long read(ByteBuffer[] into, int offset, int length) {
        throw new UnsupportedOperationException("read");
    }

    @Override
    public int read(ByteBuffer into, long at) {
        throw new UnsupportedOperationException("read");
    }

    @Override
    public int write(ByteBuffer from) {
        throw new UnsupportedOperationException("write without a place");
    }

    @Override
    public long write(ByteBuffer[] from, int offset, int length) {
        throw new UnsupportedOperationException("write without a place");
    }

    @Override
    public long position() {
        throw new UnsupportedOperationException("position");
    }

    @Override
    public FileChannel position(long at) {
        throw new UnsupportedOperationException("position");
    }

    @Override
    public void force(boolean isWithAbout) {
        throw new UnsupportedOperationException("force");
    }

    @Override
    public long transferTo(long from, long count, WritableByteChannel target) {
        throw new UnsupportedOperationException("transfer");
    }

    @Override
    public long transferFrom(ReadableByteChannel source, long at, long count) {
        throw new UnsupportedOperationException("transfer");
    }

    @Override
    public MappedByteBuffer map(MapMode mode, long at, long length) {
        throw new UnsupportedOperationException("map");
    }

    @Override
    public FileLock lock(long at, long length, boolean isShared) {
        throw new UnsupportedOperationException("lock");
    }

    @Override
    public FileLock tryLock(long at, long length, boolean isShared) {
        throw new UnsupportedOperationException("lock");
    }

    @Override
    protected void implCloseChannel() throws IOException {
        file.close();
    }
}
