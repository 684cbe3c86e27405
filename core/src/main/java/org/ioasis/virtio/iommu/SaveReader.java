// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.ioasis.virtio.iommu.SaveWriter.CHECKSUM;
import static org.ioasis.virtio.iommu.SaveWriter.HEAD;
import static org.ioasis.virtio.iommu.SaveWriter.MAGIC;
import static org.ioasis.virtio.iommu.SaveWriter.VERSION;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Reads the fields of a saved state. The bytes may come from anywhere: nothing is allocated that
 * they do not hold, and whatever is wrong with them is a {@link RestoreException}. One thread.
 */
final class SaveReader {
    private final ByteBuffer in;

    /**
     * @throws RestoreException no saved state, one of another version, cut off or changed
     */
    SaveReader(byte[] bytes) throws RestoreException {
        in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.length < HEAD + CHECKSUM || in.getLong() != MAGIC) {
            throw new RestoreException("this is no saved state of an Ioasis device");
        }
        int version = in.getInt();
        if (version != VERSION) {
            throw new RestoreException(
                    "format version %d in the file, %d here"
                            .formatted(Integer.toUnsignedLong(version), VERSION));
        }
        long length = Integer.toUnsignedLong(in.getInt()) + HEAD + CHECKSUM;
        if (length != bytes.length) {
            throw new RestoreException(
                    "it says that it has %d bytes, and has %d".formatted(length, bytes.length));
        }
        if (in.getInt(bytes.length - CHECKSUM) != SaveWriter.checksum(bytes)) {
            throw new RestoreException("the checksum is wrong: the bytes have changed");
        }
        in.limit(bytes.length - CHECKSUM);
    }

    private ByteBuffer next(int bytes) throws RestoreException {
        if (in.remaining() < bytes) {
            throw new RestoreException("it ends in the middle of a field");
        }
        return in;
    }

    boolean bit() throws RestoreException {
        int value = u8();
        if (value > 1) {
            throw new RestoreException("%d where 0 or 1 must be".formatted(value));
        }
        return value == 1;
    }

    int u8() throws RestoreException {
        return Byte.toUnsignedInt(next(1).get());
    }

    int u16() throws RestoreException {
        return Short.toUnsignedInt(next(2).getShort());
    }

    int i32() throws RestoreException {
        return next(4).getInt();
    }

    long u32() throws RestoreException {
        return Integer.toUnsignedLong(i32());
    }

    long i64() throws RestoreException {
        return next(8).getLong();
    }

    /** A number of things that follow, of at least so many bytes each. */
    int count(int bytesEach) throws RestoreException {
        long count = u32();
        if (count > in.remaining() / bytesEach) {
            throw new RestoreException(
                    "%d things where there is no room for them".formatted(count));
        }
        return (int) count;
    }

    /** Printable ASCII: it may be shown to people. */
    String text() throws RestoreException {
        byte[] bytes = new byte[u8()];
        next(bytes.length).get(bytes);
        for (byte each : bytes) {
            if (each < ' ' || each > '~') {
                throw new RestoreException("text that cannot be printed");
            }
        }
        return new String(bytes, US_ASCII);
    }

    /** One of an enum's constants, by its name. */
    <E extends Enum<E>> E one(E[] constants) throws RestoreException {
        return one(text(), constants);
    }

    static <E extends Enum<E>> E one(String name, E[] constants) throws RestoreException {
        for (E constant : constants) {
            if (constant.name().equals(name)) {
                return constant;
            }
        }
        throw new RestoreException(
                "'%s' where one of %s must be".formatted(name, List.of(constants)));
    }

    void end() throws RestoreException {
        if (in.hasRemaining()) {
            throw new RestoreException("%d bytes too many".formatted(in.remaining()));
        }
    }
}
