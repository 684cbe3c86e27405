// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

/** Where H_GET_TCE puts what it has read: the guest's register 4. One thread. */
public final class TceValue {
    private long value;

    public long value() {
        return value;
    }

    void set(long read) {
        value = read;
    }
}
