// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.Optional;
import org.ioasis.machine.EndpointDevice.Trouble;
import org.ioasis.virtio.WorkCounters;
import org.ioasis.virtio.net.NetCounters;
import org.ioasis.virtio.net.NetSettings;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What {@code ioasis check} says of a network device that is translated and does not work. */
class NicTroubleTest {
    private static final NetSettings SETTINGS = new NetSettings(0x5254_0000_0001L, 1500);

    private static NetCounters counters(Map<String, Long> counts) {
        return new NetCounters(
                counts.getOrDefault("sent", 5L),
                300,
                counts.getOrDefault("lost", 0L),
                counts.getOrDefault("malformed", 0L),
                counts.getOrDefault("sentTooLong", 0L),
                counts.getOrDefault("received", 5L),
                300,
                counts.getOrDefault("receivedTooLong", 0L),
                counts.getOrDefault("overrun", 0L),
                counts.getOrDefault("buffersTooSmall", 0L),
                new WorkCounters(0, 0, 0, 0, 0, 0, 0));
    }

    private static Optional<Trouble> trouble(boolean isUp, Map<String, Long> counts) {
        return NicTrouble.of("stream=/p", isUp, SETTINGS, counters(counts));
    }

    @Test
    void deviceThatWorksHasNone() {
        assertThat(trouble(true, Map.of())).isEmpty();
        // As while the guest boots.
        assertThat(trouble(true, Map.of("overrun", 9L))).isEmpty();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            textBlock =
                    """
                    receivedTooLong | 2 frames from stream=/p were shorter than an Ethernet header or longer than 1514 bytes
                    buffersTooSmall | 2 receive buffers of the guest's were too small
                    malformed | 2 frames of the guest's were shorter than their headers and 0 longer
                    sentTooLong | 0 frames of the guest's were shorter than their headers and 2 longer than mtu=1500
                    lost | 2 frames of the guest's were not taken by stream=/p
                    """)
    void whatIsCountedIsNamed(String counter, String text) {
        assertThat(trouble(true, Map.of(counter, 2L)))
                .hasValueSatisfying(found -> {
                    assertThat(found.text()).startsWith(text);
                    assertThat(found.remedy()).isNotEmpty();
                });
    }

    @Test
    void guestThatTakesNothingIsToldFromOneThatIsSlow() {
        assertThat(trouble(true, Map.of("overrun", 9L, "received", 0L)))
                .hasValueSatisfying(found ->
                        assertThat(found.text())
                                .isEqualTo(
                                        "9 frames for the guest were dropped, and it has taken none"));
    }

    @Test
    void carrierThatIsGoneComesBeforeWhatFollowsFromIt() {
        assertThat(trouble(false, Map.of("lost", 9L)))
                .hasValueSatisfying(found ->
                        assertThat(found.text()).contains("the other side of stream=/p has gone"));
    }
}
