// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.util.List;
import org.ioasis.iommu.IommuOptions;

/**
 * How both devices are made, so that they could be equal. Immutable.
 *
 * @param addressBits of input addresses
 * @param bypassAtStart what unattached endpoints may do after a reset of the machine
 * @param detachByEndpoint our switch for Linux: a DETACH names the endpoint only
 */
record Setup(int addressBits, boolean bypassAtStart, boolean detachByEndpoint) {
    /** Those that are compared. */
    static final List<Setup> ALL = List.of(new Setup(64, true, false), new Setup(39, false, true));

    /** Last input address. */
    long inputLast() {
        return -1L >>> (64 - addressBits);
    }

    IommuOptions ours() {
        return IommuOptions.builder()
                .inputRange(0, inputLast())
                .bypassAtStart(bypassAtStart)
                .detachByEndpoint(detachByEndpoint)
                .build();
    }

    /** QEMU's device as a value of {@code -device}. */
    String theirs() {
        return "virtio-iommu-pci,addr=1,granule=4k,aw-bits=%d,boot-bypass=%s"
                .formatted(addressBits, bypassAtStart ? "on" : "off");
    }

    @Override
    public String toString() {
        return "%d-bit input addresses, bypass %s at the start, DETACH by %s"
                .formatted(
                        addressBits,
                        bypassAtStart ? "on" : "off",
                        detachByEndpoint ? "endpoint" : "endpoint and domain");
    }
}
