// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Jobs, first in, first out; a job is in one list at a time. One thread. */
public final class JobList<J extends Job<J>> {
    private @Nullable J first;
    private @Nullable J last;

    public boolean isEmpty() {
        return first == null;
    }

    public void add(J job) {
        job.next = null;
        J before = last;
        if (before == null) {
            first = job;
        } else {
            before.next = job;
        }
        last = job;
    }

    /** Visits them in order. */
    public void forEach(Consumer<? super J> visitor) {
        for (J job = first; job != null; job = job.next) {
            visitor.accept(job);
        }
    }

    /** Takes the first one out; null if there is none. */
    public @Nullable J poll() {
        J job = first;
        if (job != null) {
            first = job.next;
            job.next = null;
            if (first == null) {
                last = null;
            }
        }
        return job;
    }
}
