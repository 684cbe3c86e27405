// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SeededDiskTest {
    private static final long SIZE = (3L << 20) + 512;
    @TempDir Path folder;

    @Test
    void sizeThatIsNoNumberOfBlocksIsRefused() {
        assertThatThrownBy(() -> new SeededDisk(1, 0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new SeededDisk(1, 513))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void fileThatExistsIsNotOverwritten() throws IOException {
        Path file = Files.createFile(folder.resolve("disk"));

        assertThatThrownBy(() -> new SeededDisk(1, SIZE).write(file))
                .isInstanceOf(IOException.class);
    }

    @Test
    void copyOfAnotherSizeIsAnError() throws IOException {
        Path file = Files.write(folder.resolve("disk"), new byte[512]);

        assertThatThrownBy(() -> new SeededDisk(1, 1024).compare(file))
                .hasMessageContaining("has 512 bytes, not 1024");
    }

    @Test
    void firstDifferenceIsFoundWhereverItIs() throws IOException {
        SeededDisk disk = new SeededDisk(42, SIZE);
        Path file = folder.resolve("disk");
        disk.write(file);
        byte[] good = Files.readAllBytes(file);
        for (int at : new int[] {0, 511, 512, (1 << 20) - 1, 1 << 20, (int) SIZE - 1}) {
            byte[] bad = good.clone();
            bad[at] ^= 0x10;
            if (at != bad.length - 1) {
                bad[bad.length - 1] ^= 1;
            }
            Files.write(file, bad);

            assertThat(disk.compare(file))
                    .contains(
                            new SeededDisk.Difference(
                                    at / 512, at, good[at] & 0xff, (good[at] ^ 0x10) & 0xff));
        }
    }

    @Test
    void diskOfAnotherSeedDiffersInItsFirstBlock() throws IOException {
        Path file = folder.resolve("disk");
        new SeededDisk(42, SIZE).write(file);

        assertThat(new SeededDisk(43, SIZE).compare(file))
                .hasValueSatisfying(difference -> assertThat(difference.block()).isZero());
    }

    @Test
    void contentIsSplitMix64AndTheHashIsOfTheFile() throws Exception {
        // The first outputs of the published algorithm for seed 1234567.
        long[] published = {6457827717110365317L, 3203168211198807973L, -8629252141511181193L};
        SeededDisk disk = new SeededDisk(1234567, SIZE);
        Path file = folder.resolve("disk");

        String hash = disk.write(file);

        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer words = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(new long[] {words.getLong(0), words.getLong(8), words.getLong(16)})
                .containsExactly(published);
        assertThat(bytes).hasSize((int) SIZE);
        assertThat(hash)
                .isEqualTo(
                        HexFormat.of()
                                .formatHex(MessageDigest.getInstance("SHA-256").digest(bytes)));
        assertThat(disk.compare(file)).isEmpty();
    }
}
