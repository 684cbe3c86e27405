// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.ioasis.spec.VfioUser.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Ranges;
import org.ioasis.sys.Errno;

/**
 * The messages for a device that moves with its VM as bytes: its features, what it has written
 * meanwhile, its own data (vfio-user, "VFIO_USER_DEVICE_FEATURE" and on). As {@link Codec}, which
 * knows them by their commands.
 */
final class FeatureCodec {
    /** Most ranges that are to be logged: what Linux takes. */
    static final int RANGES_MAX = 256;

    /** Most pages of one report: 32 GiB of those of 4 KiB. */
    static final int REPORT_PAGES_MAX = 1 << 23;

    /** Largest answer with a report, without its header. */
    static final int REPORT_MAX =
            FEATURE_DATA + LOGGING_REPORT_BITMAP + REPORT_PAGES_MAX / Byte.SIZE;

    private static final long DATA = HEADER_SIZE + (long) FEATURE_DATA;

    private FeatureCodec() {}

    static Request feature(MemorySegment in, int length) {
        if (length < FEATURE_DATA || Codec.argsz(in) < FEATURE_DATA) {
            return Codec.invalid("DEVICE_FEATURE of a wrong size");
        }
        int flags = in.get(Codec.U32, HEADER_SIZE + FEATURE_FLAGS);
        int feature = flags & VFIO_DEVICE_FEATURE_MASK;
        int action = flags & ~VFIO_DEVICE_FEATURE_MASK;
        int either = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
        if ((action & ~(either | VFIO_DEVICE_FEATURE_PROBE)) != 0) {
            return Codec.invalid("DEVICE_FEATURE with unknown flags");
        }
        if ((action & VFIO_DEVICE_FEATURE_PROBE) == 0
                && action != VFIO_DEVICE_FEATURE_GET
                && action != VFIO_DEVICE_FEATURE_SET) {
            return Codec.invalid("DEVICE_FEATURE neither gets nor sets");
        }
        return switch (feature) {
            case VFIO_DEVICE_FEATURE_DMA_LOGGING_START ->
                    action == VFIO_DEVICE_FEATURE_SET
                            ? loggingStart(in, length)
                            : new Request.LoggingOther(feature, action);
            case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP ->
                    action == VFIO_DEVICE_FEATURE_SET
                            ? new Request.LoggingStop()
                            : new Request.LoggingOther(feature, action);
            case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT ->
                    action == VFIO_DEVICE_FEATURE_GET
                            ? loggingReport(in, length)
                            : new Request.LoggingOther(feature, action);
            default -> other(in, length, feature, action);
        };
    }

    private static Request other(MemorySegment in, int length, int feature, int action) {
        int state = 0;
        if (feature == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && action == VFIO_DEVICE_FEATURE_SET) {
            if (length < FEATURE_DATA + MIG_STATE_SIZE
                    || Codec.argsz(in) < FEATURE_DATA + MIG_STATE_SIZE) {
                return Codec.invalid("a state of a wrong size");
            }
            state = in.get(Codec.U32, DATA);
        }
        return new Request.Feature(feature, action, state, Codec.argsz(in));
    }

    private static Request loggingStart(MemorySegment in, int length) {
        if (length < FEATURE_DATA + LOGGING_START_RANGES) {
            return Codec.invalid("DMA_LOGGING_START of a wrong size");
        }
        int count = in.get(Codec.U32, DATA + LOGGING_START_NUM_RANGES);
        if (Integer.compareUnsigned(count, RANGES_MAX) > 0) {
            return new Request.Refused(Errno.E2BIG, "DMA_LOGGING_START of too many ranges");
        }
        int size = LOGGING_START_RANGES + count * LOGGING_RANGE_SIZE;
        if (length < FEATURE_DATA + size || Codec.argsz(in) < FEATURE_DATA + size) {
            return Codec.invalid("DMA_LOGGING_START with ranges of a wrong size");
        }
        for (int i = 0; i < count; i++) {
            long at = DATA + LOGGING_START_RANGES + (long) i * LOGGING_RANGE_SIZE;
            long first = in.get(Codec.U64, at + LOGGING_RANGE_IOVA);
            long bytes = in.get(Codec.U64, at + LOGGING_RANGE_LENGTH);
            if (bytes == 0 || Ranges.wraps(first, bytes - 1)) {
                return Codec.invalid("DMA_LOGGING_START of what is no range");
            }
            if (overlapsEarlier(in, i, first, first + (bytes - 1))) {
                return Codec.invalid("DMA_LOGGING_START of ranges that overlap");
            }
        }
        return new Request.LoggingStart(
                in.get(Codec.U64, DATA + LOGGING_START_PAGE_SIZE), in, DATA, size);
    }

