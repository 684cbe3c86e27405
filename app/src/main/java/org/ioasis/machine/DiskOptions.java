package org.ioasis.machine;

import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.virtio.blk.BlkSettings;

/**
 * How one disk is built. Immutable.
 *
 * @param file its content
 * @param settings what the guest sees of it; without discard, parts of the file are never given
 *     back to the host
 */
public record DiskOptions(
        String name,
        Path file,
        boolean isWritable,
        Path socket,
        int endpoint,
        EndpointProperties properties,
        BlkSettings settings)
        implements DeviceOptions {}
