// SPDX-License-Identifier: Apache-2.0
package org.ioasis.record;

/** What a row of a recording tells of. */
public enum Event {
    /** A request of the driver; {@code status} is its answer. */
    MAP,
    UNMAP,
    ATTACH,
    DETACH,
    /** ATTACH with a table of the driver's own, which is not in the recording. */
    TABLE,
    /** What is attached to nothing may do from now on is {@code flags}: 1 reaches memory. */
    BYPASS,
    /** The IOMMU is reset; {@code flags} 1: with the whole machine. */
    RESET,
    /** The endpoint's device works by its driver's order. */
    START,
    /** The endpoint's device is reset. */
    STOP,
    /** An access, or that piece of one which went to one place. */
    ACCESS,
    /** A refused access; {@code status} is the reason. */
    FAULT,
    /** Here {@code lost} rows are missing. */
    LOST;

    private static final Event[] ALL = values();

    /** The one with that {@link #ordinal}. */
    static Event of(int ordinal) {
        return ALL[ordinal];
    }

    /** The row names an endpoint. */
    public boolean hasEndpoint() {
        return switch (this) {
            case ATTACH, DETACH, TABLE, START, STOP, ACCESS, FAULT -> true;
            case MAP, UNMAP, BYPASS, RESET, LOST -> false;
        };
    }

    /** The row has a range of IOVAs. */
    public boolean hasRange() {
        return switch (this) {
            case MAP, UNMAP, ACCESS, FAULT -> true;
            case ATTACH, DETACH, TABLE, BYPASS, RESET, START, STOP, LOST -> false;
        };
    }

    /** The row says where its range leads. */
    public boolean hasOutput() {
        return this == MAP || this == ACCESS;
    }

    /** The row has flags. */
    public boolean hasFlags() {
        return switch (this) {
            case MAP, ATTACH, TABLE, BYPASS, RESET, ACCESS, FAULT -> true;
            case UNMAP, DETACH, START, STOP, LOST -> false;
        };
    }

    /** The row is about a request and has its answer, or about an access. */
    public boolean hasStatus() {
        return switch (this) {
            case MAP, UNMAP, ATTACH, DETACH, TABLE, FAULT -> true;
            case BYPASS, RESET, START, STOP, ACCESS, LOST -> false;
        };
    }
}
