// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** That what is kept stops before a process can open nothing more. */
class FileRoomTest {
    @TempDir Path folder;

    @ParameterizedTest
    @CsvSource({
        "Max open files            1024                 4096                 files, 1024",
        "Max open files            20000                20000                files, 20000",
        "Max open files            99999999999          unlimited            files, 2147483647",
        "Max open files            unlimited            unlimited            files, 1024",
        "Max processes             7                    9                    processes, 1024"
    })
    void whatAProcessMayOpenIsItsSoftLimit(String line, int allowed) throws Exception {
        Path limits = folder.resolve("limits");
        Files.writeString(
                limits, "Limit  Soft Limit  Hard Limit  Units\n" + line + "\nMax x 1 2 y\n");
        assertThat(FileRoom.allowed(limits)).isEqualTo(allowed);
    }

    @Test
    void withoutLimitsTheUsualOnesHold() {
        assertThat(FileRoom.allowed(folder.resolve("none"))).isEqualTo(1024);
    }

    @Test
    void halfOfTheDescriptorsOfTheProcessAreForWhatIsKept() {
        FileRoom room = new FileRoom(FileRoom.limit(5));
        assertThat(room.take()).isTrue();
        assertThat(room.take()).isTrue();
        assertThat(room.take()).isFalse();
        room.giveBack();
        assertThat(room.take()).isTrue();
        assertThat(room.take()).isFalse();
    }
}
