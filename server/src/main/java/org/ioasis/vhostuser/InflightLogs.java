// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import org.ioasis.peer.ProtocolException;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * The logs of chains in flight of all rings, in memory that the front end keeps (vhost-user,
 * "Inflight I/O tracking"): it outlives this process, and the next back end gets it. Loop thread.
 */
final class InflightLogs {
    private final Mapping mapping;
    private final int queues;
    private final int entries;

    private InflightLogs(Mapping mapping, int queues, int entries) {
        this.mapping = mapping;
        this.queues = queues;
        this.entries = entries;
    }

    /** Bytes of all logs of such rings. */
    static long bytes(Request.Inflight log, RingFormat format) {
        return log.queues() * format.logBytes(log.entries());
    }

    /**
     * Maps what a front end has kept.
     *
     * @param fd stays the caller's
     * @throws ProtocolException it has not as many bytes as it says, or too few for any rings
     */
    static InflightLogs map(Request.Inflight log, Fd fd) throws ProtocolException {
        // Those of packed rings are the longer ones. Which rings they are for is not known yet.
        long most = bytes(log, RingFormat.PACKED);
        long least = bytes(log, RingFormat.SPLIT);
        if (Long.compareUnsigned(log.bytes(), least) < 0) {
            throw new ProtocolException(
                    "log of %s bytes, %d at least"
                            .formatted(Long.toUnsignedString(log.bytes()), least));
        }
        long length = Long.compareUnsigned(log.bytes(), most) < 0 ? log.bytes() : most;
        try {
            return new InflightLogs(
                    Mapping.map(fd, log.offset(), length, true), log.queues(), log.entries());
        } catch (ErrnoException e) {
            throw new ProtocolException("log that cannot be mapped: " + e.getMessage());
        }
    }

    /**
     * The log of a ring, or null if it has none.
     *
     * @throws ProtocolException there is too little memory for it, or too few entries
     */
    @Nullable ChainLog of(int queue, RingFormat format, int size) throws ProtocolException {
        if (queue >= queues) {
            return null;
        }
        long each = format.logBytes(entries);
        if (size > entries || each * (queue + 1) > mapping.segment().byteSize()) {
            throw new ProtocolException(
                    "ring %d with %d entries and a log for %d".formatted(queue, size, entries));
        }
        return format.newLog(mapping.segment().asSlice(each * queue, each), entries);
    }

    /**
     * What was in flight in any ring need not be given back any more. Of each format: which one it
     * was need not have been said in this session.
     */
    void forgetAll() {
        for (RingFormat format : RingFormat.values()) {
            long each = format.logBytes(entries);
            for (int q = 0; q < queues && each * (q + 1) <= mapping.segment().byteSize(); q++) {
                format.newLog(mapping.segment().asSlice(each * q, each), entries).forget();
            }
        }
    }

    void close() {
        mapping.close();
    }
}
