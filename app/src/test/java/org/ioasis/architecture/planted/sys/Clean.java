// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.sys;

/** Breaks nothing; for others to use. */
public final class Clean {
    private Clean() {}

    public static int answer() {
        return 42;
    }
}
