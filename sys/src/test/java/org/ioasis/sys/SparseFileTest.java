// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SparseFileTest {
    @TempDir Path folder;

    @AfterEach
    void letCallsThrough() {
        FailureInjection.disarm();
    }

    private Path ones(int size) throws IOException {
        byte[] bytes = new byte[size];
        Arrays.fill(bytes, (byte) 1);
        return Files.write(folder.resolve("file"), bytes);
    }

    @Test
    void missingFileIsNotMade() {
        assertThatThrownBy(() -> SparseFile.open(folder.resolve("none")))
                .isInstanceOfSatisfying(
                        ErrnoException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT));
        assertThat(folder.resolve("none")).doesNotExist();
    }

    @Test
    void rangeThatIsNoneIsAnErrorAndNotMistakenForUnsupported() throws Exception {
        try (SparseFile file = SparseFile.open(ones(4096))) {
            assertThatThrownBy(() -> file.punch(0, 0))
                    .isInstanceOfSatisfying(
                            ErrnoException.class,
                            e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
        }
    }

    @Test
    void fileThatCannotHaveHolesSaysSo() throws Exception {
        // A device without blocks: ENODEV or ENOTSUP, depending on the kernel.
        try (SparseFile file = SparseFile.open(Path.of("/dev/null"))) {
            assertThat(file.punch(0, 4096)).isFalse();
        }
    }

    @Test
    void failedCallsLeaveNothingOpen() throws Exception {
        Path path = ones(4096);
        try (SparseFile warmUp = SparseFile.open(path)) {
            assertThat(warmUp.punch(0, 1)).isTrue();
        }
        OpenResources before = OpenResources.now();
        FailureInjection.arm(1);
        assertThatThrownBy(() -> SparseFile.open(path)).isInstanceOf(ErrnoException.class);
        try (SparseFile file = SparseFile.open(path)) {
            FailureInjection.arm(1);
            assertThatThrownBy(() -> file.punch(0, 4096)).isInstanceOf(ErrnoException.class);
        }
        assertThat(OpenResources.now().openedSince(before)).isEmpty();
    }

    @Test
    void holeReadsAsZeroesAndTheRestStays() throws Exception {
        Path path = ones(1 << 20);
        try (SparseFile file = SparseFile.open(path)) {
            assertThat(file.punch(4096, 3 * 4096 + 100)).isTrue();
        }
        byte[] expected = new byte[1 << 20];
        Arrays.fill(expected, (byte) 1);
        Arrays.fill(expected, 4096, 4 * 4096 + 100, (byte) 0);
        assertThat(Files.readAllBytes(path)).isEqualTo(expected);
    }

    @Test
    void pathMeansTheSameFileWhenItsNameIsSomebodyElses() throws Exception {
        Path path = ones(100);
        try (SparseFile file = SparseFile.open(path)) {
            Files.delete(path);
            Files.write(path, new byte[7]);
            assertThat(Files.readAllBytes(file.path())).hasSize(100);
        }
    }

    @Test
    void closingTwiceWorksAndNothingFollows() throws Exception {
        SparseFile file = SparseFile.open(ones(10));
        file.close();
        file.close();
        assertThatThrownBy(() -> file.punch(0, 1)).isInstanceOf(IllegalStateException.class);
    }
}
