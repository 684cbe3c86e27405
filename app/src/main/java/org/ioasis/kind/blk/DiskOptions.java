// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.blk;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePort;
import org.ioasis.machine.Machine;
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
        String name,
        Path file,
        boolean isWritable,
        boolean isLocked,
        Path socket,
        int endpoint,
        EndpointProperties properties,
        BlkSettings settings)
        implements DeviceOptions<Disk> {

    /** A disk of an x86 VMM with the usual settings, whose name is its serial number. */
    public static DiskOptions of(
            String name, Path file, boolean isWritable, Path socket, int endpoint) {
        return new DiskOptions(
                name,
                file,
                isWritable,
                true,
                socket,
                endpoint,
                Machine.X86_ENDPOINT,
                BlkSettings.of(name));
    }

    @Override
    public Disk build(DevicePort port) throws IOException {
        FileStore store = DiskFile.open(this);
        boolean isBuilt = false;
        try {
            VirtioBlk blk = new VirtioBlk(store, settings, port.io(), port.tasks());
            VirtioPciFunction function = port.function(blk, Pci.CLASS_STORAGE_SCSI);
            Disk disk = new Disk(name, port.endpoint(), blk, store, function, port.serve(function));
            isBuilt = true;
            return disk;
        } finally {
            if (!isBuilt) {
                store.close();
            }
        }
    }
}
