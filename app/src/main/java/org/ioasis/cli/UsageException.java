// SPDX-License-Identifier: Apache-2.0
package org.ioasis.cli;

/**
 * Arguments that a command cannot work with. {@link Main} prints the message with the command's
 * usage; the exit code is 2. Main thread.
 */
public final class UsageException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * @param message names the option, what was given, and what would do
     */
    public UsageException(String message) {
        super(message);
    }
}
