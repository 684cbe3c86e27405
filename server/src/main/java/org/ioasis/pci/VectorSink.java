// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

/** Where a function's MSI-X vectors go. Loop thread. */
@FunctionalInterface
public interface VectorSink {
    /** Nobody listens: before a session, and after it. */
    VectorSink NONE =
            new VectorSink() {
                @Override
                public boolean trigger(int vector) {
                    return false;
                }

                @Override
                public boolean isSetUp(int vector) {
                    return false;
                }
            };

    /** Raises a vector; false if nobody has set it up, and nothing happens. */
    boolean trigger(int vector);

    /** Whether somebody has set the vector up. */
    default boolean isSetUp(int vector) {
        return true;
    }
}
