// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * A refused control call: nothing has changed, unless the method says so. Carries no stack trace,
 * since a program can cause any number of them.
 */
@SuppressWarnings("serial") // never written anywhere
public final class IommufdException extends Exception {
    private final Errno errno;

    /**
     * @param rule the rule that refused, in words
     */
    public IommufdException(Errno errno, String rule) {
        super(rule, null, false, false);
        this.errno = errno;
    }

    public Errno errno() {
        return errno;
    }

    /** The rule that refused. */
    public String rule() {
        return String.valueOf(getMessage());
    }
}
