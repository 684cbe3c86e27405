// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

/**
 * How many tests jcstress keeps alive: {@link #SIZE} between two meetings of the threads, {@link
 * #COUNT} such strides. Few, so that the memory of tables is bounded and the threads meet often.
 */
public final class Strides {
    public static final int SIZE = 128;
    public static final int COUNT = 8;

    private Strides() {}
}
