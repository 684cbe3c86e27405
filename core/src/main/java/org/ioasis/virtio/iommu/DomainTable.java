// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.HandedTable;
import org.ioasis.iommu.IdMap;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.TableDomain;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.jspecify.annotations.Nullable;

/**
 * The object model of virtio-iommu over an engine (virtio 1.4, 5.13.6): domains that a driver names
 * by numbers, that begin with the first ATTACH and end with the last endpoint, and its requests to
 * them. A request that must wait for a listener's answer is kept here, behind those to the same
 * domain or endpoint that came before, and never holds up one to others. Loop thread.
 */
public final class DomainTable {
    private final Iommu iommu;
    private final IdMap<Domain> domains = new IdMap<>();

    // The domain that was asked for last: requests come in runs.
    private @Nullable Domain recent;

    private ArrayList<Deferred> deferred = new ArrayList<>();

    // Null unless drivers may have tables of their own.
    private @Nullable Tables tables;

    /** Makes domains with tables. */
    interface Tables {
        TableDomain domain(int id, HandedTable table);
    }

    public DomainTable(Iommu iommu) {
        this.iommu = iommu;
        iommu.whenSettled(this::retryDeferred);
    }

    /** From now on a driver may have tables of its own. */
    void handTables(Tables maker) {
        tables = maker;
    }

    /** The domain of that id, if something is attached to it. */
    public @Nullable Domain domain(int id) {
        Domain found = recent;
        return found != null && found.id() == id ? found : find(id);
    }

    private @Nullable Domain find(int id) {
        recent = domains.get(id);
        return recent;
    }

    /** Takes over the domains of a saved state. */
    public void adopt(List<Domain> restored) {
        restored.forEach(this::enter);
    }

    private void enter(Domain domain) {
        domains.put(domain.id(), domain);
        domain.onUnused(this::end);
    }

    private void end(Domain domain) {
        domains.remove(domain.id());
        recent = null;
        domain.close();
    }

    /** The engine is being reset: nothing is there any more, and nothing waits. */
    public void forget() {
        deferred.clear();
        domains.clear();
        recent = null;
    }

    /** True unless a listener owes an answer: then the state may still go either way. */
    boolean isSettled() {
        return deferred.isEmpty() && iommu.isSettled();
    }

    // Requests
    // -------------------------------------------------------------------------------------------------------

    /** ATTACH (5.13.6.3): the domain is made if there is none. */
    public void attach(int endpointId, int domainId, boolean bypass, Completion completion) {
        Endpoint endpoint = iommu.endpoint(endpointId);
        if (endpoint == null) {
            iommu.refuse(Refusal.NO_ENDPOINT, completion);
            return;
        }
        IommuOptions options = iommu.options();
        if (!options.hasDomain(domainId)) {
            iommu.refuse(Refusal.DOMAIN_OUT_OF_RANGE, completion);
            return;
        }
        Attachment attachment = endpoint.attachment();
        Domain target = domains.get(domainId);
        if (mustWait(target, attachment, domainId)) {
            defer(attachment, domainId, () -> attach(endpointId, domainId, bypass, completion));
        } else if (target == null) {
            attachToNew(attachment, domainId, bypass, completion);
        } else if (bypass ? target.kind() != Kind.IDENTITY : !(target instanceof PagingDomain)) {
            iommu.refuse(Refusal.OTHER_KIND, completion);
        } else {
            iommu.attach(attachment, target, completion);
        }
    }

    private void attachToNew(
            Attachment attachment, int domainId, boolean bypass, Completion completion) {
        attachToNew(
                attachment,
                bypass ? iommu.identityDomain(domainId) : iommu.pagingDomain(domainId),
                completion);
    }

    private void attachToNew(Attachment attachment, Domain target, Completion completion) {
        Refusal refusal = target.check(attachment);
        Domain old = attachment.domain();
        boolean endsOld = old != null && old.attachments().size() == 1;
        if (refusal == null
                && domains.size() - (endsOld ? 1 : 0) >= iommu.options().domainLimit()) {
            refusal = Refusal.DOMAIN_LIMIT;
        }
        if (refusal != null) {
            target.close();
            iommu.refuse(refusal, completion);
            return;
        }
        enter(target);
        iommu.attach(attachment, target, completion);
    }

