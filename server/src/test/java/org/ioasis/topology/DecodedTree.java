// SPDX-License-Identifier: Apache-2.0
package org.ioasis.topology;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/**
 * A flattened device tree, read by the letter of the specification and independent of what wrote
 * it: all properties by their paths. Refuses what a reader of version 17 may refuse. One thread.
 */
final class DecodedTree {
    private final ByteBuffer blob;
    private final int strings;
    private final Map<String, byte[]> properties = new TreeMap<>();
    private int at;

    DecodedTree(byte[] bytes) {
        blob = ByteBuffer.wrap(bytes);
        require(blob.getInt(0) == 0xd00dfeed, "magic");
        require(blob.getInt(4) == bytes.length, "total size");
        require(blob.getInt(20) == 17 && blob.getInt(24) == 16, "versions");
        require(blob.getInt(28) == 0, "boot processor");
        int reserved = blob.getInt(16);
        require(reserved % 8 == 0 && reserved >= 40, "place of the reservations");
        require(blob.getLong(reserved) == 0 && blob.getLong(reserved + 8) == 0, "reservations");
        at = blob.getInt(8);
        strings = blob.getInt(12);
        int end = at + blob.getInt(36);
        require(at % 4 == 0 && at >= reserved + 16 && end <= strings, "place of the structure");
        require(strings + blob.getInt(32) <= bytes.length, "place of the strings");
        require(token() == 1, "a root");
        node("");
        require(token() == 9 && at == end, "the end");
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new IllegalArgumentException(what);
        }
    }

    private int token() {
        at += 4;
        return blob.getInt(at - 4);
    }

    private String text(int from) {
        int end = from;
        while (blob.get(end) != 0) {
            end++;
        }
        return new String(blob.array(), from, end - from, StandardCharsets.US_ASCII);
    }

    /** After the token that begins a node. */
    private void node(String parent) {
        String name = text(at);
        require(name.length() <= 31 || name.contains("@"), "length of a name");
        String path = parent + name + "/";
        at = (at + name.length() + 4) & -4;
        boolean hasChildren = false;
        while (true) {
            int token = token();
            if (token == 2) {
                return;
            } else if (token == 1) {
                hasChildren = true;
                node(path);
            } else {
                require(token == 3, "a token");
                require(!hasChildren, "properties before children");
                int length = token();
                String property = path + text(strings + token());
                byte[] value = new byte[length];
                blob.get(at, value);
                at = (at + length + 3) & -4;
                require(properties.put(property, value) == null, "one " + property);
            }
        }
    }

    /** Every property as text: its words in hexadecimal, or its texts in quotation marks. */
    Map<String, String> all() {
        Map<String, String> result = new TreeMap<>();
        properties.forEach((path, value) -> result.put(path, readable(value)));
        return result;
    }

    private static String readable(byte[] value) {
        boolean isText = value.length > 1 && value[0] > ' ' && value[value.length - 1] == 0;
        if (isText) {
            return "\""
                    + new String(value, 0, value.length - 1, StandardCharsets.US_ASCII)
                            .replace("\0", "\", \"")
                    + "\"";
        }
        StringBuilder words = new StringBuilder("<");
        for (ByteBuffer cells = ByteBuffer.wrap(value); cells.hasRemaining(); ) {
            words.append(words.length() == 1 ? "" : " ")
                    .append(Integer.toHexString(cells.getInt()));
        }
        return words.append('>').toString();
    }
}
