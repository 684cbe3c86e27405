// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.Map;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.run.Progress;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A comparison that cannot begin; those that can are in module guest. */
class ComparisonTest {
    @TempDir Path folder;

    @Test
    void machineWithoutQemuIsToldWhatToInstall() {
        String empty = folder.toString();
        Host host = new Host(Map.of("PATH", empty, "IOASIS_CACHE", empty), "amd64");
        Comparison comparison = new Comparison(10, 1, host, new Progress(System.out, false));

        assertThatThrownBy(comparison::run)
                .isInstanceOf(UnavailableException.class)
                .hasMessageStartingWith("no QEMU: ")
                .hasMessageContaining("qemu-system-x86_64");
    }
}
