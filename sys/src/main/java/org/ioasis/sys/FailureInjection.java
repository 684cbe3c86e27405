// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Makes the n-th system call from now fail without being made, so that a test can walk n through a
 * whole session and look for what leaks. Off unless a test arms it. Any thread; calls of all
 * threads are counted. Calls that close, unmap or signal are not: they have no failure to handle.
 */
final class FailureInjection {
    /** Calls left, the last of them fails; 0 or less: off. */
    private static final AtomicInteger LEFT = new AtomicInteger();

    private FailureInjection() {}

    /** The {@code n}-th call from now fails, {@code n >= 1}. */
    static void arm(int n) {
        LEFT.set(n);
    }

    /** Lets all calls through again. Returns whether a call has failed since {@link #arm}. */
    static boolean disarm() {
        return LEFT.getAndSet(0) <= 0;
    }

    /** Whether the call that asks has to fail. */
    static boolean strikes() {
        return LEFT.getOpaque() > 0 && LEFT.decrementAndGet() == 0;
    }
}
