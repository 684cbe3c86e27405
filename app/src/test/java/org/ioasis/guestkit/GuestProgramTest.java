// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class GuestProgramTest {
    private static final Path PROGRAM = Path.of("/u/usr/bin/fio");

    @Test
    void librariesAreThoseWithAFileAndAllStandInOneFolderOfTheGuest() throws IOException {
        List<String> lines =
                List.of(
                        "\tlinux-vdso.so.1 (0x00007ffe5a5f2000)",
                        "\tlibaio.so.1t64 => /u/usr/lib/x86_64-linux-gnu/libaio.so.1t64 (0x00007f1)",
                        "\tlibceph-common.so.2 => /u/usr/lib/x86_64-linux-gnu/ceph/libceph-common.so.2 (0x1)",
                        "\t/lib64/ld-linux-x86-64.so.2 => /u/usr/lib64/ld-linux-x86-64.so.2 (0x2)");

        assertThat(GuestProgram.libraries(lines, PROGRAM))
                .containsOnlyKeys(
                        "lib/x86_64-linux-gnu/libaio.so.1t64",
                        "lib/x86_64-linux-gnu/libceph-common.so.2")
                .containsEntry(
                        "lib/x86_64-linux-gnu/libceph-common.so.2",
                        Path.of("/u/usr/lib/x86_64-linux-gnu/ceph/libceph-common.so.2"));
    }

    @Test
    void libraryThatIsNotThereIsNamed() {
        assertThatThrownBy(() ->
                        GuestProgram.libraries(List.of("\tlibrados.so.2 => not found"), PROGRAM))
                .isInstanceOf(IOException.class)
                .hasMessage("/u/usr/bin/fio needs librados.so.2");
    }
}
