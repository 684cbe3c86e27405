// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

/**
 * How a device server is treated. Immutable; any thread.
 *
 * @param answerMillis how long it may take for an answer
 * @param reconnectMillis how long a VMM's session waits for one that has gone to come again; 0: it
 *     ends at once
 */
public record ProxySettings(Isolation isolation, int answerMillis, int reconnectMillis) {
    public ProxySettings {
        if (answerMillis < 1 || reconnectMillis < 0) {
            throw new IllegalArgumentException(
                    "times out of bounds: %d ms, %d ms".formatted(answerMillis, reconnectMillis));
        }
    }
}
