// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Jobs in the order in which they came, linked through themselves: each is in one list at most.
 * Device's thread.
 *
 * @param <J> the device's own kind of job
 */
final class JobList<J extends Job<J>> {
    private @Nullable J first;
    private @Nullable J last;

    boolean isEmpty() {
        return first == null;
    }

    void add(J job) {
        job.next = null;
        J before = last;
        if (before == null) {
            first = job;
        } else {
            before.next = job;
        }
        last = job;
    }

    /** Takes the first one; null if there is none. */
    @Nullable J poll() {
        J job = first;
        if (job != null) {
            J following = job.next;
            first = following;
            if (following == null) {
                last = null;
            }
        }
        return job;
    }

    /** Takes all: the first one, which the others follow; null if there is none. */
    @Nullable J takeAll() {
        J all = first;
        first = null;
        last = null;
        return all;
    }

    /** Visits all in order. */
    void forEach(Consumer<? super J> visitor) {
        for (J job = first; job != null; job = job.next) {
            visitor.accept(job);
        }
    }
}
