// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import static org.assertj.core.api.Assertions.assertThat;

import org.ioasis.virtqueue.FlatDma;
import org.junit.jupiter.api.Test;

/** What is looked up once in a section is read as far as it was allowed, and no further. */
class ReadRangeTest {
    private static final long AT = 0x10000;
    private static final long BYTES = 0x1000;

    private final FlatDma dma = new FlatDma(AT, 2 * BYTES);
    private final ReadRange range = new ReadRange(dma);

    @Test
    void whatIsInPiecesWhenItIsAccessedIsNotFoundThoughItWasWholeWhenItWasSeen() {
        range.begin(AT, BYTES);
        int[] looks = {0};
        dma.watch(_ -> {
            if (++looks[0] == 2) {
                dma.inPieces(BYTES / 2);
            }
        });
        dma.enter();
        assertThat(range.isFound()).isFalse();
        dma.leave();
        assertThat(looks[0]).as("seen, and accessed").isEqualTo(2);
    }

    @Test
    void whatIsGoneWhenItIsAccessedIsNotFound() {
        range.begin(AT, BYTES);
        int[] looks = {0};
        dma.watch(_ -> {
            if (++looks[0] == 2) {
                dma.trap(AT, AT, Outcome.ABSENT);
            }
        });
        dma.enter();
        assertThat(range.isFound()).isFalse();
        dma.leave();
        assertThat(looks[0]).as("seen, and accessed").isEqualTo(2);
    }
}
