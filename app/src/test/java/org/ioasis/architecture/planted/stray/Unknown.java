// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture.planted.stray;

/** Breaks: every package has a place in the table, and a package-info. */
public final class Unknown {
    private Unknown() {}

    public static int answer() {
        return 42;
    }
}
