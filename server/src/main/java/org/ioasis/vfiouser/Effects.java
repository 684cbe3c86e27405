// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.util.ArrayDeque;

/**
 * Which commands to a device server have not had their effect yet, and what waits for all of them.
 * Loop thread.
 */
final class Effects {
    private final ArrayDeque<Runnable> waiting = new ArrayDeque<>();
    private int unanswered;

    /** The reply to a command that is to be answered before anything counts as settled. */
    Command.Reply awaited(Command.Reply reply) {
        unanswered++;
        return (errno, in, at) -> {
            unanswered--;
            reply.done(errno, in, at);
            while (unanswered == 0 && !waiting.isEmpty()) {
                waiting.remove().run();
            }
        };
    }

    /** Runs {@code task}, perhaps at once, when all that was awaited before has been answered. */
    void whenSettled(Runnable task) {
        if (unanswered == 0) {
            task.run();
        } else {
            waiting.add(task);
        }
    }
}
