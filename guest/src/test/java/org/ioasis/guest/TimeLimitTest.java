// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * A guest that does not end in time is a bug of ours until shown otherwise, so its end tells what
 * we know.
 */
class TimeLimitTest {
    @Test
    void runThatExceedsItsTimePrintsTheStateOfTheDevices() throws Exception {
        try (Command command = new Command(Map.of(), "vm", "--accel", "tcg", "--timeout", "1")) {
            int code = command.end();

            assertThat(code).as(command.output()).isEqualTo(73);
            assertThat(command.output())
                    .contains("the guest does not end; state of the devices:")
                    .contains("machine machine\n  iommu iommu0\n")
                    .contains("endpoint 0x10\n")
                    .containsPattern("processors:\nCPU#0\nRAX=[0-9a-f]{16} ")
                    .containsPattern("\nRIP=[0-9a-f]{16} ")
                    .containsPattern(
                            "stack \\(with --append nokaslr .*\\):\n[0-9a-f]{16}: 0x[0-9a-f]{16} ")
                    .contains("PROBLEM: the guest did not end within 1 s")
                    .endsWith("ioasis: the guest did not end within its time (exit code 73)");
        }
    }
}
