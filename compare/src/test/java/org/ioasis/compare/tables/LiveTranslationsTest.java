// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.ioasis.compare.tables.LiveTranslations.Live;
import org.ioasis.compare.tables.TraceEvent.Command;
import org.ioasis.compare.tables.TraceEvent.Dropped;
import org.ioasis.compare.tables.TraceEvent.Filled;
import org.ioasis.compare.tables.TraceEvent.Translated;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LiveTranslationsTest {
    private static final Filled FILLED = new Filled(0x20, 3, 0x5000, 0, 3);
    private static final Translated SMALL = new Translated(0x20, 0x5000, 0x9000, 12, 0);
    private static final Translated LARGE = new Translated(0x20, 0x20_0000, 0x60_0000, 21, 0);

    private static List<Live> after(TraceEvent... events) {
        return LiveTranslations.after(List.of(events));
    }

    @Test
    void whatNobodyHasTakenBackHoldsWithAllThatWasToldOfIt() {
        assertThat(after(FILLED, SMALL, SMALL, LARGE))
                .containsExactlyInAnyOrder(
                        new Live(0x20, 0x5000, 0x9000, 12, 3),
                        new Live(0x20, 0x20_0000, 0x60_0000, 21, 0));
    }

    @Test
    void whatIsToldWithoutADeviceIsOfTheNextTranslation() {
        Filled untold = new Filled(TraceEvent.UNTOLD, 7, 0x5000, 16, 0);
        Translated told = new Translated(0x20, 0x5008, 0x9008, 0, 1);

        assertThat(after(untold, told)).containsExactly(new Live(0x20, 0x5008, 0x9008, 16, 1));
        assertThat(after(untold, told, new Dropped(8, 0, -1))).hasSize(1);
        assertThat(after(untold, told, new Dropped(7, 0xf000, 0xffff))).isEmpty();
        assertThat(after(untold, told, new Dropped(7, 0x1_0000, -1))).hasSize(1);
    }

    /** Domain 3 has the page 0x5000: which descriptors of VT-d take it out. */
    @ParameterizedTest
    @CsvSource({
        // IOTLB: global, domain, page, pages around it
        "0x12, 0, true",
        "0x30022, 0, true",
        "0x40022, 0, false",
        "0x30032, 0x5000, true",
        "0x30032, 0x5040, true",
        "0x30032, 0x4000, false",
        "0x30032, 0x4001, true",
        "0x30032, 0x7001, false",
        "0x30032, 0x7002, true",
        "0x40032, 0x5000, false",
        // PASID IOTLB: all of the PASID, pages
        "0x30026, 0, true",
        "0x40026, 0, false",
        "0x30036, 0x5040, true",
        "0x30036, 0x6000, false",
        // contexts and PASID entries
        "0x1, 0, true",
        "0x7, 0, true",
        // device's cache, interrupts, wait
        "0x3, 0x5000, false",
        "0x14, 0, false",
        "0x200000025, 0x5000, false"
    })
    void descriptorOfTheQueueTakesOutWhatItNames(String low, String high, boolean isTaken) {
        Command command = new Command(Long.decode(low), Long.decode(high));

        assertThat(after(FILLED, SMALL, command).isEmpty()).isEqualTo(isTaken);
    }

    @Test
    void largePageGoesWithAnyPageOfIt() {
        Filled filled = new Filled(0x20, 3, 0x20_0000, 0, 3);

        assertThat(after(filled, LARGE, new Command(0x30032, 0x3f_f000))).isEmpty();
        assertThat(after(filled, LARGE, new Command(0x30032, 0x40_0000))).hasSize(1);
    }

    /** What was told of a page before it was taken back says nothing of the next one there. */
    @Test
    void nextTranslationOfAPageHasNothingOfTheLastOne() {
        assertThat(after(FILLED, SMALL, new Command(0x30032, 0x5000), SMALL))
                .containsExactly(new Live(0x20, 0x5000, 0x9000, 12, 0));
    }
}
