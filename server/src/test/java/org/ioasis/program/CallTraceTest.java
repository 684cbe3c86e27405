// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import org.ioasis.sys.Errno;
import org.junit.jupiter.api.Test;

/** The bound of a trace. What stands in its lines is in {@link SupervisorTest}. */
class CallTraceTest {
    @Test
    void traceStaysWithinItsLimitAndSaysWhatIsLeftOut() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        String line = "7 open(/dev/iommu) = -1 EMFILE\n";

        try (CallTrace trace = CallTrace.to(out, 2L * line.length())) {
            for (int i = 0; i < 5; i++) {
                trace.opened(7, "/dev/iommu", -Errno.EMFILE);
            }
        }

        assertThat(out.toString(UTF_8))
                .isEqualTo(line + line + "the trace has reached its limit; calls left out: 3\n");
    }

    @Test
    void anAccessOfADeviceThatWasRefusedHasALine() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();

        try (CallTrace trace = CallTrace.to(out, 1 << 20)) {
            trace.refused("/dev/vfio/devices/vfio0, READ at 0x5000: not mapped");
        }
        CallTrace.none().refused("nobody listens");

        assertThat(out.toString(UTF_8))
                .isEqualTo("refused access: /dev/vfio/devices/vfio0, READ at 0x5000: not mapped\n");
    }
}
