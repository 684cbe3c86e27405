// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rogue;

import org.ioasis.memory.Access;

/**
 * A series of accesses that no driver asked for.
 *
 * @param length bytes of each access, 1 to {@link #LENGTH_LIMIT}: long ones run over the ends of
 *     mappings
 * @param count number of accesses, at least 1
 */
public record Volley(Access access, Aim aim, int length, long count) {
    /** Longest access: it is one guarded section. */
    public static final int LENGTH_LIMIT = 1 << 20;

    public Volley {
        if (length < 1 || length > LENGTH_LIMIT || count < 1) {
            throw new IllegalArgumentException("length=%d count=%d".formatted(length, count));
        }
    }
}
