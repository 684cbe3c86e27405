// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.jspecify.annotations.Nullable;

/**
 * How far an {@link Invalidator} has come, in one number: entries that were done, which is the
 * index of the one that was refused, and why it was. Any thread.
 */
public final class Handled {
    private static final int BITS = 8;
    private static final InvalidationRefusal[] REFUSALS = InvalidationRefusal.values();

    private Handled() {}

    /** All of them were done. */
    public static long all(int count) {
        return (long) count << BITS;
    }

    /** So many were done, and the next was refused. */
    @SuppressWarnings("EnumOrdinal") // the number is of this run only
    public static long refused(int done, InvalidationRefusal why) {
        return all(done) | (why.ordinal() + 1);
    }

    /** Entries that were done. */
    public static int done(long handled) {
        return (int) (handled >>> BITS);
    }

    /** Why the next one was not; null: there was none. */
    public static @Nullable InvalidationRefusal refusal(long handled) {
        int code = (int) handled & ((1 << BITS) - 1);
        return code == 0 ? null : REFUSALS[code - 1];
    }
}
