// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

/** The front end broke the protocol, or went away: its session ends. Loop thread. */
final class ProtocolException extends Exception {
    private static final long serialVersionUID = 1;

    ProtocolException(String message) {
        super(message);
    }
}
