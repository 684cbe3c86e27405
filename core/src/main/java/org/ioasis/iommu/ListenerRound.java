// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The batches that one request makes for listeners: committed side by side, and over when each is
 * answered. Until then the domains and the attachment that it is about are busy. Loop thread.
 */
final class ListenerRound {
    /** Takes the end of a round: OK, or the status of the listener that refused first. */
    interface End {
        void ended(Status status);
    }

    private final Iommu iommu;
    private final @Nullable Domain one;
    private final @Nullable Domain other;
    private final @Nullable Attachment attachment;
    private final List<DomainListener> agreed = new ArrayList<>();
    private @Nullable End end;

    // Answers that are owed, and one for the request that still commits.
    private int owed = 1;
    private Status outcome = Status.OK;
    private boolean isLost;
    private boolean isCancelled;

    ListenerRound(
            Iommu iommu,
            @Nullable Domain one,
            @Nullable Domain other,
            @Nullable Attachment attachment) {
        this.iommu = iommu;
        this.one = one;
        this.other = other;
        this.attachment = attachment;
        busy(true);
    }

    private void busy(boolean value) {
        if (one != null) {
            one.busy(value);
        }
        if (other != null) {
            other.busy(value);
        }
        if (attachment != null) {
            attachment.moving(value);
        }
    }

    /**
     * Commits the batch that was begun with a listener.
     *
     * @param domain whose pages it may tell to be written, or null
     * @param mayRefuse the batch adds something
     */
    void commit(DomainListener listener, @Nullable PagingDomain domain, boolean mayRefuse) {
        owed++;
        listener.commit(new BatchAnswer(listener, domain, mayRefuse));
    }

    /** All is committed; {@code whenEnded} runs when all is answered, perhaps at once. */
    void finish(End whenEnded) {
        end = whenEnded;
        answered();
    }

    /** The IOMMU was reset: answers that still come mean nothing. */
    void cancel() {
        isCancelled = true;
        busy(false);
    }

    /** Who has said OK. */
    List<DomainListener> agreed() {
        return agreed;
    }

    /** True if a listener has lost what it had. */
    boolean isLost() {
        return isLost;
    }

    private void answered() {
        owed--;
        End told = end;
        if (owed == 0 && !isCancelled && told != null) {
            busy(false);
            iommu.roundEnded(this);
            told.ended(outcome);
            iommu.tellSettled();
        }
    }

    /** The answer to one batch; a second one is a mistake of the listener, whenever it comes. */
    private final class BatchAnswer implements DomainListener.Answer {
        private final DomainListener listener;
        private final @Nullable PagingDomain domain;
        private final boolean mayRefuse;
        private boolean isThere;

        BatchAnswer(DomainListener listener, @Nullable PagingDomain domain, boolean mayRefuse) {
            this.listener = listener;
            this.domain = domain;
            this.mayRefuse = mayRefuse;
        }

        @Override
        public void ok() {
            take();
            agreed.add(listener);
            answered();
        }

        @Override
        public void refused(Status status) {
            refuse(status, false);
        }

        @Override
        public void lost() {
            refuse(Status.DEVERR, true);
        }

        private void refuse(Status status, boolean hasNothingLeft) {
            if (status == Status.OK || !mayRefuse) {
                throw new IllegalStateException(
                        "a listener refused with " + status + " what it cannot refuse");
            }
            take();
            isLost |= hasNothingLeft;
            if (outcome == Status.OK) {
                outcome = status;
            }
            answered();
        }

        @Override
        public void dirtied(long first, long last) {
            if (isThere) {
                throw new IllegalStateException("a listener told of writes after its answer");
            }
            if (domain != null && !isCancelled) {
                domain.dirtied(first, last);
            }
        }

        private void take() {
            if (isThere) {
                throw new IllegalStateException("a listener answered twice");
            }
            isThere = true;
        }
    }
}
