// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.NonWritableChannelException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileStoreTest {
    @TempDir private Path folder;

    private Path file(int size) throws IOException {
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) i;
        }
        return Files.write(folder.resolve("disk"), bytes);
    }

    @Test
    void aFileThatIsNotThereIsAnError() {
        assertThatThrownBy(() -> FileStore.open(folder.resolve("none"), true))
                .isInstanceOf(NoSuchFileException.class);
        assertThat(folder.resolve("none")).doesNotExist();
    }

    @Test
    void aFileThatGotShorterIsAnErrorAndNotAHang() throws IOException {
        Path path = file(1024);
        try (FileStore store = FileStore.open(path, false)) {
            Files.write(path, new byte[600]);
            assertThatThrownBy(() -> store.read(512, ByteBuffer.allocateDirect(512)))
                    .isInstanceOf(EOFException.class);
        }
    }

    @Test
    void aReadOnlyStoreDoesNotWrite() throws IOException {
        try (FileStore store = FileStore.open(file(512), false)) {
            assertThat(store.isReadOnly()).isTrue();
            assertThatThrownBy(() -> store.write(0, ByteBuffer.allocateDirect(1)))
                    .isInstanceOf(NonWritableChannelException.class);
            store.flush();
        }
    }

    @Test
    void aFullDiskIsAnError() throws IOException {
        FileChannel full = FileChannel.open(Path.of("/dev/full"), StandardOpenOption.WRITE);
        try (FileStore store = new FileStore(full, 1 << 20, false, FileCalls.NONE)) {
            assertThatThrownBy(() -> store.write(0, ByteBuffer.allocateDirect(512)))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("No space left");
            assertThatThrownBy(() -> store.writeZeroes(0, 512, true))
                    .isInstanceOf(IOException.class);
        }
    }

    @Test
    void anErrorWhilePunchingIsAnErrorAndNoReasonToWriteInstead() throws IOException {
        FileCalls failing =
                (position, length) -> {
                    throw new IOException("injected");
                };
        Path path = file(4096);
        byte[] before = Files.readAllBytes(path);
        try (FileStore store = FileStore.open(path, true, failing)) {
            assertThatThrownBy(() -> store.discard(0, 512)).hasMessage("injected");
            assertThatThrownBy(() -> store.writeZeroes(0, 512, true)).hasMessage("injected");
        }
        assertThat(Files.readAllBytes(path)).isEqualTo(before);
    }

    @Test
    void withoutHolesADiscardLeavesTheBytesAndZeroesAreWritten() throws IOException {
        int size = 1 << 20;
        Path path = file(size);
        byte[] expected = Files.readAllBytes(path);
        try (FileStore store = FileStore.open(path, true)) {
            assertThat(store.canDeallocate()).isFalse();
            store.discard(0, 1024);
            store.writeZeroes(4096, 700_000, true);
            store.writeZeroes(900_000, 100, false);
        }
        Arrays.fill(expected, 4096, 704_096, (byte) 0);
        Arrays.fill(expected, 900_000, 900_100, (byte) 0);
        assertThat(Files.readAllBytes(path)).isEqualTo(expected);
    }

    @Test
    void holesArePunchedWhereRoomNeedNotBeKept() throws IOException {
        List<String> calls = new ArrayList<>();
        FileCalls recording =
                (position, length) -> {
                    calls.add(position + "+" + length);
                    return true;
                };
        Path path = file(4096);
        try (FileStore store = FileStore.open(path, true, recording)) {
            assertThat(store.canDeallocate()).isTrue();
            store.discard(512, 1024);
            store.writeZeroes(2048, 512, true);
            store.writeZeroes(3072, 512, false);
        }
        assertThat(calls).containsExactly("512+1024", "2048+512");
        byte[] bytes = Files.readAllBytes(path);
        assertThat(Arrays.copyOfRange(bytes, 3072, 3584)).containsOnly(0);
        assertThat(bytes[513]).isEqualTo((byte) 513);
    }

    @Test
    void aReadOnlyStoreGivesNothingBack() throws IOException {
        try (FileStore store = FileStore.open(file(512), false, (p, n) -> true)) {
            assertThat(store.canDeallocate()).isFalse();
        }
    }

    @Test
    void theCapacityIsWholeSectors() throws IOException {
        try (FileStore store = FileStore.open(file(1535), true)) {
            assertThat(store.capacity()).isEqualTo(1024);
            assertThat(store.isReadOnly()).isFalse();
        }
    }

    @Test
    void bytesGoWhereTheyBelong() throws IOException {
        Path path = file(2048);
        try (FileStore store = FileStore.open(path, true)) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(512);
            store.read(513, buffer);
            assertThat(buffer.hasRemaining()).isFalse();
            assertThat(buffer.get(0)).isEqualTo((byte) 513);
            buffer.flip();
            store.write(1024, buffer);
            store.flush();
        }
        byte[] bytes = Files.readAllBytes(path);
        assertThat(bytes).hasSize(2048);
        assertThat(bytes[1023]).isEqualTo((byte) 1023);
        assertThat(bytes[1024]).isEqualTo((byte) 513);
        assertThat(bytes[1535]).isEqualTo((byte) 1024);
        assertThat(bytes[1536]).isEqualTo((byte) 1536);
    }

    @Test
    void closingTwiceWorks() throws IOException {
        FileStore store = FileStore.open(file(512), true);
        store.close();
        store.close();
        assertThatThrownBy(() -> store.read(0, ByteBuffer.allocateDirect(1)))
                .isInstanceOf(IOException.class);
    }
}
