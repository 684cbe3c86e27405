// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import java.util.Arrays;

/**
 * Which addresses of its process a guest's memory has: slots, by guest address. {@link #toUser} any
 * thread, without a lock; a VMM changes slots.
 */
public final class GuestMemory {
    /** Answer of {@link #toUser}: no slot has it. */
    public static final long NOWHERE = -1;

    private static final long PAGE_MASK = 4095;

    private record Slot(long first, long last, long user) {}

    /** In order, replaced as a whole. */
    private volatile Slot[] slots = {};

    /**
     * Adds memory.
     *
     * @param guest guest address
     * @param user address in the process
     */
    public synchronized void add(long guest, long size, long user) {
        long last = guest + size - 1;
        if (((guest | size | user) & PAGE_MASK) != 0
                || size == 0
                || Long.compareUnsigned(last, guest) < 0
                || Long.compareUnsigned(user + size - 1, user) < 0) {
            throw new IllegalArgumentException(
                    "no slot of 0x%x bytes at 0x%x".formatted(size, guest));
        }
        for (Slot slot : slots) {
            if (Long.compareUnsigned(guest, slot.last) <= 0
                    && Long.compareUnsigned(slot.first, last) <= 0) {
                throw new IllegalArgumentException("0x%x is in a slot".formatted(guest));
            }
        }
        Slot[] more = Arrays.copyOf(slots, slots.length + 1);
        more[slots.length] = new Slot(guest, last, user);
        Arrays.sort(more, (a, b) -> Long.compareUnsigned(a.first, b.first));
        slots = more;
    }

    /** Takes away the slot that begins there. */
    public synchronized void remove(long guest) {
        slots = Arrays.stream(slots).filter(slot -> slot.first != guest).toArray(Slot[]::new);
    }

    /**
     * The address in the process.
     *
     * @param size all of it has to be in one slot
     */
    public long toUser(long guest, long size) {
        for (Slot slot : slots) {
            if (Long.compareUnsigned(guest, slot.first) >= 0
                    && Long.compareUnsigned(guest, slot.last) <= 0) {
                return Long.compareUnsigned(size - 1, slot.last - guest) <= 0
                        ? slot.user + (guest - slot.first)
                        : NOWHERE;
            }
        }
        return NOWHERE;
    }
}
