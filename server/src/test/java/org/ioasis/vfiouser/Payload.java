// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Writes little-endian fields one after the other. */
final class Payload {
    private final byte[] bytes;
    private final ByteBuffer fields;

    Payload(int size) {
        bytes = new byte[size];
        fields = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    Payload u16(int value) {
        fields.putShort((short) value);
        return this;
    }

    Payload u32(int value) {
        fields.putInt(value);
        return this;
    }

    Payload u64(long value) {
        fields.putLong(value);
        return this;
    }

    Payload bytes(byte[] value) {
        fields.put(value);
        return this;
    }

    /** What was not written is 0. */
    byte[] array() {
        return bytes.clone();
    }
}
