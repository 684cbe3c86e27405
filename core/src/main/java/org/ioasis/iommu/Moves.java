// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.jspecify.annotations.Nullable;

/**
 * How attachments of an IOMMU move: from nothing or a domain to another domain or to nothing. A
 * listener is asked first, and a move is answered when no access under the old domain is running.
 * Loop thread, which {@link Iommu} asserts.
 */
final class Moves {
    private final Iommu iommu;
    private final MoveWaits waits;

    Moves(Iommu iommu, MoveWaits waits) {
        this.iommu = iommu;
        this.waits = waits;
    }

    /** As {@link Iommu#attach}. */
    void attach(Attachment attachment, Domain target, Completion completion) {
        requireIdle(attachment, target);
        Domain old = attachment.domain();
        if (target == old) {
            completion.complete(Status.OK);
            return;
        }
        Refusal refusal = target.check(attachment);
        if (refusal != null) {
            target.endIfUnused();
            iommu.refuse(refusal, completion);
            return;
        }
        DomainListener listener = attachment.listener();
        if (listener == null) {
            move(attachment, target, Status.OK, completion);
            return;
        }
        ListenerRound round = iommu.round(old, target, attachment);
        listener.begin();
        target.replay(listener);
        round.commit(listener, null, true);
        round.finish(status -> {
            if (status == Status.OK) {
                move(attachment, target, Status.OK, completion);
                return;
            }
            target.endIfUnused();
            if (round.isLost()) {
                // The old domain cannot be had back whole, and a part of it is worse than none: the
                // one refusal that changes something, and it says so.
                leave(attachment, Status.DEVERR, telling(old, completion));
            } else {
                completion.complete(status);
            }
        });
    }

    /** The same that says first that the endpoint has left a domain, if it was in one. */
    private static Completion telling(@Nullable Domain left, Completion completion) {
        if (left == null) {
            return completion;
        }
        int domain = left.id();
        return new Completion() {
            @Override
            public void complete(Status status) {
                completion.complete(status);
            }

            @Override
            public void settled(Status status) {
                completion.detached(domain);
                completion.settled(status);
            }
        };
    }

    /** As {@link Iommu#detach}. */
    void detach(Attachment attachment, Completion completion) {
        requireIdle(attachment, null);
        if (attachment.domain() == null) {
            throw new IllegalStateException("nothing to detach from");
        }
        leave(attachment, Status.OK, completion);
    }

    private static void requireIdle(Attachment attachment, @Nullable Domain target) {
        if (attachment.isBusy() || (target != null && target.isBusy())) {
            throw new IllegalStateException("a listener owes an answer");
        }
    }

    private void leave(Attachment attachment, Status status, Completion completion) {
        if (attachment.listener() == null) {
            move(attachment, null, status, completion);
            return;
        }
        ListenerRound round = iommu.round(attachment.domain(), null, attachment);
        Unattached.tell(attachment, round);
        round.finish(_ -> move(attachment, null, status, completion));
    }

    private void move(
            Attachment attachment, @Nullable Domain target, Status status, Completion completion) {
        Domain old = attachment.domain();
        if (target != null) {
            target.add(attachment);
        }
        // One store: an access sees the old domain or the new one, never neither.
        attachment.domainRelease(target);
        if (old != null) {
            old.remove(attachment);
            old.endIfUnused();
            iommu.pageRequests().forget(attachment.endpoint().id(), attachment.pasid());
        }
        completion.settled(status);
        waits.add(
                old != null && old.hasContexts() ? leftContexts(attachment) : attachment,
                () -> completion.complete(status));
    }

    /** Its PASIDs go through nothing any more, and are waited for as well. */
    private Endpoint leftContexts(Attachment attachment) {
        Endpoint endpoint = attachment.endpoint();
        iommu.pageRequests().forget(endpoint.id());
        return endpoint;
    }
}
