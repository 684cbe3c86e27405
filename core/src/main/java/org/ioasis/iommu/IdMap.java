// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Objects by 32-bit id: open addressing with linear probing, so that the request path boxes
 * nothing. One thread.
 *
 * @param <T> what is kept
 */
public final class IdMap<T> {
    private int[] ids = new int[16];
    private @Nullable Object[] values = new @Nullable Object[16];
    private int size;

    public int size() {
        return size;
    }

    // Only put() writes values, and only with a T.
    @SuppressWarnings("unchecked")
    public @Nullable T get(int id) {
        for (int i = slot(id); values[i] != null; i = next(i)) {
            if (ids[i] == id) {
                return (T) values[i];
            }
        }
        return null;
    }

    /** Adds what is not there yet. */
    public void put(int id, T value) {
        if (2 * (size + 1) > ids.length) {
            grow();
        }
        int i = slot(id);
        while (values[i] != null) {
            i = next(i);
        }
        ids[i] = id;
        values[i] = value;
        size++;
    }

    public void remove(int id) {
        int hole = slot(id);
        while (values[hole] != null && ids[hole] != id) {
            hole = next(hole);
        }
        if (values[hole] == null) {
            return;
        }
        size--;
        // Later entries of the same cluster move up, or a probe would stop at the hole before it
        // finds them.
        for (int i = next(hole); values[i] != null; i = next(i)) {
            int home = slot(ids[i]);
            boolean mayMove = hole <= i ? home <= hole || home > i : home <= hole && home > i;
            if (mayMove) {
                ids[hole] = ids[i];
                values[hole] = values[i];
                hole = i;
            }
        }
        values[hole] = null;
    }

    public void clear() {
        ids = new int[16];
        values = new @Nullable Object[16];
        size = 0;
    }

    @SuppressWarnings("unchecked") // as in get
    public void forEach(Consumer<T> visitor) {
        for (Object value : values.clone()) {
            if (value != null) {
                visitor.accept((T) value);
            }
        }
    }

    private int slot(int id) {
        return (id * 0x9E3779B1) >>> (32 - Integer.numberOfTrailingZeros(ids.length));
    }

    private int next(int i) {
        return (i + 1) & (ids.length - 1);
    }

    private void grow() {
        int[] oldIds = ids;
        @Nullable Object[] oldValues = values;
        ids = new int[oldIds.length * 2];
        values = new @Nullable Object[oldIds.length * 2];
        for (int i = 0; i < oldIds.length; i++) {
            if (oldValues[i] != null) {
                int at = slot(oldIds[i]);
                while (values[at] != null) {
                    at = next(at);
                }
                ids[at] = oldIds[i];
                values[at] = oldValues[i];
            }
        }
    }
}
