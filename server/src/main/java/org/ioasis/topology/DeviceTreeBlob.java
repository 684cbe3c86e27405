// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import static org.ioasis.spec.Devicetree.*;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes nodes and properties as a flattened device tree. One thread. */
final class DeviceTreeBlob {
    private final ByteArrayOutputStream struct = new ByteArrayOutputStream();
    private final ByteArrayOutputStream strings = new ByteArrayOutputStream();
    private final Map<String, Integer> stringOffsets = new LinkedHashMap<>();

    /** A node: properties in order, then children in order. */
    static final class Node {
        private final String name;
        private final Map<String, byte[]> properties = new LinkedHashMap<>();
        private final List<Node> children = new ArrayList<>();

        Node(String name) {
            this.name = name;
        }

        Node add(Node child) {
            children.add(child);
            return this;
        }

        Node cells(String property, int... cells) {
            ByteBuffer value = ByteBuffer.allocate(cells.length * Integer.BYTES);
            value.asIntBuffer().put(cells);
            properties.put(property, value.array());
            return this;
        }

        Node texts(String property, String... texts) {
            properties.put(property, ascii(String.join("\0", texts)));
            return this;
        }
    }

    static byte[] of(Node root) {
        DeviceTreeBlob blob = new DeviceTreeBlob();
        blob.write(root);
        blob.token(FDT_END);
        return blob.bytes();
    }

    private void write(Node node) {
        token(FDT_BEGIN_NODE);
        padded(ascii(node.name));
        node.properties.forEach((name, value) -> {
            token(FDT_PROP);
            token(value.length);
            token(stringOffset(name));
            padded(value);
        });
        node.children.forEach(this::write);
        token(FDT_END_NODE);
    }

    private int stringOffset(String name) {
        return stringOffsets.computeIfAbsent(
                name,
                _ -> {
                    int offset = strings.size();
                    strings.writeBytes(ascii(name));
                    return offset;
                });
    }

    private void token(int value) {
        struct.writeBytes(ByteBuffer.allocate(Integer.BYTES).putInt(value).array());
    }

    private void padded(byte[] value) {
        struct.writeBytes(value);
        struct.writeBytes(new byte[-value.length & 3]);
    }

    /** With the 0 that ends it. */
    private static byte[] ascii(String text) {
        return (text + '\0').getBytes(StandardCharsets.US_ASCII);
    }

    private byte[] bytes() {
        int structAt = HEADER_SIZE + RSVMAP_ENTRY_SIZE;
        int stringsAt = structAt + struct.size();
        ByteBuffer blob = ByteBuffer.allocate(stringsAt + strings.size());
        blob.putInt(0, MAGIC);
        blob.putInt(TOTALSIZE, blob.capacity());
        blob.putInt(OFF_DT_STRUCT, structAt);
        blob.putInt(OFF_DT_STRINGS, stringsAt);
        blob.putInt(OFF_MEM_RSVMAP, HEADER_SIZE);
        blob.putInt(VERSION, VERSION_17);
        blob.putInt(LAST_COMP_VERSION, COMPATIBLE_VERSION);
        blob.putInt(SIZE_DT_STRINGS, strings.size());
        blob.putInt(SIZE_DT_STRUCT, struct.size());
        blob.put(structAt, struct.toByteArray());
        blob.put(stringsAt, strings.toByteArray());
        return blob.array();
    }
}
