// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio;

import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/** Work of a device that takes no chain and tells of its kicks. */
final class IdleWork extends DeviceWork<IdleWork.Nothing> {
    static final class Nothing extends Job<Nothing> {
        Nothing() {
            super(1);
        }

        @Override
        protected void begin() {}
    }

    private final IntConsumer kicks;

    IdleWork(int queues, IntConsumer kicks) {
        super(queues, Runnable::run);
        this.kicks = kicks;
    }

    @Override
    protected void kicked(int queue) {
        kicks.accept(queue);
    }

    @Override
    protected @Nullable Nothing room(int queue) {
        return null;
    }

    @Override
    protected void release(Nothing job) {}

    @Override
    protected Step advance(Nothing job) {
        throw new AssertionError("no chain was taken");
    }

    @Override
    protected void outside() {}
}
