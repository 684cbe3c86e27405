// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rng;

/**
 * Where a {@link VirtioRng} has its bytes from, such as {@code SecureRandom::nextBytes}. Called on
 * the device's thread, outside guarded sections; must not block.
 */
@FunctionalInterface
public interface RandomSource {
    /** Fills the whole array. */
    void fill(byte[] bytes);
}
