// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static org.ioasis.spec.VirtioBlk.SECTOR_SIZE;
import static org.ioasis.spec.VirtioBlk.SEGMENT_SIZE;
import static org.ioasis.spec.VirtioBlk.T_DISCARD;
import static org.ioasis.spec.VirtioBlk.T_FLUSH;
import static org.ioasis.spec.VirtioBlk.T_IN;
import static org.ioasis.spec.VirtioBlk.T_OUT;
import static org.ioasis.spec.VirtioBlk.T_WRITE_ZEROES;

import java.io.IOException;

/**
 * The part of a disk's requests between bounce buffer and store: on I/O threads, several at a time,
 * and on the device's where nothing blocks. Touches no guest memory.
 *
 * <p>Once a flush has failed all later ones do: the host forgets what it could not write, so that a
 * second attempt would seem to succeed.
 */
final class BlockIo {
    private final BlockStore store;
    private final BlkRequests work;

    private volatile boolean isWriteThrough;

    /** A flush has failed: what was written before may be lost, whatever a later one says. */
    private volatile boolean isFlushLost;

    BlockIo(BlockStore store, BlkRequests work) {
        this.store = store;
        this.work = work;
    }

    /** Whether each write is flushed before it is answered. Device's thread. */
    void writeThrough(boolean value) {
        isWriteThrough = value;
    }

    /**
     * Does it if it is a short read that needs no waiting; the request then goes on. Device's
     * thread.
     */
    boolean performCached(Request r) {
        r.ioOk =
                r.type == T_IN
                        && r.chunk <= BlkRequests.CACHED_BYTES
                        && store.readCached(r.position + r.done, r.buffer, r.chunk);
        return r.ioOk;
    }

    /** Does it, and sends the request back to the device's thread. */
    void perform(Request r) {
        r.ioOk = false;
        try {
            // The answer of an earlier life goes nowhere, so its write had better not happen.
            if (!work.isStale(r)) {
                transfer(r);
                r.ioOk = true;
            }
        } catch (IOException _) {
            // The guest is told with IOERR, and it is counted.
        } finally {
            work.post(r);
        }
    }

    private void transfer(Request r) throws IOException {
        r.view.clear().limit(r.chunk);
        switch (r.type) {
            case T_IN -> store.read(r.position + r.done, r.view);
            case T_OUT -> {
                store.write(r.position + r.done, r.view);
                if (isWriteThrough && r.done + r.chunk == r.dataLength) {
                    flush();
                }
            }
            case T_DISCARD, T_WRITE_ZEROES -> {
                erase(r);
                if (isWriteThrough) {
                    flush();
                }
            }
            case T_FLUSH -> flush();
            default -> throw new IllegalStateException("no I/O for type " + r.type);
        }
    }

    private void erase(Request r) throws IOException {
        for (int at = 0; at < r.chunk; at += SEGMENT_SIZE) {
            long position = Segments.sector(r.buffer, at) * SECTOR_SIZE;
            long length = Segments.sectors(r.buffer, at) * SECTOR_SIZE;
            if (length == 0) {
                continue;
            }
            if (r.type == T_DISCARD) {
                store.discard(position, length);
            } else {
                store.writeZeroes(position, length, Segments.mayUnmap(r.buffer, at));
            }
        }
    }

    private void flush() throws IOException {
        if (isFlushLost) {
            throw new IOException("an earlier flush has failed");
        }
        try {
            store.flush();
        } catch (IOException | RuntimeException e) {
            isFlushLost = true;
            throw e;
        }
    }
}
