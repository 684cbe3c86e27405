// SPDX-License-Identifier: Apache-2.0
package org.ioasis.parquet;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import org.junit.jupiter.api.Test;

/** Counts in pages for which memory would be reserved. */
final class PageCheckTest {
    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }

    private static void hybrid(int width, int values, int... page) throws IOException {
        PageCheck.hybrid(bytes(page), 0, page.length, width, values);
    }

    private static void differences(int values, int... page) throws IOException {
        PageCheck.differences(bytes(page), 0, page.length, values);
    }

    @Test
    void numbersThatAPageSaysItHasAreBoundedByItsValues() {
        // Two groups of eight of a bit each, of which thirteen are meant.
        assertThatCode(() -> hybrid(1, 13, 0x05, 0xff, 0xff)).doesNotThrowAnyException();
        // A run of a thousand.
        assertThatCode(() -> hybrid(9, 1000, 0xd0, 0x0f, 1, 0)).doesNotThrowAnyException();
        assertThatThrownBy(() -> hybrid(1, 8, 0x05, 0xff, 0xff))
                .isInstanceOf(IOException.class)
                .hasMessage("a page with more numbers than values");
        assertThatThrownBy(() -> hybrid(1, 8, 0xff, 0xff, 0xff, 0xff, 0x0f))
                .isInstanceOf(IOException.class)
                .hasMessage("a page with more numbers than values");
        assertThatThrownBy(() -> hybrid(33, 8, 2, 1)).isInstanceOf(IOException.class);

        // Blocks of 128 in four parts, five numbers, the first of which is 0.
        assertThatCode(() -> differences(5, 0x80, 1, 4, 5, 0)).doesNotThrowAnyException();
        assertThatThrownBy(() -> differences(4, 0x80, 1, 4, 5, 0))
                .isInstanceOf(IOException.class)
                .hasMessage("a page with more numbers than values");
        assertThatThrownBy(() -> differences(4, 0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0x0f))
                .isInstanceOf(IOException.class)
                .hasMessage("a page with more numbers than values");
        assertThatThrownBy(() -> differences(4, 0x80, 0x80, 0x80, 0x80, 0x01, 4, 4, 0))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("a page in blocks of ");
        assertThatThrownBy(() -> differences(4, 0x80, 1, 0, 4, 0))
                .isInstanceOf(IOException.class)
                .hasMessageStartingWith("a page in blocks of ");
        assertThatThrownBy(() -> differences(4, 0x80))
                .isInstanceOf(IOException.class)
                .hasMessage("a page that ends in a number");
    }
}
