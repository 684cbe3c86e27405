// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.Machine;
import org.ioasis.virtio.blk.BlkErasing;
import org.ioasis.virtio.blk.BlkSettings;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a disk in a machine may take out of its file. */
final class DiskErasingTest {
    @TempDir private Path folder;

    @Test
    void partsOfAFileAreGivenBackByAWritableDiskWithDiscardAlone() throws IOException {
        Path file = Files.write(folder.resolve("disk.img"), new byte[4096]);
        try (Machine machine =
                new Machine(
                        "m",
                        IommuOptions.DEFAULT,
                        IdlePolicy.EVENT_DRIVEN,
                        folder.resolve("iommu.sock"))) {
            assertThat(canDeallocate(machine, 1, file, true, BlkErasing.DEFAULT)).isTrue();
            assertThat(canDeallocate(machine, 2, file, false, BlkErasing.DEFAULT)).isFalse();
            assertThat(canDeallocate(machine, 3, file, true, BlkErasing.NO_DISCARD)).isFalse();
        }
    }

    private boolean canDeallocate(
            Machine machine, int endpoint, Path file, boolean isWritable, BlkErasing erasing)
            throws IOException {
        DiskOptions options =
                DiskOptions.builder(
                                DevicePlace.of(
                                        "disk" + endpoint,
                                        folder.resolve("disk" + endpoint + ".sock"),
                                        endpoint),
                                file)
                        .writable(isWritable)
                        .locked(false)
                        .settings(BlkSettings.builder().erasing(erasing).build())
                        .build();
        return machine.add(machine.iommus().getFirst(), options).store().canDeallocate();
    }
}
