// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

import org.ioasis.virtio.Job;

/** A request for random bytes: all of it is in its chain. Device's thread. */
final class Fill extends Job<Fill> {
    Fill(int descriptorLimit) {
        super(descriptorLimit);
    }

    @Override
    protected void begin() {}
}
