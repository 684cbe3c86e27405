// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.stream.Stream;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Page-table handover and page requests, as the command shows them. */
class HandoverDemoTest {
    private static Stream<Arguments> forms() {
        return Stream.concat(
                Arrays.stream(HandoverFormat.values())
                        .map(format -> Arguments.of(format, RingFormat.SPLIT)),
                Stream.of(Arguments.of(HandoverFormat.VTD, RingFormat.PACKED)));
    }

    @ParameterizedTest
    @MethodSource("forms")
    void theDeviceSeesTheProcessAndNothingElse(HandoverFormat format, RingFormat ring)
            throws Exception {
        try (HandoverDemo demo = new HandoverDemo(format, ring, System::nanoTime, 3)) {
            for (int i = 0; i < 20; i++) {
                demo.round();
            }
            HandoverFigures figures = demo.figures();
            assertThat(figures.isOk()).as(figures.text(1)).isTrue();
            assertThat(figures.writes() + figures.reads()).isEqualTo(20 * 200);
            assertThat(figures.requests()).isGreaterThan(1000);
            assertThat(figures.answers()).isEqualTo(figures.requests());
            assertThat(figures.invalidations()).isGreaterThan(1000);
            assertThat(figures.shots()).isEqualTo(20 * 64);
            assertThat(figures.text(1)).startsWith("ok: 1.0 s: a device wrote ");
        }
    }

    @Test
    void whatHasDoneNothingIsNotRight() throws Exception {
        try (HandoverDemo demo =
                new HandoverDemo(HandoverFormat.VTD, RingFormat.SPLIT, System::nanoTime, 3)) {
            assertThat(demo.figures().isOk()).isFalse();
            assertThat(demo.figures().text(0)).startsWith("FAILED");
        }
    }
}
