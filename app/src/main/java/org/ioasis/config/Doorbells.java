// SPDX-License-Identifier: Apache-2.0
package org.ioasis.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.live.Unsigned;
import org.ioasis.topology.MsiDoorbells;

/**
 * Where a machine's interrupt controller takes messages: writes of an endpoint there are interrupts
 * and are not translated, and the driver is told so (RESV_MEM of PROBE). A wrong one costs the
 * guest its interrupts: it gives the doorbell an address, and the first I/O never ends. Any thread.
 */
final class Doorbells {
    private Doorbells() {}

    /**
     * An endpoint of a machine with these doorbells.
     *
     * @param text {@code FIRST-LAST} (both included), {@code none}, or a device tree blob
     * @param folder what the blob's path is relative to
     * @throws IOException it is none of these; the message says why
     */
    static EndpointProperties endpoint(String text, Path folder) throws IOException {
        if (text.equals("none")) {
            return EndpointProperties.UNLIMITED;
        }
        List<ReservedRegion> regions = new ArrayList<>();
        int dash = text.indexOf('-');
        if (dash > 0 && text.matches("[0-9a-fA-Fx]+-[0-9a-fA-Fx]+")) {
            regions.add(region(text, dash));
        } else {
            for (MsiDoorbells.Doorbell doorbell : blob(text, folder)) {
                regions.add(
                        new ReservedRegion(
                                doorbell.first(), doorbell.last(), ReservedRegion.Kind.MSI));
            }
        }
        return EndpointProperties.reserving(regions);
    }

    private static ReservedRegion region(String text, int dash) throws IOException {
        try {
            long first = Unsigned.parse(text.substring(0, dash));
            long last = Unsigned.parse(text.substring(dash + 1));
            if (Long.compareUnsigned(last, first) < 0) {
                throw new IOException(text + " ends before it starts");
            }
            return new ReservedRegion(first, last, ReservedRegion.Kind.MSI);
        } catch (NumberFormatException e) {
            throw new IOException(String.valueOf(e.getMessage()), e);
        }
    }

    private static List<MsiDoorbells.Doorbell> blob(String text, Path folder) throws IOException {
        Path file;
        try {
            file = folder.resolve(text);
        } catch (InvalidPathException e) {
            throw new IOException("neither FIRST-LAST nor none nor a file: " + text, e);
        }
        if (!Files.isRegularFile(file)) {
            throw new IOException("neither FIRST-LAST nor none nor a file: " + text);
        }
        if (Files.size(file) > MsiDoorbells.SIZE_MAX) {
            throw new IOException(file + " is too large for a device tree blob");
        }
        List<MsiDoorbells.Doorbell> doorbells;
        try {
            doorbells = MsiDoorbells.of(Files.readAllBytes(file));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
        // The specification has room for one (virtio 1.4, 5.13.6.7.1).
        if (doorbells.size() != 1) {
            throw new IOException(
                    "%s names %d doorbells, %s; give the one that the devices use as FIRST-LAST"
                            .formatted(file, doorbells.size(), doorbells));
        }
        return doorbells;
    }
}
