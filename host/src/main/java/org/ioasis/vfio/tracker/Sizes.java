// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio.tracker;

/** What objects cost on HotSpot with compressed references (JOL's figures). Any thread. */
final class Sizes {
    private static final int ARRAY_HEADER = 16;
    private static final int OBJECT_HEADER = 12;
    private static final int ALIGNMENT = 8;

    private Sizes() {}

    static long array(long elements, int elementBytes) {
        return aligned(ARRAY_HEADER + elements * elementBytes);
    }

    /**
     * @param fieldBytes of all fields
     */
    static long object(int fieldBytes) {
        return aligned(OBJECT_HEADER + fieldBytes);
    }

    private static long aligned(long bytes) {
        return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
    }
}
