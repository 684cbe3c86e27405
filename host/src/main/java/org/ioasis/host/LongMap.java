// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Objects by 64-bit number: open addressing with linear probing, so that nothing is boxed. Under
 * its owner's lock.
 *
 * @param <T> what is kept
 */
public final class LongMap<T> {
    private static final long[] NO_KEYS = {};
    private static final @Nullable Object[] NO_VALUES = {};
    private static final int FIRST_SLOTS = 8;

    private long[] keys = NO_KEYS;
    private @Nullable Object[] values = NO_VALUES;
    private int size;

    public int size() {
        return size;
    }

    // Only put writes values, and only with a T.
    @SuppressWarnings("unchecked")
    public @Nullable T get(long key) {
        if (size == 0) {
            return null;
        }
        for (int i = slot(key); values[i] != null; i = next(i)) {
            if (keys[i] == key) {
                return (T) values[i];
            }
        }
        return null;
    }

    /** Adds what is not there yet. */
    public void put(long key, T value) {
        if (2 * (size + 1) > keys.length) {
            grow();
        }
        place(key, value);
        size++;
    }

    public void remove(long key) {
        if (size == 0) {
            return;
        }
        int hole = slot(key);
        while (values[hole] != null && keys[hole] != key) {
            hole = next(hole);
        }
        if (values[hole] == null) {
            return;
        }
        size--;
        // Later entries of the same cluster move up, or a probe would stop at the hole before it
        // finds them.
        for (int i = next(hole); values[i] != null; i = next(i)) {
            int home = slot(keys[i]);
            boolean mayMove = hole <= i ? home <= hole || home > i : home <= hole && home > i;
            if (mayMove) {
                keys[hole] = keys[i];
                values[hole] = values[i];
                hole = i;
            }
        }
        values[hole] = null;
    }

    @SuppressWarnings("unchecked") // as in get
    public void forEach(Consumer<T> visitor) {
        for (Object value : values.clone()) {
            if (value != null) {
                visitor.accept((T) value);
            }
        }
    }

    private void place(long key, Object value) {
        int i = slot(key);
        while (values[i] != null) {
            i = next(i);
        }
        keys[i] = key;
        values[i] = value;
    }

    private void grow() {
        long[] oldKeys = keys;
        @Nullable Object[] oldValues = values;
        keys = new long[Math.max(FIRST_SLOTS, oldKeys.length * 2)];
        values = new @Nullable Object[keys.length];
        for (int i = 0; i < oldKeys.length; i++) {
            Object value = oldValues[i];
            if (value != null) {
                place(oldKeys[i], value);
            }
        }
    }

    private int slot(long key) {
        return (int)
                ((key * 0x9E3779B97F4A7C15L) >>> (64 - Integer.numberOfTrailingZeros(keys.length)));
    }

    private int next(int i) {
        return (i + 1) & (keys.length - 1);
    }
}
