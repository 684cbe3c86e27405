// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.ioasis.compare.tables.TraceEvent.Command;
import org.ioasis.compare.tables.TraceEvent.Dropped;
import org.junit.jupiter.api.Test;

class AmdRangesTest {
    private static final Dropped ALL_OF_2 = new Dropped(2, 0, -1);
    private static final Dropped EVERYTHING = new Dropped(TraceEvent.UNTOLD, 0, -1);
    private static final Command WAIT = new Command(0x1000_0000_0000_0001L, 5);

    private static Command pages(int domain, long word) {
        return new Command(3L << 60 | (long) domain << 32, word);
    }

    @Test
    void lastCommandsHaveTheirRangesFromTheRing() {
        assertThat(
                        AmdRanges.added(
                                List.of(ALL_OF_2, ALL_OF_2, EVERYTHING, ALL_OF_2, ALL_OF_2),
                                List.of(
                                        pages(2, 0x5000),
                                        WAIT,
                                        pages(2, 0x6001),
                                        pages(2, 0x7fff_ffff_ffff_f003L))))
                .containsExactly(
                        ALL_OF_2,
                        new Dropped(2, 0x5000, 0x5fff),
                        EVERYTHING,
                        new Dropped(2, 0x6000, 0x7fff),
                        ALL_OF_2);
    }

    @Test
    void ringThatIsNotTheLogsIsRefused() {
        assertThatThrownBy(() -> AmdRanges.added(List.of(ALL_OF_2), List.of(pages(3, 0x5000))))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
