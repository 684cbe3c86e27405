// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.loop;

import java.lang.foreign.MemorySegment;
import java.util.function.BiFunction;

/** Breaks: segments without a bound only in sys. */
public final class UsesReinterpret {
    private UsesReinterpret() {}

    @SuppressWarnings("restricted") // the violation is what this class is for
    public static BiFunction<MemorySegment, Long, MemorySegment> use() {
        return MemorySegment::reinterpret;
    }
}
