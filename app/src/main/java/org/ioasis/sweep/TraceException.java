// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import java.io.Serial;

/** A trace that no sweep can be made over; says which row and why, but not which file. */
public final class TraceException extends Exception {
    @Serial private static final long serialVersionUID = 1;

    public TraceException(String message) {
        super(message);
    }

    /**
     * @param row from 0, as {@code sequence} counts them
     */
    static TraceException at(long row, String message) {
        return new TraceException("row %d: %s".formatted(row, message));
    }
}
