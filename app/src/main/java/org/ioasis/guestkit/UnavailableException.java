// SPDX-License-Identifier: Apache-2.0
package org.ioasis.guestkit;

/**
 * Something that this machine would have to provide is not there. The message is for the user: it
 * names what is missing and what to do about it. Any thread.
 */
public final class UnavailableException extends Exception {
    /** EX_UNAVAILABLE of sysexits(3): the exit code of the command that ends for this reason. */
    public static final int EXIT_CODE = 69;

    private static final long serialVersionUID = 1L;

    /** An end with no deeper cause than what {@code message} says. */
    public UnavailableException(String message) {
        super(message);
    }

    /** An end whose reason is {@code cause}, put in the user's words by {@code message}. */
    public UnavailableException(String message, Throwable cause) {
        super(message, cause);
    }

    /** The exit code for this end, {@value #EXIT_CODE}. */
    public int exitCode() {
        return EXIT_CODE;
    }
}
