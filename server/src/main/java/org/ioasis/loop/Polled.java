// SPDX-License-Identifier: Apache-2.0
package org.ioasis.loop;

import java.util.function.BooleanSupplier;
import java.util.function.IntSupplier;

/**
 * Something that a loop looks at in each turn, because nobody tells when it is ready: the waits for
 * accesses to end. Loop thread.
 */
public interface Polled {
    /** There is nothing to look at. */
    Polled NOTHING = of(() -> false, () -> 0);

    /** True while something waits: the loop then looks again within a millisecond. */
    boolean hasPending();

    /** Lets go what is ready, and returns how much that was. */
    int poll();

    /** What two methods of something make of it that does not know of loops. */
    static Polled of(BooleanSupplier hasPending, IntSupplier poll) {
        return new Polled() {
            @Override
            public boolean hasPending() {
                return hasPending.getAsBoolean();
            }

            @Override
            public int poll() {
                return poll.getAsInt();
            }
        };
    }
}
