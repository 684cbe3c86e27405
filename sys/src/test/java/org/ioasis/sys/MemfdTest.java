// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class MemfdTest {
    @Test
    void negativeSizeIsRefused() {
        assertThatThrownBy(() -> Memfd.create("negative", -1))
                .isInstanceOf(ErrnoException.class)
                .hasMessageMatching("ftruncate fd=\\d+ length=-1: EINVAL");
    }

    @Test
    void nameThatIsTooLongIsRefused() {
        assertThatThrownBy(() -> Memfd.create("n".repeat(250), 1))
                .isInstanceOf(ErrnoException.class)
                .hasMessageStartingWith("memfd_create nnn")
                .hasMessageEndingWith(": EINVAL");
    }

    @Test
    void newMemoryHasItsSizeAndIsZero() throws Exception {
        try (Fd fd = Memfd.create("zero", 10_000);
                Mapping mapping = Mapping.map(fd, 0, 10_000, true)) {
            assertThat(fd.size()).isEqualTo(10_000);
            assertThat(mapping.segment().mismatch(MemorySegment.ofArray(new byte[10_000])))
                    .isEqualTo(-1);
        }
    }

    @Test
    void whatAFileGrowsByIsZeroToo() throws Exception {
        try (Fd fd = Memfd.create("grown", 1)) {
            Memfd.resize(fd, 4096);

            try (Mapping mapping = Mapping.map(fd, 0, 4096, false)) {
                assertThat(mapping.segment().get(JAVA_BYTE, 4095)).isZero();
            }
        }
    }
}
