// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.machine.DeviceKeys;
import org.ioasis.machine.DeviceKind;
import org.ioasis.machine.DevicePlace;
import org.ioasis.spec.VirtioBlk;
import org.ioasis.virtio.blk.BlkBlocks;
import org.ioasis.virtio.blk.BlkErasing;
import org.ioasis.virtio.blk.BlkSettings;
import org.jspecify.annotations.Nullable;

/** Disks. */
public final class BlkKind implements DeviceKind {
    @Override
    public String key() {
        return "blk";
    }

    @Override
    public String usualName() {
        return "disk";
    }

    @Override
    public String optionLabel() {
        return "SOCKET,file=FILE[,KEY=VALUE...]";
    }

    @Override
    public List<String> optionHelp() {
        return List.of(
                "A disk behind the IOMMU; repeatable. endpoint=ID: if left out, its PCI function's number (0x88 for"
                        + " 00:11.0). alias=ID: a second id, by which the guest knows it behind a PCIe-to-PCI bridge."
                        + " serial=TEXT. readonly. num_queues=N: request queues, 1 to 64. queue_size=N: entries of"
                        + " each, a power of two from 4 to 1024. seg_max=N: pieces of a request, 1 to queue_size - 2."
                        + " size_max=BYTES of a piece, 4096 and more. blk_size=512 or 4096. nodiscard: the guest"
                        + " cannot give parts of the file back. nolock: FILE is not locked against other writers. A"
                        + " comma in a value is written twice.");
    }

    @Override
    public @Nullable Described read(DeviceKeys keys) {
        Path file = keys.requiredPath("file");
        String serial = keys.string("serial");
        boolean isWritable = !keys.bool("readonly", false);
        boolean isLocked = keys.bool("lock", true);
        BlkSettings settings = settings(keys);
        return file == null ? null : new Image(file, isWritable, isLocked, serial, settings);
    }

    private static BlkSettings settings(DeviceKeys keys) {
        BlkSettings usual = BlkSettings.builder().build();
        int queueSize = (int) keys.integer("queue_size", 4, 1024, usual.queueSizeMax());
        if (Integer.bitCount(queueSize) != 1) {
            keys.problem("queue_size", "must be a power of two, not " + queueSize);
            queueSize = usual.queueSizeMax();
        }
        int segMax = (int) keys.integer("seg_max", 1, queueSize - 2, queueSize - 2);
        int sizeMax = (int) keys.integer("size_max", 4096, Integer.MAX_VALUE, usual.sizeMax());
        return usual.toBuilder()
                .queueCount(
                        (int)
                                keys.integer(
                                        "num_queues",
                                        1,
                                        BlkSettings.QUEUE_LIMIT,
                                        usual.queueCount()))
                .queueSizeMax(queueSize)
                .segMax(segMax)
                .sizeMax(sizeMax)
                .blocks(blocks(keys))
                .erasing(keys.bool("discard", true) ? usual.erasing() : BlkErasing.NO_DISCARD)
                .build();
    }

    private static BlkBlocks blocks(DeviceKeys keys) {
        BlkBlocks blocks = BlkBlocks.OF_512;
        long size = keys.integer("blk_size", 0, 0xffff_ffffL, blocks.size());
        if (size == BlkBlocks.OF_4096.size()) {
            blocks = BlkBlocks.OF_4096;
        } else if (size != blocks.size()) {
            keys.problem("blk_size", "must be 512 or 4096, not " + size);
        }
        DeviceKeys topology = keys.table("topology");
        if (topology == null) {
            return blocks;
        }
        BlkBlocks shaped =
                new BlkBlocks(
                        blocks.size(),
                        (int) topology.integer("physical_block_exp", 0, 8, 0),
                        (int) topology.integer("min_io_size", 1, 0xffff, 1),
                        (int) topology.integer("opt_io_size", 0, Integer.MAX_VALUE, 0));
        topology.finish();
        return shaped;
    }

    /**
     * A disk as described.
     *
     * @param settings without a serial number yet
     */
    private record Image(
            Path file,
            boolean isWritable,
            boolean isLocked,
            @Nullable String serial,
            BlkSettings settings)
            implements Described {

        @Override
        public void check(Consumer<String> problem) {
            if (!Files.exists(file)) {
                problem.accept(
                        "there is no file %s; `truncate -s 1G %s` makes an empty disk"
                                .formatted(file, file));
            } else if (Files.isDirectory(file)) {
                problem.accept(file + " is a folder");
            } else if (!DiskFile.hasBlocks(file)) {
                // A pipe would be waited for when it is opened.
                problem.accept(
                        "%s is neither a file nor a block device, so it has no size that a disk could have; name one that is"
                                .formatted(file));
            } else if (!Files.isReadable(file) || (isWritable && !Files.isWritable(file))) {
                problem.accept(
                        "no permission to %s %s".formatted(isWritable ? "write" : "read", file));
            }
            if (serial != null && !BlkSettings.isSerial(serial)) {
                problem.accept(
                        "serial \"%s\" is not up to %d ASCII characters"
                                .formatted(serial, VirtioBlk.ID_BYTES));
            }
        }

        @Override
        public DiskOptions at(DevicePlace place) {
            return DiskOptions.builder(place, file)
                    .writable(isWritable)
                    .locked(isLocked)
                    .settings(settings.toBuilder().serial(serialFor(place.name())).build())
                    .build();
        }

        /** What was chosen, or the name as far as it fits; empty where neither is possible. */
        private String serialFor(String name) {
            String chosen =
                    serial != null
                            ? serial
                            : name.substring(0, Math.min(name.length(), VirtioBlk.ID_BYTES));
            return BlkSettings.isSerial(chosen) ? chosen : "";
        }
    }
}
