// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.jspecify.annotations.Nullable;

/** Private data, and a getter that keeps what it was given. One thread, but for its flag. */
final class Owned {
    final String name;
    volatile boolean isDropped;

    Owned(String name) {
        this.name = name;
    }

    /** Keeps what a look-up hands it. */
    static final class Keeper implements IoasidGetter<Object> {
        @Nullable Object got;
        int calls;

        @Override
        public boolean get(Object data) {
            got = data;
            calls++;
            return true;
        }
    }

    @Override
    public String toString() {
        return name;
    }
}
