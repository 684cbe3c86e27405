package org.ioasis.machine;

import java.nio.file.Path;
import org.ioasis.iommu.EndpointProperties;

/**
 * How one disk is built. Immutable.
 *
 * @param name what reports call it
 * @param serial the serial number that the guest sees: ASCII, up to 20 characters
 * @param file its content
 * @param socket where the VMM connects it
 * @param endpoint what the IOMMU tells it by, 32-bit unsigned; the topology table must give its
 *     function the same id
 */
public record DiskOptions(
        String name,
        String serial,
        Path file,
        boolean isWritable,
        Path socket,
        int endpoint,
        EndpointProperties properties) {}
