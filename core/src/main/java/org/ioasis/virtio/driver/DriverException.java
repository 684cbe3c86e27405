// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.driver;

/** A device did not do what its driver asked for. The message says what that was. */
public class DriverException extends Exception {
    private static final long serialVersionUID = 1;

    public DriverException(String message) {
        super(message);
    }
}
