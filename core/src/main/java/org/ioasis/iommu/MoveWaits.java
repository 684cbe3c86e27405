// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;

/**
 * What moves endpoints from one domain to another, or away, and waits for accesses under the old
 * state to end. Loop thread.
 */
final class MoveWaits {
    private final Guards guards;
    private final List<Quiescence> moves = new ArrayList<>();

    MoveWaits(Guards guards) {
        this.guards = guards;
    }

    /**
     * Runs {@code task} when no access of the attachment that has begun before is running; none of
     * the endpoint, if that is the owner, with any PASID.
     */
    void add(Object owner, Runnable task) {
        Quiescence move =
                new Quiescence() {
                    @Override
                    protected boolean isHeldBy(PinnedLease lease) {
                        return lease.isOwnedBy(owner)
                                || (lease.owner() instanceof Attachment holder
                                        && holder.endpoint() == owner);
                    }

                    @Override
                    protected void quiescent() {
                        moves.remove(this);
                        task.run();
                    }
                };
        moves.add(move);
        guards.await(move);
    }

    /** After a reset, nothing of this is waited for: no task will run. */
    void forget() {
        moves.forEach(guards::cancel);
        moves.clear();
    }
}
