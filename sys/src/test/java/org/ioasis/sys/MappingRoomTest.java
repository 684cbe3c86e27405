// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** That mappings stop before the host lets the JVM have no more. */
class MappingRoomTest {
    private static final long PAGE = 65_536; // of any machine

    @TempDir Path folder;

    @Test
    void atTheLimitOfMappingsNothingIsMappedUntilTheLastUserOfOneHasLetGo() throws Exception {
        MappingRoom room = new MappingRoom(2);
        try (Fd fd = Memfd.create("room", PAGE);
                Arena lease = Arena.ofConfined();
                Mapping kept = Mapping.map(fd, 0, PAGE, true, room)) {
            try (Arena other = Arena.ofConfined()) {
                try (Mapping lender = Mapping.map(fd, 0, PAGE, true, room)) {
                    assertThat(lender.lend(0, 8, other).byteSize()).isEqualTo(8);
                    isRefused(fd, room);
                }
                isRefused(fd, room);
            }
            try (Mapping next = Mapping.map(fd, 0, PAGE, true, room)) {
                MemorySegment lent = kept.lend(0, 8, lease);
                next.segment().set(JAVA_BYTE, 0, (byte) 7);
                assertThat(lent.get(JAVA_BYTE, 0)).isEqualTo((byte) 7);
                isRefused(fd, room);
            }
        }
    }

    /** What is refused for another reason takes no room. */
    @Test
    void whatTheHostRefusesTakesNoRoom() throws Exception {
        MappingRoom room = new MappingRoom(1);
        try (Fd fd = Memfd.create("room", PAGE);
                Fd readOnly = FileBytes.open("/proc/self/fd/" + fd.number(), FileBytes.O_RDONLY)) {
            for (int i = 0; i < 3; i++) {
                assertThatThrownBy(() -> Mapping.map(readOnly, 0, PAGE, true, room))
                        .hasMessageEndingWith(": EACCES");
            }
            Mapping.map(fd, 0, PAGE, true, room).close();
        }
    }

    private static void isRefused(Fd fd, MappingRoom room) {
        assertThatThrownBy(() -> Mapping.map(fd, 0, PAGE, true, room))
                .isInstanceOf(ErrnoException.class)
                .hasMessageEndingWith(": ENOMEM");
    }

    @ParameterizedTest
    @CsvSource({"65530, 61434", "1048576, 1044480", "8192, 4096", "1000, 500"})
    void theJvmIsLeftAReserveOfWhatTheHostAllows(int allowed, int limit) {
        assertThat(MappingRoom.limit(allowed)).isEqualTo(limit);
    }

    @Test
    void whatTheHostAllowsIsReadAndWhereItCannotBeTheUsualIsTaken() throws Exception {
        assertThat(MappingRoom.allowed(Files.writeString(folder.resolve("n"), "70000\n")))
                .isEqualTo(70_000);
        assertThat(MappingRoom.allowed(Files.writeString(folder.resolve("x"), "many")))
                .isEqualTo(65_530);
        assertThat(MappingRoom.allowed(folder.resolve("no"))).isEqualTo(65_530);
    }

    /** A file of the kernel's, which tells its whole content to the first read and to no other. */
    @Test
    void whatThisHostAllowsIsReadAsOthersReadIt() throws Exception {
        Path setting = Path.of("/proc/sys/vm/max_map_count");
        Process cat = new ProcessBuilder("cat", setting.toString()).start();

        int allowed = Integer.parseInt(cat.inputReader().readLine());

        assertThat(MappingRoom.allowed(setting)).isEqualTo(allowed).isGreaterThan(9);
    }
}