    private static boolean overlapsEarlier(MemorySegment in, int number, long first, long last) {
        for (int i = 0; i < number; i++) {
            long at = DATA + LOGGING_START_RANGES + (long) i * LOGGING_RANGE_SIZE;
            long otherFirst = in.get(Codec.U64, at + LOGGING_RANGE_IOVA);
            long otherLast = otherFirst + (in.get(Codec.U64, at + LOGGING_RANGE_LENGTH) - 1);
            if (Ranges.overlap(first, last, otherFirst, otherLast)) {
                return true;
            }
        }
        return false;
    }

    private static Request loggingReport(MemorySegment in, int length) {
        if (length < FEATURE_DATA + LOGGING_REPORT_BITMAP) {
            return Codec.invalid("DMA_LOGGING_REPORT of a wrong size");
        }
        long first = in.get(Codec.U64, DATA + LOGGING_REPORT_IOVA);
        long bytes = in.get(Codec.U64, DATA + LOGGING_REPORT_LENGTH);
        long pageSize = in.get(Codec.U64, DATA + LOGGING_REPORT_PAGE_SIZE);
        if (Long.bitCount(pageSize) != 1) {
            return Codec.invalid("DMA_LOGGING_REPORT in pages of no power of two");
        }
        if (bytes == 0 || Ranges.wraps(first, bytes - 1)) {
            return Codec.invalid("DMA_LOGGING_REPORT of what is no range");
        }
        long pagesBelow = (bytes - 1) >>> Long.numberOfTrailingZeros(pageSize);
        if (Ranges.isAtMost(REPORT_PAGES_MAX, pagesBelow)) {
            return new Request.Refused(Errno.E2BIG, "DMA_LOGGING_REPORT of too many pages at once");
        }
        int words = (int) pagesBelow / Long.SIZE + 1;
        if (Codec.argsz(in) < FEATURE_DATA + LOGGING_REPORT_BITMAP + (long) words * Long.BYTES) {
            return Codec.invalid("DMA_LOGGING_REPORT without room for its bitmap");
        }
        return new Request.LoggingReport(first, first + (bytes - 1), pageSize, words);
    }

    static Request migRead(MemorySegment in, int length) {
        if (length < MIG_DATA_DATA) {
            return Codec.invalid("MIG_DATA_READ of a wrong size");
        }
        int size = in.get(Codec.U32, HEADER_SIZE + MIG_DATA_BYTES);
        if (size < 1 || size > Codec.DATA_MAX || Codec.argsz(in) < MIG_DATA_DATA + size) {
            return Codec.invalid("MIG_DATA_READ of an impossible number of bytes");
        }
        return new Request.MigRead(size);
    }

    static Request migWrite(MemorySegment in, int length) {
        if (length < MIG_DATA_DATA) {
            return Codec.invalid("MIG_DATA_WRITE of a wrong size");
        }
        int size = in.get(Codec.U32, HEADER_SIZE + MIG_DATA_BYTES);
        if (size < 1 || size > Codec.DATA_MAX || size != length - MIG_DATA_DATA) {
            return Codec.invalid("MIG_DATA_WRITE with data of a wrong size");
        }
        return new Request.MigWrite(size, in, HEADER_SIZE + (long) MIG_DATA_DATA);
    }

    // Replies.

    /** Bytes of the answer to DEVICE_FEATURE with that data. */
    static int size(byte[] data) {
        return HEADER_SIZE + FEATURE_DATA + data.length;
    }

    /** An answer to DEVICE_FEATURE with that data. */
    static int feature(MemorySegment out, Header command, int flags, byte[] data) {
        int length = FEATURE_DATA + data.length;
        out.set(Codec.U32, HEADER_SIZE + FEATURE_ARGSZ, length);
        out.set(Codec.U32, HEADER_SIZE + FEATURE_FLAGS, flags);
        put(out, DATA, data);
        return Codec.reply(out, command, HEADER_SIZE + length, 0);
    }

    static int migData(MemorySegment out, Header command, byte[] data) {
        int length = MIG_DATA_DATA + data.length;
        out.set(Codec.U32, HEADER_SIZE + MIG_DATA_ARGSZ, length);
        out.set(Codec.U32, HEADER_SIZE + MIG_DATA_BYTES, data.length);
        put(out, HEADER_SIZE + (long) MIG_DATA_DATA, data);
        return Codec.reply(out, command, HEADER_SIZE + length, 0);
    }

    private static void put(MemorySegment out, long at, byte[] data) {
        MemorySegment.copy(data, 0, out, ValueLayout.JAVA_BYTE, at, data.length);
    }
}
