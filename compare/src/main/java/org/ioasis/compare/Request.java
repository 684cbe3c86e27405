// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;

/** One request as it is put into the queue, whatever it is worth. Immutable; any thread. */
final class Request {
    /** Descriptors of a chain at most. */
    static final int BUFFERS = 4;

    /** Readable bytes at most. */
    static final int READABLE = 128;

    /** Writable bytes at most. */
    static final int WRITABLE = 640;

    /** Bytes of properties in the answer to a PROBE: the probe_size that both devices have. */
    static final int PROPERTIES = 512;

    /** Readable and writable part each in one descriptor, or cut in two, or that in a table. */
    enum Layout {
        PLAIN,
        CUT,
        INDIRECT
    }

    private final ByteBuffer readable;
    private final int writable;
    private final Layout layout;

    /**
     * @param bytes the device-readable part
     * @param writable bytes that the device may write
     */
    Request(byte[] bytes, int writable, Layout layout) {
        readable = ByteBuffer.wrap(bytes.clone()).order(ByteOrder.LITTLE_ENDIAN);
        this.writable = writable;
        this.layout = layout;
    }

    private static ByteBuffer fields(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static Request whole(ByteBuffer fields, int writable) {
        byte[] bytes = new byte[fields.capacity()];
        fields.get(0, bytes);
        return new Request(bytes, writable, Layout.PLAIN);
    }

    private static Request whole(ByteBuffer fields) {
        return whole(fields, TAIL_SIZE);
    }

    static Request attach(int endpoint, int domain, int flags) {
        return whole(
                fields(ATTACH_SIZE).putInt(T_ATTACH).putInt(domain).putInt(endpoint).putInt(flags));
    }

    static Request detach(int endpoint, int domain) {
        return whole(fields(DETACH_SIZE).putInt(T_DETACH).putInt(domain).putInt(endpoint));
    }

    static Request map(int domain, long first, long last, long output, int flags) {
        return whole(
                fields(MAP_SIZE)
                        .putInt(T_MAP)
                        .putInt(domain)
                        .putLong(first)
                        .putLong(last)
                        .putLong(output)
                        .putInt(flags));
    }

    static Request unmap(int domain, long first, long last) {
        return whole(
                fields(UNMAP_SIZE).putInt(T_UNMAP).putInt(domain).putLong(first).putLong(last));
    }

    static Request probe(int endpoint) {
        return whole(fields(PROBE_SIZE).putInt(T_PROBE).putInt(endpoint), PROPERTIES + TAIL_SIZE);
    }

    byte[] bytes() {
        return readable.array().clone();
    }

    String hex() {
        return HexFormat.of().formatHex(readable.array());
    }

    int length() {
        return readable.capacity();
    }

    int writable() {
        return writable;
    }

    Layout layout() {
        return layout;
    }

    /** The type's number, or -1 if there is no whole head. */
    int type() {
        return length() < HEAD_SIZE ? -1 : readable.get(0) & 0xff;
    }

    /** Size of the type's readable part, or -1 for a type that is none. */
    int typeSize() {
        return switch (type()) {
            case T_ATTACH -> ATTACH_SIZE;
            case T_DETACH -> DETACH_SIZE;
            case T_MAP -> MAP_SIZE;
            case T_UNMAP -> UNMAP_SIZE;
            case T_PROBE -> PROBE_SIZE;
            default -> -1;
        };
    }

    /** A request of this type with all its fields, and room for a tail. */
    boolean is(int type) {
        return type() == type && length() >= typeSize() && writable >= TAIL_SIZE;
    }

    int le32(int offset) {
        return readable.getInt(offset);
    }

    long le64(int offset) {
        return readable.getLong(offset);
    }

    /** The domain that an ATTACH, DETACH, MAP or UNMAP names. */
    int domain() {
        return le32(ATTACH_DOMAIN);
    }

    /** The endpoint that an ATTACH or DETACH names. */
    int endpoint() {
        return le32(ATTACH_ENDPOINT);
    }

    /** First address of a MAP or UNMAP. */
    long first() {
        return le64(MAP_VIRT_START);
    }

    /** Last address of a MAP or UNMAP. */
    long last() {
        return le64(MAP_VIRT_END);
    }

    /** What a row of the table calls it. */
    String kind() {
        return switch (type()) {
            case -1 -> "less than a head";
            case T_ATTACH -> "ATTACH";
            case T_DETACH -> "DETACH";
            case T_MAP -> "MAP";
            case T_UNMAP -> "UNMAP";
            case T_PROBE -> "PROBE";
            default -> "unknown type";
        };
    }

    @Override
    public String toString() {
        String fields =
                length() < Math.max(typeSize(), HEAD_SIZE)
                        ? kind() + " cut off"
                        : switch (type()) {
                            case T_ATTACH ->
                                    "ATTACH endpoint=0x%x domain=0x%x flags=0x%x reserved=0x%x"
                                            .formatted(
                                                    endpoint(),
                                                    domain(),
                                                    le32(ATTACH_FLAGS),
                                                    le32(ATTACH_RESERVED));
                            case T_DETACH ->
                                    "DETACH endpoint=0x%x domain=0x%x"
                                            .formatted(endpoint(), domain());
                            case T_MAP ->
                                    "MAP domain=0x%x virt=0x%x..0x%x phys=0x%x flags=0x%x"
                                            .formatted(
                                                    domain(),
                                                    first(),
                                                    last(),
                                                    le64(MAP_PHYS_START),
                                                    le32(MAP_FLAGS));
                            case T_UNMAP ->
                                    "UNMAP domain=0x%x virt=0x%x..0x%x reserved=0x%x"
                                            .formatted(
                                                    domain(),
                                                    first(),
                                                    last(),
                                                    le32(UNMAP_RESERVED));
                            case T_PROBE -> "PROBE endpoint=0x%x".formatted(le32(PROBE_ENDPOINT));
                            default -> "type %d".formatted(type());
                        };
        return "%s (%d bytes to read, %d to write, %s)"
                .formatted(fields, length(), writable, layout);
    }
}
