// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.peer.ProtocolException;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * The logs of chains in flight of all rings, in memory that the front end keeps (vhost-user,
 * "Inflight I/O tracking"): it outlives this process, and the next back end gets it. Behind the
 * logs, which the protocol lays down, is what the device itself keeps: how long the memory is says
 * the back end that makes it. Loop thread.
 */
final class InflightLogs {
    /** What the device keeps begins at a multiple of it. */
    private static final long ALIGN = 4096;

    private final Mapping mapping;
    private final long stateAt;
    private final int queues;
    private final int entries;

    private InflightLogs(Mapping mapping, long stateAt, int queues, int entries) {
        this.mapping = mapping;
        this.stateAt = stateAt;
        this.queues = queues;
        this.entries = entries;
    }

    /** Bytes of all logs of such rings. */
    private static long bytes(Request.Inflight log, RingFormat format) {
        return log.queues() * format.logBytes(log.entries());
    }

    /** Bytes of all of it, if a device keeps {@code stateBytes}. */
    static long bytes(Request.Inflight log, RingFormat format, long stateBytes) {
        return stateBytes == 0 ? bytes(log, format) : stateAt(log) + stateBytes;
    }

    /** In the same place for each format: which one it is need not be known yet. */
    private static long stateAt(Request.Inflight log) {
        return (bytes(log, RingFormat.PACKED) + ALIGN - 1) & -ALIGN;
    }

    /**
     * Maps what a front end has kept.
     *
     * @param fd stays the caller's
     * @param stateBytes that the device wants to keep, or 0
     * @throws ProtocolException it has not as many bytes as it says, or too few for any rings
     */
    static InflightLogs map(Request.Inflight log, Fd fd, long stateBytes) throws ProtocolException {
        // Those of packed rings are the longer ones. Which rings they are for is not known yet.
        long most = bytes(log, RingFormat.PACKED, stateBytes);
        long least = bytes(log, RingFormat.SPLIT);
        if (Long.compareUnsigned(log.bytes(), least) < 0) {
            throw new ProtocolException(
                    "log of %s bytes, %d at least"
                            .formatted(Long.toUnsignedString(log.bytes()), least));
        }
        long length = Long.compareUnsigned(log.bytes(), most) < 0 ? log.bytes() : most;
        try {
            return new InflightLogs(
                    Mapping.map(fd, log.offset(), length, true),
                    stateAt(log),
                    log.queues(),
                    log.entries());
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

    /** Where the device keeps what it keeps; null if there is no room for any. */
    @Nullable MemorySegment state() {
        long all = mapping.segment().byteSize();
        return all <= stateAt ? null : mapping.segment().asSlice(stateAt, (all - stateAt) & -8);
    }

    /**
     * What was in flight in any ring need not be given back any more. Of each format: which one it
     * was need not have been said in this session.
     */
    void forgetAll() {
        MemorySegment state = state();
        if (state != null) {
            // The first word says what it is.
            state.set(ValueLayout.JAVA_LONG, 0, 0);
        }
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
