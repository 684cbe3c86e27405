// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.dma.PhysicalPages;

/** The machine's memory, from address 0 on, for who asks for some of it. One thread. */
final class DemoMemory implements PhysicalPages {
    private static final long PAGE = 4096;

    private final MemorySegment bytes;
    private final Map<Long, List<Long>> free = new HashMap<>();
    private long next;

    DemoMemory(Arena arena, long size) {
        bytes = arena.allocate(size, PAGE);
    }

    MemorySegment bytes() {
        return bytes;
    }

    /** What the program sees of it. */
    MemorySegment at(long address, long length) {
        return bytes.asSlice(address, length);
    }

    /** A page of zeroes. */
    long zeroed() {
        long page = take(PAGE);
        at(page, PAGE).fill((byte) 0);
        return page;
    }

    @Override
    public long take(long size) {
        List<Long> same = free.get(size);
        if (same != null && !same.isEmpty()) {
            return same.removeLast();
        }
        if (size > bytes.byteSize() - next) {
            return NONE;
        }
        long address = next;
        next += (size + PAGE - 1) & -PAGE;
        return address;
    }

    @Override
    public void giveBack(long address, long size) {
        free.computeIfAbsent(size, _ -> new ArrayList<>()).add(address);
    }
}
