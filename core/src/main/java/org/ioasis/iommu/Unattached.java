// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.mapping.Blocked;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Untranslated;
import org.ioasis.memory.Guards;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;

/**
 * What is left to the endpoints of an IOMMU that are attached to nothing: memory as it is, if it
 * bypasses (virtio 1.4, 5.13.6.2), else nothing. Listeners are told of it, each when it is not busy
 * with something else.
 *
 * <p>Changed on the loop thread, which {@link Iommu} asserts; the rule is read on any.
 */
final class Unattached {
    private final Iommu iommu;
    private final Guards guards;
    private final List<Runnable> whenKnown = new ArrayList<>();

    private volatile boolean isBypassing;

    Unattached(Iommu iommu, Guards guards, boolean bypass) {
        this.iommu = iommu;
        this.guards = guards;
        isBypassing = bypass;
    }

    /** Any thread. */
    boolean isBypassing() {
        return isBypassing;
    }

    /** Sets the rule and nothing else: who is to hear of it hears by what the caller does next. */
    void rule(boolean bypass) {
        isBypassing = bypass;
    }

    /** As {@link Iommu#bypass}. */
    void bypass(boolean bypass) {
        boolean isTaken = isBypassing && !bypass;
        isBypassing = bypass;
        tell();
        if (isTaken) {
            guards.awaitNow(new Access());
        }
    }

    /**
     * What an attachment without a domain reaches. Any thread.
     *
     * @param isStale the device runs on since before a reset, with addresses that were translated
     */
    Translation translation(Attachment attachment, boolean isStale) {
        return isBypassing
                        && !isStale
                        && attachment.isDefault()
                        && !attachment.endpoint().isLeaving()
                ? Untranslated.BYPASS
                : Blocked.BLOCKED;
    }

    /** Tells the listeners that know another rule of this one. */
    void tell() {
        iommu.forEachAttachment(attachment -> {
            if (attachment.isToBeTold()) {
                ListenerRound round = iommu.round(null, null, attachment);
                tell(attachment, round);
                round.finish(_ -> {});
            }
        });
    }

    /** Tells one of them, as a part of {@code round}. */
    static void tell(Attachment attachment, ListenerRound round) {
        DomainListener listener = attachment.beginUnattached();
        if (listener != null) {
            round.commit(listener, null, false);
        }
    }

    /** As {@link Iommu#whenKnown}. */
    void whenKnown(Runnable task) {
        whenKnown.add(task);
        tellKnown();
    }

    /** Runs what waits for the listeners, if none of them owes an answer about the rule. */
    void tellKnown() {
        boolean[] isOpen = {false};
        iommu.forEachAttachment(attachment -> isOpen[0] |= attachment.isUnknown());
        if (!isOpen[0]) {
            List<Runnable> now = List.copyOf(whenKnown);
            whenKnown.clear();
            now.forEach(Runnable::run);
        }
    }

    /** Everything that endpoints of this IOMMU do while they are attached to nothing. */
    private final class Access extends Quiescence {
        @Override
        protected boolean isHeldBy(PinnedLease lease) {
            return lease.owner() instanceof Attachment owner
                    && iommu.isOurs(owner.endpoint())
                    && owner.domainAcquire() == null;
        }

        @Override
        protected void quiescent() {
            // The caller goes on.
        }
    }
}
