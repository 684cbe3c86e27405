// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * What came of an access. Immutable; any thread.
 *
 * @param changed where memory is different, in text
 * @param event what the driver was told, or null
 */
record Effect(String changed, @Nullable Event event) {
    static final String NOTHING = "nothing";

    private static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /**
     * A fault report; all bytes of it, so that two that are equal are equal everywhere.
     *
     * @param used used length; if it is not that of a report the rest is 0
     */
    record Event(int used, int reason, int flags, int endpoint, int reserved, long address) {
        static Event of(MemorySegment bytes, int used) {
            if (used != FAULT_SIZE) {
                return new Event(used, 0, 0, 0, 0, 0);
            }
            return new Event(
                    used,
                    bytes.get(LE32, FAULT_REASON),
                    bytes.get(LE32, FAULT_FLAGS),
                    bytes.get(LE32, FAULT_ENDPOINT),
                    bytes.get(LE32, FAULT_ENDPOINT + 4),
                    bytes.get(LE64, FAULT_ADDRESS));
        }

        /** The same with another reason and other flags. */
        Event with(int otherReason, int otherFlags) {
            return new Event(used, otherReason, otherFlags, endpoint, reserved, address);
        }

        /** Without the endpoint and the address, which the row's example has. */
        @Override
        public String toString() {
            if (used != FAULT_SIZE) {
                return "an event of " + used + " bytes";
            }
            StringJoiner names = new StringJoiner("|");
            names.setEmptyValue("no flags");
            if ((flags & FAULT_F_READ) != 0) {
                names.add("READ");
            }
            if ((flags & FAULT_F_WRITE) != 0) {
                names.add("WRITE");
            }
            if ((flags & FAULT_F_ADDRESS) != 0) {
                names.add("ADDRESS");
            }
            return switch (reason) {
                case FAULT_R_UNKNOWN -> "fault UNKNOWN " + names;
                case FAULT_R_DOMAIN -> "fault DOMAIN " + names;
                case FAULT_R_MAPPING -> "fault MAPPING " + names;
                default -> "fault reason %d %s".formatted(reason, names);
            };
        }
    }

    boolean isChanged() {
        return !changed.equals(NOTHING);
    }

    /** Short, for the table. */
    @Override
    public String toString() {
        String told = event == null ? "no fault" : event.toString();
        return isChanged() ? told + ", memory written" : told;
    }
}
