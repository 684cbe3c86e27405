// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.net;

import java.util.Optional;
import org.ioasis.machine.EndpointDevice.Trouble;
import org.ioasis.virtio.net.NetCounters;
import org.ioasis.virtio.net.NetSettings;

/**
 * Why no frames pass a network device whose DMA is as it should be, judged by what it has counted.
 * Pure functions; any thread.
 */
final class NicTrouble {
    private NicTrouble() {}

    /**
     * The first thing that is wrong, on the way from who carries the frames to the guest and back.
     *
     * @param carrier who carries the frames
     * @param isUp the carrier is still there
     */
    static Optional<Trouble> of(
            String carrier, boolean isUp, NetSettings settings, NetCounters counters) {
        if (!isUp) {
            return trouble(
                    "nobody carries its frames any more: the other side of %s has gone"
                            .formatted(carrier),
                    "start that again, and then this server: the way there is opened at the start");
        }
        if (counters.overrun() > 0 && counters.received() == 0) {
            return trouble(
                    "%d frames for the guest were dropped, and it has taken none"
                            .formatted(counters.overrun()),
                    "the guest gives no receive buffers: is its interface up (ip link set dev eth0 up)?");
        }
        if (counters.receivedTooLong() > 0) {
            return trouble(
                    "%d frames from %s were shorter than an Ethernet header or longer than %d bytes"
                                    .formatted(
                                            counters.receivedTooLong(),
                                            carrier,
                                            settings.frameBytes())
                            + " (mtu=%d) and were dropped".formatted(settings.mtu()),
                    "give the other side the same MTU, or the device a greater one");
        }
        if (counters.buffersTooSmall() > 0) {
            return trouble(
                    "%d receive buffers of the guest's were too small for a frame, which was dropped"
                            .formatted(counters.buffersTooSmall()),
                    "the guest's driver must give buffers of %d bytes, for mtu=%d"
                            .formatted(
                                    settings.frameBytes() + org.ioasis.spec.VirtioNet.HEADER_SIZE,
                                    settings.mtu()));
        }
        if (counters.malformed() + counters.sentTooLong() > 0) {
            return trouble(
                    "%d frames of the guest's were shorter than their headers and %d longer than mtu=%d allows"
                            .formatted(
                                    counters.malformed(), counters.sentTooLong(), settings.mtu()),
                    "the guest's driver breaks the rules, or does not accept VIRTIO_NET_F_MTU");
        }
        if (counters.lost() > 0) {
            return trouble(
                    "%d frames of the guest's were not taken by %s"
                            .formatted(counters.lost(), carrier),
                    "is that interface up on the host (ip link set dev tap0 up)?");
        }
        return Optional.empty();
    }

    private static Optional<Trouble> trouble(String text, String remedy) {
        return Optional.of(new Trouble(text, remedy));
    }
}
