// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * Writes the fields of a saved state, little-endian, between a head and a checksum. {@link
 * SaveReader} reads them. One thread.
 */
final class SaveWriter {
    /** {@code ioasis} and two bytes that no text has. */
    static final long MAGIC = 0x1a00_7369_7361_6f69L;

    static final int VERSION = 2;

    /** Magic, version, length of the fields. */
    static final int HEAD = 16;

    /** CRC-32C of all before it. */
    static final int CHECKSUM = 4;

    static final int TEXT_MAX = 255;

    private ByteBuffer out = ByteBuffer.allocate(4096).order(ByteOrder.LITTLE_ENDIAN);

    SaveWriter() {
        out.putLong(MAGIC).putInt(VERSION).putInt(0);
    }

    private ByteBuffer room(int bytes) {
        if (out.remaining() < bytes) {
            int size = Math.addExact(out.capacity(), Math.max(out.capacity() / 2, bytes));
            ByteBuffer more = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
            out = more.put(out.flip());
        }
        return out;
    }

    void bit(boolean value) {
        u8(value ? 1 : 0);
    }

    void u8(int value) {
        room(1).put((byte) value);
    }

    void u16(int value) {
        room(2).putShort((short) value);
    }

    void i32(int value) {
        room(4).putInt(value);
    }

    void i64(long value) {
        room(8).putLong(value);
    }

    /** At most {@link #TEXT_MAX} characters, the rest is cut off. */
    void text(String value) {
        byte[] bytes = value.getBytes(US_ASCII);
        int length = Math.min(bytes.length, TEXT_MAX);
        u8(length);
        room(length).put(bytes, 0, length);
    }

    /** Everything, with length and checksum. */
    byte[] bytes() {
        int fields = out.position() - HEAD;
        byte[] bytes = new byte[out.position() + CHECKSUM];
        out.flip().get(bytes, 0, HEAD + fields);
        seal(bytes);
        return bytes;
    }

    /** Sets the length and the checksum of bytes that are written already. */
    static void seal(byte[] bytes) {
        ByteBuffer all = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        all.putInt(HEAD - 4, bytes.length - HEAD - CHECKSUM);
        all.putInt(bytes.length - CHECKSUM, checksum(bytes));
    }

    static int checksum(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, 0, bytes.length - CHECKSUM);
        return (int) crc.getValue();
    }
}
