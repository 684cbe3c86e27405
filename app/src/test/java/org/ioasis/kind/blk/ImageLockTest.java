// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.Machine;
import org.ioasis.sys.LockedFile;
import org.ioasis.virtio.blk.BlkErasing;
import org.ioasis.virtio.blk.BlkSettings;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** One image, two who use it; QEMU on the other side is played by the bytes that it locks. */
class ImageLockTest {
    /** QEMU's bytes: 100 and on for what it does, 200 and on for what it does not share. */
    private static final int READS = 100;

    private static final int WRITES = 101;
    private static final int RESIZES = 103;
    private static final int NO_READERS = 200;
    private static final int NO_WRITERS = 201;

    @TempDir Path folder;
    private Path image;

    @BeforeEach
    void makeImage() throws IOException {
        image = Files.write(folder.resolve("disk.img"), new byte[4096]);
    }

    private DiskOptions disk(int endpoint, boolean isWritable, boolean isLocked) {
        String name = "disk" + endpoint;
        return DiskOptions.builder(
                        DevicePlace.of(name, folder.resolve(name + ".sock"), endpoint), image)
                .writable(isWritable)
                .locked(isLocked)
                .settings(BlkSettings.builder().erasing(BlkErasing.NO_DISCARD).build())
                .build();
    }

    private Machine machine() throws IOException {
        return new Machine(
                "m", IommuOptions.DEFAULT, IdlePolicy.EVENT_DRIVEN, folder.resolve("iommu.sock"));
    }

    @ParameterizedTest
    @CsvSource({"true,true", "true,false", "false,true"})
    void twoDisksOfOneMachineDoNotShareAnImageThatOneOfThemWrites(boolean first, boolean second)
            throws Exception {
        try (Machine machine = machine()) {
            Disk disk = machine.add(machine.iommus().getFirst(), disk(1, first, true));
            assertThat(disk.store().isReadOnly()).isEqualTo(!first);

            assertThatThrownBy(
                            () -> machine.add(machine.iommus().getFirst(), disk(2, second, true)))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining(image + " is in use: this process ");
            assertThat(machine.devices(Disk.class)).hasSize(1);
            assertThat(folder.resolve("disk2.sock")).doesNotExist();
            // Whoever says so may.
            assertThat(
                            machine.add(machine.iommus().getFirst(), disk(2, second, false))
                                    .store()
                                    .capacity())
                    .isEqualTo(4096);
        }
    }

    @Test
    void readersAreBesideReadersAndAnImageIsFreeWhenItsMachineHasEnded() throws Exception {
        try (Machine machine = machine()) {
            machine.add(machine.iommus().getFirst(), disk(1, false, true));
            machine.add(machine.iommus().getFirst(), disk(2, false, true));
            assertThat(machine.devices(Disk.class)).hasSize(2);
        }
        try (Machine machine = machine()) {
            machine.add(machine.iommus().getFirst(), disk(1, true, true));
            assertThat(machine.devices(Disk.class)).hasSize(1);
        }
    }

    @ParameterizedTest
    @CsvSource({
        // A QEMU with the image as a writable disk, as a disk that is only read, and as one whose
        // writers it bears.
        "true, 100 101 201, writes to it",
        "false, 100 101 201, writes to it",
        "true, 100 201, lets nobody else write to it",
        "true, 103, changes its size",
        "false, 200, lets nobody else",
    })
    void whatQemuHoldsIsRespected(boolean isWritable, String bytes, String reason)
            throws Exception {
        try (LockedFile qemu = LockedFile.open(image, false)) {
            for (String at : bytes.split(" ", -1)) {
                assertThat(qemu.tryLock(Long.parseLong(at), Long.parseLong(at), false)).isTrue();
            }

            assertThatThrownBy(() -> ImageLock.take(image, isWritable))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining(reason);
            assertThat(qemu.isLockedElsewhere(0, 300)).as("left behind").isFalse();
        }
        ImageLock.take(image, isWritable).close();
    }

    @Test
    void readerOfQemusIsBesideAReaderOfOurs() throws Exception {
        try (LockedFile qemu = LockedFile.open(image, false)) {
            assertThat(qemu.tryLock(READS, READS, false)).isTrue();
            assertThat(qemu.tryLock(NO_WRITERS, NO_WRITERS, false)).isTrue();
            try (ImageLock ours = ImageLock.take(image, false)) {
                assertThat(ours.path()).exists();
            }
        }
    }

    @Test
    void qemuSeesWhatWeDoAndDoNotShare() throws Exception {
        try (LockedFile qemu = LockedFile.open(image, false)) {
            try (ImageLock writer = ImageLock.take(image, true)) {
                assertThat(writer.path()).exists();
                assertThat(qemu.isLockedElsewhere(READS, READS)).isTrue();
                assertThat(qemu.isLockedElsewhere(WRITES, WRITES)).isTrue();
                assertThat(qemu.isLockedElsewhere(NO_WRITERS, NO_WRITERS)).isTrue();
                assertThat(qemu.isLockedElsewhere(RESIZES, RESIZES)).isFalse();
                assertThat(qemu.isLockedElsewhere(NO_READERS, NO_READERS)).isFalse();
                // Shared locks: QEMU takes the same ones to look, then gives up.
                assertThat(qemu.tryLock(WRITES, WRITES, false)).isTrue();
                assertThat(qemu.tryLock(0, 99, false)).isTrue();
            }
        }
        try (LockedFile qemu = LockedFile.open(image, false);
                ImageLock reader = ImageLock.take(image, false)) {
            assertThat(reader.path()).exists();
            assertThat(qemu.isLockedElsewhere(READS, READS)).isTrue();
            assertThat(qemu.isLockedElsewhere(WRITES, WRITES)).isFalse();
            assertThat(qemu.isLockedElsewhere(NO_WRITERS, NO_WRITERS)).isTrue();
        }
    }

    @Test
    void lockOfAnotherKindIsRespectedToo() throws Exception {
        try (LockedFile other = LockedFile.open(image, true)) {
            assertThat(other.tryLock(0, Long.MAX_VALUE - 1, true)).isTrue();

            assertThatThrownBy(() -> ImageLock.take(image, false))
                    .hasMessageContaining(image + " is in use: this process ");
        }
    }
}
