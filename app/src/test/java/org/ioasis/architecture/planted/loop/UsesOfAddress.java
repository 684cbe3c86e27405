// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.loop;

import java.lang.foreign.MemorySegment;

/** Breaks: segments without a bound only in sys. */
public final class UsesOfAddress {
    private UsesOfAddress() {}

    public static MemorySegment use() {
        return MemorySegment.ofAddress(0);
    }
}
