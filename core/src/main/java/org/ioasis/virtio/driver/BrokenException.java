// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

/**
 * A device broke the rules of its transport, or gave no answer in time: what it has done is not
 * known, and nothing but a reset makes it known again.
 */
public final class BrokenException extends DriverException {
    private static final long serialVersionUID = 1;

    public BrokenException(String message) {
        super(message);
    }
}
