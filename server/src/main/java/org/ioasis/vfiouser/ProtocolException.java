// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

/** The client broke the protocol, or went away, so that the session cannot go on. Loop thread. */
final class ProtocolException extends Exception {
    private static final long serialVersionUID = 1;

    ProtocolException(String message) {
        super(message);
    }
}
