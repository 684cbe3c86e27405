// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.virtio.blk.BlkSettings;

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
        implements DeviceOptions {

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
}
