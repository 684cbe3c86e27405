// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** A disk in memory that remembers what a crash would leave of it. */
final class MemoryStore implements BlockStore {
    /** Content now, and as of the last flush. */
    final byte[] content;

    final byte[] stable;
    private final boolean readOnly;
    private final Runnable check;
    boolean fails;
    boolean flushFails;
    boolean canDeallocate = true;

    /** Bytes that can still be written before the disk is full. */
    long room = Long.MAX_VALUE;

    /** It can be read without waiting. */
    boolean isCached;

    int cachedReads;
    int reads;
    int writes;
    int flushes;
    int discards;
    int zeroes;

    /** Of the writes of zeroes, those that need not keep their room. */
    int deallocations;

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
    public boolean canDeallocate() {
        return canDeallocate;
    }

    @Override
    public synchronized void read(long position, ByteBuffer target) throws IOException {
        enter();
        reads++;
        target.put(content, (int) position, target.remaining());
    }

    @Override
    public synchronized boolean readCached(long position, MemorySegment target, long length) {
        check.run();
        if (!isCached || fails) {
            return false;
        }
        cachedReads++;
        MemorySegment.copy(content, (int) position, target, JAVA_BYTE, 0, (int) length);
        return true;
    }

    @Override
    public synchronized void write(long position, ByteBuffer source) throws IOException {
        enter();
        writes++;
        int n = (int) Math.min(room, source.remaining());
        room -= n;
        boolean isFull = n < source.remaining();
        source.get(content, (int) position, n);
        if (isFull) {
            throw new IOException("No space left on device");
        }
    }

    /** As a host with holes: what is discarded reads as zeroes. */
    @Override
    public synchronized void discard(long position, long length) throws IOException {
        enter();
        discards++;
        Arrays.fill(content, (int) position, (int) (position + length), (byte) 0);
    }

    @Override
    public synchronized void writeZeroes(long position, long length, boolean mayDeallocate)
            throws IOException {
        enter();
        zeroes++;
        deallocations += mayDeallocate ? 1 : 0;
        Arrays.fill(content, (int) position, (int) (position + length), (byte) 0);
    }

    @Override
    public synchronized void flush() throws IOException {
        enter();
        if (flushFails) {
            throw new IOException("injected");
        }
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
