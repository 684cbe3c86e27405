// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.Consumer;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.WriteLog;
import org.ioasis.pci.Migration;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;

/**
 * A client's commands for what its device has written (vfio-user,
 * "VFIO_DEVICE_FEATURE_DMA_LOGGING_START" to "…_REPORT"). Addresses are those of DMA_MAP: what the
 * client takes for the device's, and what our IOMMU's translations lead to. One object for each
 * session. Loop thread.
 *
 * <p>Of what the document leaves open: the ranges that a client asks for are looked at and all of
 * its memory is logged, so that a report is true of any address. A second START is refused, as
 * drivers of Linux do; one without ranges is taken, as libvfio-user does, where Linux says EINVAL.
 * The log outlives DMA_UNMAP and resets, and ends with STOP or the session.
 */
final class LoggingMessages {
    private static final byte[] NOTHING = {};

    private final @Nullable GuestMemory memory;
    private final Consumer<String> limitReached;
    private @Nullable WriteLog log;
    private boolean isTold;

    /**
     * @param memory that of the device; null: it is written by others than us, and nobody knows
     *     where
     * @param limitReached told, once for each log, that there was no room for all memory
     */
    LoggingMessages(@Nullable GuestMemory memory, Consumer<String> limitReached) {
        this.memory = memory;
        this.limitReached = limitReached;
    }

    void ask(Request.Logging asked, Migration.Answer done) {
        GuestMemory of = memory;
        if (of == null) {
            done.done(Errno.ENOTSUP, NOTHING);
            return;
        }
        switch (asked) {
            case Request.LoggingStart start -> start(of, start, done);
            case Request.LoggingStop _ -> {
                stop();
                done.done(0, NOTHING);
            }
            case Request.LoggingReport report -> report(report, done);
            case Request.LoggingOther other ->
                    done.done(isSupported(other) ? 0 : Errno.ENOTSUP, NOTHING);
        }
    }

    private static boolean isSupported(Request.LoggingOther asked) {
        int method =
                asked.feature() == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT
                        ? VFIO_DEVICE_FEATURE_GET
                        : VFIO_DEVICE_FEATURE_SET;
        return (asked.action() & ~method) == VFIO_DEVICE_FEATURE_PROBE;
    }

    private void start(GuestMemory of, Request.LoggingStart asked, Migration.Answer done) {
        if (log != null) {
            done.done(Errno.EINVAL, NOTHING);
            return;
        }
        byte[] data =
                asked.data()
                        .asSlice(asked.dataOffset(), asked.dataSize())
                        .toArray(ValueLayout.JAVA_BYTE);
        WriteLog started = new WriteLog(of, asked.pageSize());
        bytes(data).putLong(LOGGING_START_PAGE_SIZE, started.pageSize());
        log = started;
        isTold = false;
        started.start(() -> done.done(0, data));
        tellLimit(started);
    }

    private void report(Request.LoggingReport asked, Migration.Answer done) {
        WriteLog of = log;
        if (of == null) {
            done.done(Errno.EINVAL, NOTHING);
            return;
        }
        tellLimit(of);
        long[] bitmap = new long[asked.words()];
        of.report(
                asked.first(),
                asked.last(),
                asked.pageSize(),
                bitmap,
                () -> done.done(0, data(asked, bitmap)));
    }

    private static byte[] data(Request.LoggingReport asked, long[] bitmap) {
        byte[] data = new byte[LOGGING_REPORT_BITMAP + bitmap.length * Long.BYTES];
        ByteBuffer fields =
                bytes(data)
                        .putLong(asked.first())
                        .putLong(asked.last() - asked.first() + 1)
                        .putLong(asked.pageSize());
        for (long word : bitmap) {
            fields.putLong(word);
        }
        return data;
    }

    private static ByteBuffer bytes(byte[] data) {
        return ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
    }

    private void tellLimit(WriteLog of) {
        if (of.isOver() && !isTold) {
            isTold = true;
            limitReached.accept("limit of the log of written pages: the rest counts as written");
        }
    }

    /** Nothing is logged any more. Twice is fine. */
    void stop() {
        WriteLog ended = log;
        log = null;
        if (ended != null) {
            ended.stop();
        }
    }
}
