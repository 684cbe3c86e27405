// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

/** The peer broke the protocol, or went away, so that the session cannot go on. Loop thread. */
public final class ProtocolException extends Exception {
    private static final long serialVersionUID = 1;

    public ProtocolException(String message) {
        super(message);
    }
}