    /** DETACH (5.13.6.4). */
    public void detach(int endpointId, int domainId, Completion completion) {
        Endpoint endpoint = iommu.endpoint(endpointId);
        if (endpoint == null) {
            iommu.refuse(Refusal.NO_ENDPOINT, completion);
            return;
        }
        Attachment attachment = endpoint.attachment();
        if (mustWait(domains.get(domainId), attachment, domainId)) {
            defer(attachment, domainId, () -> detach(endpointId, domainId, completion));
            return;
        }
        Domain domain = attachment.domain();
        List<Attachment> pasids = pasidsOf(endpoint, domains.get(domainId));
        if (!pasids.isEmpty()) {
            detach(pasids, domain == domains.get(domainId) ? attachment : null, completion);
        } else if (domain == null) {
            iommu.refuse(Refusal.NOT_ATTACHED, completion);
        } else if (domain.id() != domainId && !iommu.options().detachByEndpoint()) {
            // D-30 leaves it open. Strict would be INVAL whenever the ids do not match, but Linux
            // detaches identity domains with id 0 and warns when that fails.
            iommu.refuse(Refusal.OTHER_DOMAIN, completion);
        } else {
            iommu.detach(attachment, completion);
        }
    }

    /** What an endpoint does with PASIDs in a domain, which is one with a table. */
    private static List<Attachment> pasidsOf(Endpoint endpoint, @Nullable Domain domain) {
        if (!(domain instanceof TableDomain)) {
            return List.of();
        }
        return domain.attachments().stream()
                .filter(one -> one.endpoint() == endpoint && one != endpoint.attachment())
                .toList();
    }

    /** All of an endpoint that is in one domain, with an answer when the last is out. */
    private void detach(List<Attachment> pasids, @Nullable Attachment also, Completion completion) {
        List<Attachment> all = new ArrayList<>(pasids);
        if (also != null) {
            all.add(also);
        }
        LastOf last = new LastOf(all.size(), completion);
        for (Attachment one : all) {
            iommu.detach(one, last);
        }
    }

    /**
     * Of several answers that are each OK the last one, when the state has changed and at the end.
     */
    private static final class LastOf implements Completion {
        private final Completion completion;
        private int open;
        private int unsettled;

        LastOf(int count, Completion completion) {
            this.completion = completion;
            open = count;
            unsettled = count;
        }

        @Override
        public void complete(Status status) {
            if (--open == 0) {
                completion.complete(status);
            }
        }

        @Override
        public void settled(Status status) {
            if (--unsettled == 0) {
                completion.settled(status);
            }
        }
    }

    /** Refuses a MAP for what is no rule of domains. */
    void refuseMap(int domainId, long first, long last, Refusal refusal, Completion completion) {
        if (domain(domainId) instanceof PagingDomain paging) {
            paging.noteRefused(first, last, refusal);
        }
        completion.refused(refusal);
    }

    /**
     * MAP (5.13.6.5).
     *
     * @param flags already known to be ones that the driver may use
     */
    public void map(
            int domainId, long first, long last, long output, int flags, Completion completion) {
        Domain domain = domain(domainId);
        if (!isClear(domain) && mustWait(domain, null, domainId)) {
            defer(null, domainId, () -> map(domainId, first, last, output, flags, completion));
        } else if (domain instanceof PagingDomain paging) {
            paging.map(first, last, output, flags, completion);
        } else {
            iommu.refuse(domain == null ? Refusal.NO_DOMAIN : Refusal.NO_MAPPINGS, completion);
        }
    }

    /** UNMAP (5.13.6.6). */
    public void unmap(int domainId, long first, long last, Completion completion) {
        Domain domain = domain(domainId);
        if (!isClear(domain) && mustWait(domain, null, domainId)) {
            defer(null, domainId, () -> unmap(domainId, first, last, completion));
        } else if (domain instanceof PagingDomain paging) {
            paging.unmap(first, last, completion);
        } else {
            iommu.refuse(domain == null ? Refusal.NO_DOMAIN : Refusal.NO_MAPPINGS, completion);
        }
    }

    // Tables of the driver's own
    // ------------------------------------------------------------------------------------------

