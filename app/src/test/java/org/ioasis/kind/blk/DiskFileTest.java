// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.ioasis.machine.DevicePlace;
import org.ioasis.virtio.blk.BlkBlocks;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.blk.FileStore;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What can be a disk, and what is said of the rest. */
class DiskFileTest {
    @TempDir Path folder;

    private DiskOptions disk(Path image, BlkBlocks blocks) {
        return DiskOptions.builder(DevicePlace.of("d", folder.resolve("d.sock"), 7), image)
                .settings(BlkSettings.builder().blocks(blocks).build())
                .build();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 511})
    void anImageWithoutABlockIsRefusedWithWordsAndIsFreeAgain(int bytes) throws Exception {
        Path image = Files.write(folder.resolve("image"), new byte[bytes]);

        for (int i = 0; i < 2; i++) {
            assertThatThrownBy(() -> DiskFile.open(disk(image, BlkBlocks.OF_512)))
                    .isInstanceOf(IOException.class)
                    .hasMessage(
                            "%1$s has %2$d bytes, less than a block of 512: a guest would find a disk of nothing; `truncate -s 1G %1$s` makes an empty disk",
                            image, bytes);
        }
    }

    @Test
    void oneBlockIsADiskAndALargerBlockWantsMore() throws Exception {
        Path image = Files.write(folder.resolve("image"), new byte[512]);

        assertThatThrownBy(() -> DiskFile.open(disk(image, BlkBlocks.OF_4096)))
                .hasMessageContaining("less than a block of 4096");
        try (FileStore store = DiskFile.open(disk(image, BlkBlocks.OF_512))) {
            assertThat(store.capacity()).isEqualTo(512);
        }
    }

    @Test
    void whatIsNoFileIsRefusedWithWordsBeforeItIsOpened() {
        assertThat(DiskFile.hasBlocks(Path.of("/dev/null"))).isFalse();
        assertThat(DiskFile.hasBlocks(folder.resolve("gone"))).isTrue();
        assertThat(DiskFile.hasBlocks(folder)).isFalse();
    }
}
