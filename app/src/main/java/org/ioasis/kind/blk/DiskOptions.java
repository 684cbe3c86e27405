// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.DevicePort;
import org.ioasis.pci.VirtioPciFunction;
import org.ioasis.spec.Pci;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.blk.FileStore;
import org.ioasis.virtio.blk.VirtioBlk;

/**
 * How one disk is built. Immutable.
 *
 * @param file its content
 * @param isLocked nobody else may write to the file meanwhile, and nobody at all beside a disk that
 *     is writable; else the user sees to that
 * @param settings what the guest sees of it; without discard, parts of the file are never given
 *     back to the host
 */
public record DiskOptions(
        DevicePlace place, Path file, boolean isWritable, boolean isLocked, BlkSettings settings)
        implements DeviceOptions<Disk> {

    @Override
    public Disk build(DevicePort port) throws IOException {
        FileStore store = DiskFile.open(this);
        boolean isBuilt = false;
        try {
            VirtioBlk blk = new VirtioBlk(store, settings, port.io(), port.tasks());
            VirtioPciFunction function = port.function(blk, Pci.CLASS_STORAGE_SCSI);
            Disk disk =
                    new Disk(
                            place.name(),
                            port.endpoint(),
                            blk,
                            store,
                            function,
                            port.serve(function));
            isBuilt = true;
            return disk;
        } finally {
            if (!isBuilt) {
                store.close();
            }
        }
    }

    /**
     * Options one by one, beginning with a disk that is written to and locked, and has no serial
     * number.
     */
    public static Builder builder(DevicePlace place, Path file) {
        return new Builder(place, file);
    }

    /** Options one by one. One thread. */
    public static final class Builder {
        private final DevicePlace place;
        private final Path file;
        private boolean isWritable = true;
        private boolean isLocked = true;
        private BlkSettings settings = BlkSettings.builder().build();

        private Builder(DevicePlace place, Path file) {
            this.place = place;
            this.file = file;
        }

        public Builder writable(boolean value) {
            isWritable = value;
            return this;
        }

        public Builder locked(boolean value) {
            isLocked = value;
            return this;
        }

        public Builder settings(BlkSettings value) {
            settings = value;
            return this;
        }

        public DiskOptions build() {
            return new DiskOptions(place, file, isWritable, isLocked, settings);
        }
    }
}