    /** ATTACH_TABLE: the domain is made with the table if there is none, or has this very one. */
    void attachTable(
            int endpointId, int pasid, int domainId, HandedTable table, Completion completion) {
        Endpoint endpoint = iommu.endpoint(endpointId);
        if (endpoint == null) {
            iommu.refuse(Refusal.NO_ENDPOINT, completion);
            return;
        }
        if (!iommu.options().hasDomain(domainId)) {
            iommu.refuse(Refusal.DOMAIN_OUT_OF_RANGE, completion);
            return;
        }
        Attachment known =
                pasid == Attachment.NO_PASID ? endpoint.attachment() : endpoint.attachment(pasid);
        Domain target = domains.get(domainId);
        if (mustWait(target, known, domainId)) {
            defer(
                    known,
                    domainId,
                    () -> attachTable(endpointId, pasid, domainId, table, completion));
            return;
        }
        Attachment attachment = known != null ? known : endpoint.openForDriver(pasid);
        if (attachment == null) {
            iommu.refuse(Refusal.PASID_LIMIT, completion);
            return;
        }
        attachTable(attachment, target, domainId, table, completion);
        if (known == null && attachment.domain() == null) {
            endpoint.close(attachment); // refused, and nothing of it stays
        }
    }

    private void attachTable(
            Attachment attachment,
            @Nullable Domain target,
            int domainId,
            HandedTable table,
            Completion completion) {
        if (target == null) {
            attachToNew(attachment, requireNonNull(tables).domain(domainId, table), completion);
        } else if (!(target instanceof TableDomain other)) {
            iommu.refuse(Refusal.OTHER_KIND, completion);
        } else if (!other.table().equals(table)) {
            iommu.refuse(Refusal.OTHER_TABLE, completion);
        } else {
            iommu.attach(attachment, target, completion);
        }
    }

    /** What an INVALIDATE asks of a domain with a table. */
    interface Invalidation {
        void of(TableDomain domain, RequestSlot slot);
    }

    /**
     * INVALIDATE.
     *
     * @param invalidation carried out when its turn has come; answers the slot
     */
    void invalidate(int domainId, RequestSlot slot, Invalidation invalidation) {
        Domain domain = domain(domainId);
        if (!isClear(domain) && mustWait(domain, null, domainId)) {
            defer(null, domainId, () -> invalidate(domainId, slot, invalidation));
        } else if (domain instanceof TableDomain walked) {
            invalidation.of(walked, slot);
        } else {
            iommu.refuse(domain == null ? Refusal.NO_DOMAIN : Refusal.NO_HANDED_TABLE, slot);
        }
    }

    // Whose turn has not come
    // --------------------------------------------------------------------------------------

    /** A request to {@code domainId}, about {@code attachment} if not null. */
    private record Deferred(@Nullable Attachment attachment, int domainId, Runnable request) {
        boolean isBefore(@Nullable Attachment other, int otherDomainId) {
            return domainId == otherDomainId
                    || (attachment != null && isIn(attachment, otherDomainId))
                    || (other != null && (other == attachment || isIn(other, domainId)));
        }

        private static boolean isIn(Attachment attachment, int id) {
            Domain domain = attachment.domain();
            return domain != null && domain.id() == id;
        }
    }

    /**
     * True if a listener still owes an answer to a request to the same domain or endpoint, or if
     * such a request waits for its turn.
     *
     * @param domain the one with that id, if there is one
     */
    private boolean mustWait(
            @Nullable Domain domain, @Nullable Attachment attachment, int domainId) {
        return (domain != null && domain.isBusy())
                || (attachment != null && attachment.isBusy())
                || (!deferred.isEmpty() && isBehindDeferred(attachment, domainId));
    }

    /** Nearly always so, and then {@link #mustWait} need not be asked about a MAP or an UNMAP. */
    private boolean isClear(@Nullable Domain domain) {
        return deferred.isEmpty() && (domain == null || !domain.isBusy());
    }

    private boolean isBehindDeferred(@Nullable Attachment attachment, int domainId) {
        for (int i = 0; i < deferred.size(); i++) {
            if (deferred.get(i).isBefore(attachment, domainId)) {
                return true;
            }
        }
        return false;
    }

    private void defer(@Nullable Attachment attachment, int domainId, Runnable request) {
        deferred.add(new Deferred(attachment, domainId, request));
    }

    private void retryDeferred() {
        if (deferred.isEmpty()) {
            return;
        }
        // Each finds those before it that still have to wait in the new list, and waits as well if
        // it must not overtake them.
        ArrayList<Deferred> now = deferred;
        deferred = new ArrayList<>();
        for (Deferred one : now) {
            one.request().run();
        }
    }
}
