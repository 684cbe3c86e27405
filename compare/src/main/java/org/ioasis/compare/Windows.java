// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** Where in a machine's memory one sees what an access has done. One thread for a memory. */
final class Windows {
    private static final byte CLEAN = (byte) 0xcc;

    /** Memory that an access may change. */
    private record Window(long first, long bytes) {
        boolean contains(long address, int length) {
            return address >= first && address + length <= first + bytes;
        }
    }

    /** What identity leads to, and what mappings lead to with a page before it. */
    private static final List<Window> WINDOWS =
            List.of(
                    new Window(0, Requests.INPUT_PAGES * Requests.PAGE),
                    new Window(
                            Requests.TARGET - Requests.PAGE,
                            (Requests.TARGET_PAGES + Requests.INPUT_PAGES + 1) * Requests.PAGE));

    private Windows() {}

    /** Whether what an access changes there is seen. */
    static boolean contain(long address, int length) {
        return WINDOWS.stream().anyMatch(window -> window.contains(address, length));
    }

    /** Makes them all alike. */
    static void clean(MemorySegment ram) {
        for (Window window : WINDOWS) {
            ram.asSlice(window.first, window.bytes).fill(CLEAN);
        }
    }

    /** Where they are different since, in text. */
    static String changed(MemorySegment ram) {
        StringBuilder text = new StringBuilder();
        for (Window window : WINDOWS) {
            MemorySegment bytes = ram.asSlice(window.first, window.bytes);
            for (long at = firstChange(bytes, 0); at >= 0; at = firstChange(bytes, at + 1)) {
                text.append(text.isEmpty() ? "" : " ").append("0x%x".formatted(window.first + at));
            }
        }
        return text.isEmpty() ? Effect.NOTHING : text.toString();
    }

    private static long firstChange(MemorySegment bytes, long from) {
        for (long at = from; at < bytes.byteSize(); at++) {
            if (bytes.get(ValueLayout.JAVA_BYTE, at) != CLEAN) {
                return at;
            }
        }
        return -1;
    }
}
