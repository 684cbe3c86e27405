// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Page tables that Linux makes for an IOMMU of QEMU's, walked by us while the guest stands. */
class TablesTest {
    private static final Pattern RESULT =
            Pattern.compile(
                    "vtd-legacy \\(QEMU [0-9.]+, Linux \\S+\\): (\\d+) translations of 2 devices compared"
                            + " \\((\\d+) with their size, (\\d+) with what they allow\\), (\\d+) commands in the"
                            + " queue, 0 differences");

    @Test
    void whatLinuxMappedForItsDisksIsWhatWeFind() throws Exception {
        try (Command command =
                new Command(Map.of(), "compare", "tables", "--iommu", "vtd-legacy")) {
            assertThat(command.end()).as(command.output()).isZero();
            Matcher result = RESULT.matcher(command.output());
            assertThat(result.find()).as(command.output()).isTrue();
            System.out.println(result.group());
            assertThat(Integer.parseInt(result.group(1))).isGreaterThan(300);
            assertThat(result.group(2)).isEqualTo(result.group(1));
            assertThat(Integer.parseInt(result.group(3))).isGreaterThan(300);
            assertThat(Integer.parseInt(result.group(4))).isPositive();
        }
    }
}
