// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LockedFileTest {
    @TempDir Path folder;
    private Path path;

    @BeforeEach
    void makeFile() throws IOException {
        path = Files.write(folder.resolve("file"), new byte[1]);
    }

    @AfterEach
    void letCallsThrough() {
        FailureInjection.disarm();
    }

    @Test
    void missingFileIsNotMade() {
        assertThatThrownBy(() -> LockedFile.open(folder.resolve("none"), true))
                .isInstanceOfSatisfying(
                        ErrnoException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT));
        assertThat(folder.resolve("none")).doesNotExist();
    }

    @Test
    void rangeThatIsNoneIsRefused() throws Exception {
        try (LockedFile file = LockedFile.open(path, true)) {
            assertThatThrownBy(() -> file.tryLock(-1, 1, true))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> file.tryLock(2, 1, true))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> file.tryLock(0, Long.MAX_VALUE, true))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void exclusiveLockNeedsAFileThatIsOpenForWriting() throws Exception {
        try (LockedFile file = LockedFile.open(path, false)) {
            assertThatThrownBy(() -> file.tryLock(0, 0, true))
                    .isInstanceOfSatisfying(
                            ErrnoException.class,
                            e -> assertThat(e.errno()).isEqualTo(Errno.EBADF));
        }
    }

    @Test
    void failedCallsAreErrorsAndNotTakenForALock() throws Exception {
        try (LockedFile file = LockedFile.open(path, true)) {
            FailureInjection.arm(1);
            assertThatThrownBy(() -> file.tryLock(0, 0, true)).isInstanceOf(ErrnoException.class);
            FailureInjection.arm(1);
            assertThatThrownBy(() -> file.isLockedElsewhere(0, 0))
                    .isInstanceOf(ErrnoException.class);
            FailureInjection.arm(1);
            assertThat(file.holder(0, 0)).isEqualTo("another process");
        }
        FailureInjection.arm(1);
        assertThatThrownBy(() -> LockedFile.open(path, true)).isInstanceOf(ErrnoException.class);
    }

    @Test
    void twoOpeningsInOneProcessAreKeptApartByteByByte() throws Exception {
        try (LockedFile one = LockedFile.open(path, true);
                LockedFile other = LockedFile.open(path, true)) {
            assertThat(one.tryLock(100, 101, true)).isTrue();

            assertThat(other.tryLock(101, 102, true)).isFalse();
            assertThat(other.tryLock(101, 101, false)).isFalse();
            assertThat(other.tryLock(102, 102, true)).isTrue();
            assertThat(other.isLockedElsewhere(0, 99)).isFalse();
            assertThat(other.isLockedElsewhere(0, 100)).isTrue();
            assertThat(other.holder(101, 200)).isEqualTo("this process");
            assertThat(other.holder(102, 200)).isEqualTo("another process");
        }
    }

    @Test
    void sharedLocksAreBesideEachOtherAndSeen() throws Exception {
        try (LockedFile one = LockedFile.open(path, false);
                LockedFile other = LockedFile.open(path, false)) {
            assertThat(one.tryLock(5, 5, false)).isTrue();
            assertThat(one.isLockedElsewhere(5, 5)).isFalse();
            assertThat(other.tryLock(5, 5, false)).isTrue();
            assertThat(one.isLockedElsewhere(5, 5)).isTrue();
        }
    }

    @Test
    void locksEndWithTheObjectAndNotWithAnotherChannelOfTheFile() throws Exception {
        try (LockedFile other = LockedFile.open(path, true)) {
            try (LockedFile one = LockedFile.open(path, true)) {
                assertThat(one.tryLock(0, Long.MAX_VALUE - 1, true)).isTrue();
                assertThat(Files.readAllBytes(one.path())).hasSize(1);
                assertThat(other.isLockedElsewhere(7, 7)).isTrue();
            }
            assertThat(other.isLockedElsewhere(7, 7)).isFalse();
        }
    }

    @Test
    void locksAreReadAsTheKernelWritesThem() {
        String fdinfo =
                """
                pos:\t0
                flags:\t02100002
                lock:\t1: OFDLCK  ADVISORY  READ -1 fe:00:77 101 103
                lock:\t2: POSIX  ADVISORY  WRITE 12 00:1f:88 0 EOF
                """;

        assertThat(LockedFile.isHolding(fdinfo, 77, 103, 200)).isTrue();
        assertThat(LockedFile.isHolding(fdinfo, 77, 0, 101)).isTrue();
        assertThat(LockedFile.isHolding(fdinfo, 77, 104, 200)).isFalse();
        assertThat(LockedFile.isHolding(fdinfo, 77, 0, 100)).isFalse();
        assertThat(LockedFile.isHolding(fdinfo, 7, 101, 101)).isFalse();
        assertThat(LockedFile.isHolding(fdinfo, 88, 1 << 20, 1 << 20)).isTrue();
    }
}
