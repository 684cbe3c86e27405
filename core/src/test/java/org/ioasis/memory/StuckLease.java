// SPDX-License-Identifier: Apache-2.0
package org.ioasis.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A lease that a running system call holds, until {@link #release}: nobody can take it back. */
public final class StuckLease {
    private boolean isReleased;
    private final PinnedLease lease;

    /** One of {@code owner}, of a range of {@code space}, with a deadline that has passed. */
    public StuckLease(
            Guards guards, GuestMemory memory, Object space, Object owner, long first, long last) {
        Arena real = Arena.ofShared();
        Arena stuck =
                new Arena() {
                    @Override
                    public MemorySegment allocate(long byteSize, long byteAlignment) {
                        return real.allocate(byteSize, byteAlignment);
                    }

                    @Override
                    public MemorySegment.Scope scope() {
                        return real.scope();
                    }

                    @Override
                    public void close() {
                        if (!isReleased) {
                            throw new IllegalStateException("session is acquired by 1 clients");
                        }
                        real.close();
                    }
                };
        lease =
                new PinnedLease(
                        guards.leases(),
                        space,
                        owner,
                        guards.epoch(),
                        first,
                        last,
                        memory,
                        0x10000,
                        0,
                        () -> {},
                        stuck,
                        stuck.allocate(16));
        guards.leases().add(lease);
    }

    public PinnedLease lease() {
        return lease;
    }

    public void release() {
        isReleased = true;
    }
}
