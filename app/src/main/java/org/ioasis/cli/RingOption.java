// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

import org.ioasis.virtqueue.RingFormat;
import picocli.CommandLine.Option;

/** The option for the format of virtqueues. One thread. */
final class RingOption {
    /** What can be chosen. */
    enum Format {
        split,
        packed
    }

    @Option(
            names = "--ring",
            paramLabel = "FORMAT",
            description = {
                "${COMPLETION-CANDIDATES}: with packed, the devices offer packed virtqueues (VIRTIO_F_RING_PACKED), which"
                        + " a driver that knows them then uses (default: split)."
            })
    private Format format = Format.split;

    boolean isPacked() {
        return format == Format.packed;
    }

    /** As it is written on the command line. */
    String name() {
        return format.name();
    }

    RingFormat chosen() {
        return isPacked() ? RingFormat.PACKED : RingFormat.SPLIT;
    }
}
