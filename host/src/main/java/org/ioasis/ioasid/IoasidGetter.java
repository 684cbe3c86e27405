// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/**
 * What is done with private data that a look-up has found, while it cannot go: takes a reference on
 * it, say. On the thread that looks up, inside its section: short, without a blocking call, without
 * a call of the allocator or its sets and without another look-up of the same reader.
 *
 * @param <T> the type of private data
 */
@FunctionalInterface
public interface IoasidGetter<T> {
    /** False: the data is on its way out, and is as good as not found. */
    boolean get(T data);
}
