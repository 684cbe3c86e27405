// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CachedFileTest {
    private static final int SIZE = 1 << 16;

    @TempDir Path folder;
    private final MemorySegment target = Arena.ofAuto().allocate(SIZE);

    @AfterEach
    void letCallsThrough() {
        FailureInjection.disarm();
    }

    /** A file that was written just now: the kernel has all of it. */
    private Path written() throws IOException {
        byte[] bytes = new byte[SIZE];
        for (int i = 0; i < SIZE; i++) {
            bytes[i] = (byte) (i / 4096 + i);
        }
        return Files.write(folder.resolve("file"), bytes);
    }

    /** True where the folder's file system is one that must be able to answer. */
    private boolean isAnswered() throws IOException {
        return Set.of("ext4", "xfs", "btrfs").contains(Files.getFileStore(folder).type());
    }

    @Test
    void whatWasWrittenJustNowIsReadFromWhereItIsAndNothingBehindIt() throws Exception {
        Path path = written();
        try (CachedFile file = CachedFile.open(path)) {
            if (!file.read(4096, target, 4096)) {
                assertThat(isAnswered()).isFalse();
                assertThat(target.toArray(JAVA_BYTE)).containsOnly(0);
                return;
            }

            byte[] content = Files.readAllBytes(path);
            assertThat(target.asSlice(0, 4096).toArray(JAVA_BYTE))
                    .isEqualTo(Arrays.copyOfRange(content, 4096, 8192));
            assertThat(target.asSlice(4096).toArray(JAVA_BYTE)).containsOnly(0);
            assertThat(file.read(0, target, SIZE)).isTrue();
            assertThat(target.toArray(JAVA_BYTE)).isEqualTo(content);
        }
    }

    @Test
    void readOverTheEndOfTheFileIsNone() throws Exception {
        try (CachedFile file = CachedFile.open(written())) {
            assertThat(file.read(SIZE - 512, target, 1024)).isFalse();
            assertThat(file.read(SIZE, target, 512)).isFalse();
            assertThat(file.read(Long.MAX_VALUE, target, 512)).isFalse();
            assertThat(file.read(SIZE - 512, target, 512) || !isAnswered())
                    .as("it goes on after that")
                    .isTrue();
        }
    }

    @Test
    void fileThatCannotBeAskedSoIsAskedOnce() throws Exception {
        try (CachedFile file = CachedFile.open(Path.of("/proc/self/status"))) {
            assertThat(file.read(0, target, 16)).isFalse();
            FailureInjection.arm(1);
            assertThat(file.read(0, target, 16)).isFalse();
            assertThat(FailureInjection.strikes()).as("no call was made").isTrue();
        }
    }

    @Test
    void memoryThatIsTooShortOrNotToBeWrittenOrGoneIsRefusedBeforeTheCall() throws Exception {
        try (CachedFile file = CachedFile.open(written())) {
            assertThatThrownBy(() -> file.read(0, target, SIZE + 1L))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> file.read(0, target.asReadOnly(), 16))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> file.read(0, MemorySegment.ofArray(new byte[16]), 16))
                    .isInstanceOf(IllegalArgumentException.class);
            MemorySegment gone;
            try (Arena arena = Arena.ofConfined()) {
                gone = arena.allocate(16);
            }
            assertThatThrownBy(() -> file.read(0, gone, 16))
                    .isInstanceOf(IllegalStateException.class);
            assertThat(target.toArray(JAVA_BYTE)).containsOnly(0);
        }
    }

    @Test
    void failedCallsLeaveNothingOpen() throws Exception {
        Path path = written();
        try (CachedFile warmUp = CachedFile.open(path)) {
            assertThat(warmUp.read(0, target, 1) || !isAnswered()).isTrue();
        }
        OpenResources before = OpenResources.now();
        FailureInjection.arm(1);
        assertThatThrownBy(() -> CachedFile.open(path)).isInstanceOf(ErrnoException.class);
        assertThatThrownBy(() -> CachedFile.open(folder.resolve("none")))
                .isInstanceOf(ErrnoException.class);
        try (CachedFile file = CachedFile.open(path)) {
            FailureInjection.arm(1);
            assertThat(file.read(0, target, 1)).isFalse();
            assertThat(file.read(0, target, 1) || !isAnswered()).as("only that one").isTrue();
        }
        assertThat(OpenResources.now().openedSince(before)).isEmpty();
    }

    @Test
    void closingTwiceWorksAndNothingFollows() throws Exception {
        CachedFile file = CachedFile.open(written());
        file.close();
        file.close();
        assertThatThrownBy(() -> file.read(0, target, 1)).isInstanceOf(IllegalStateException.class);
    }
}
