// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.guest;

import java.util.Map;

/**
 * What one cell came to in one boot. Immutable.
 *
 * @param perSecond I/Os
 * @param ios I/Os in all
 * @param bytes that were read or written
 * @param counts by what is counted, in all; empty for QEMU's own device
 * @param seconds of processor time by thread of the server, or of the VMM for QEMU's own device
 */
record GuestFigure(
        double perSecond,
        double ios,
        long bytes,
        Map<String, Long> counts,
        Map<String, Double> seconds) {
    GuestFigure {
        counts = Map.copyOf(counts);
        seconds = Map.copyOf(seconds);
    }

    double cpuSeconds() {
        return seconds.values().stream().mapToDouble(Double::doubleValue).sum();
    }
}
