package org.ioasis.virtio.blk;

import java.io.IOException;
import java.nio.ByteBuffer;

/** A disk in memory that remembers what a crash would leave of it. */
final class MemoryStore implements BlockStore {
    /** Content now, and as of the last flush. */
    final byte[] content;

    final byte[] stable;
    private final boolean readOnly;
    private final Runnable check;
    boolean fails;
    int reads;
    int writes;
    int flushes;

    /**
     * @param check called at the start of each blocking call
     */
    MemoryStore(int size, boolean readOnly, Runnable check) {
        content = new byte[size];
        stable = new byte[size];
        this.readOnly = readOnly;
        this.check = check;
    }

    @Override
    public long capacity() {
        return content.length;
    }

    @Override
    public boolean isReadOnly() {
        return readOnly;
    }

    @Override
    public synchronized void read(long position, ByteBuffer target) throws IOException {
        enter();
        reads++;
        target.put(content, (int) position, target.remaining());
    }

    @Override
    public synchronized void write(long position, ByteBuffer source) throws IOException {
        enter();
        writes++;
        source.get(content, (int) position, source.remaining());
    }

    @Override
    public synchronized void flush() throws IOException {
        enter();
        flushes++;
        System.arraycopy(content, 0, stable, 0, content.length);
    }

    private void enter() throws IOException {
        check.run();
        if (fails) {
            throw new IOException("injected");
        }
    }
}
