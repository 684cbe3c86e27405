// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CountersTest {
    private static final String DUMP =
            """
            {"machines": [{"name": "m", "loopCounts": {"waits": 7, "sleeps": 3, "signals": 1},
              "iommus": [{"device": {"kicks": 5, "interrupts": 0}, "bypass": true,
                "session": {"receives": 20, "sends": 2},
                "requests": {"MAP": {"OK": 4}, "UNMAP": {"OK": 3, "RANGE": 1}, "unanswered": 0},
                "endpoints": [{"device": {"kicks": 6, "interrupts": 8}},
                              {"device": {"kicks": 1, "interrupts": 1}}]}]}]}
            """;

    @Test
    void numbersOfADumpAreSummedOverDevices() throws IOException {
        Counters none = new Counters(Map.of());
        Counters now = Counters.of(DUMP);

        assertThat(now.since(none, Counters.KICKS)).isEqualTo(12);
        assertThat(now.since(none, Counters.INTERRUPTS)).isEqualTo(9);
        assertThat(now.since(none, Counters.REQUESTS)).isEqualTo(8);
        assertThat(now.systemCallsSince(none)).isEqualTo(7 + 20 + 2 + 9 + 1);
        assertThat(now.since(now, Counters.KICKS)).isZero();
    }
}
