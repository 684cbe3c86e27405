// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * Failure that is asked for, as the kernel's fail-nth: each allocation and each step that could
 * fail is a point; the n-th one that a task passes fails, once. One per task of a program, on the
 * thread that answers its calls.
 */
public final class FailureInjector {
    private int remaining;
    private long passed;

    /** The n-th point from now fails; 0: none. */
    public void arm(int n) {
        if (n < 0) {
            throw new IllegalArgumentException("fail-nth cannot be " + n);
        }
        remaining = n;
    }

    /** Points still to pass before one fails; 0: it has failed, or nothing was asked for. */
    public int remaining() {
        return remaining;
    }

    /** Points passed ever. */
    public long passed() {
        return passed;
    }

    /** One point: whether it fails. */
    public boolean fails() {
        passed++;
        return remaining != 0 && --remaining == 0;
    }

    /** A point that is an allocation. */
    public void allocate() throws IommufdException {
        if (fails()) {
            throw new IommufdException(Errno.ENOMEM, "injected failure of an allocation");
        }
    }
}
