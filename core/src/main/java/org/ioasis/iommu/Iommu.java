// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.fault.PageRequest;
import org.ioasis.iommu.fault.PageRequests;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Untranslated;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.jspecify.annotations.Nullable;

/**
 * One IOMMU: its endpoints, its domains, and how the ones are attached to the others. It knows
 * objects only: what a driver calls them, in which order its requests are checked and how many
 * domains it may have is a matter of the object model on top.
 *
 * <p>Changes belong to the machine's loop thread; translation happens on any thread through the
 * {@link Dma} that {@link #dma} makes. A request is answered through its {@link Completion}: at
 * once, or later when an access under the old state is still running or a listener owes an answer.
 * While it does, what the request is about is {@linkplain Domain#isBusy busy} and takes no other:
 * who asks has to wait, and hears through {@link #whenSettled} when to look again.
 */
public final class Iommu {
    private final IommuOptions options;
    private final Guards guards;
    private final FaultQueue faults;
    private final PageRequests pageRequests;
    private final Supplier<MappingStore> stores;
    private final IdMap<Endpoint> endpoints = new IdMap<>();
    private final List<Domain> domains = new ArrayList<>();
    private final List<ListenerRound> rounds = new ArrayList<>();
    private final Unattached unattached;
    private final UnmapWaits unmaps;
    private final MoveWaits moveWaits;
    private final Moves moves;
    private final Count refusedByLimit = new Count();
    private volatile @Nullable Refusal lastLimit;
    private Runnable settled = () -> {};
    private @Nullable AccessObserver observer;
    private long mappings;

    // Never the same again before 2^32 others: nothing of an old table is kept that long.
    private int tables;

    /**
     * @param stores makes the mapping store of a new domain
     * @param faults where refused accesses go
     */
    public Iommu(
            IommuOptions options, Guards guards, FaultQueue faults, Supplier<MappingStore> stores) {
        this.options = options;
        this.guards = guards;
        this.faults = faults;
        this.stores = stores;
        faults.recordAs(options.name());
        pageRequests = new PageRequests(options.pageRequestNanos(), guards::now);
        unmaps = new UnmapWaits(guards, options.name());
        moveWaits = new MoveWaits(guards);
        moves = new Moves(this, moveWaits);
        unattached = new Unattached(this, guards, options.bypassAtStart());
    }

    public IommuOptions options() {
        return options;
    }

    public FaultQueue faults() {
        return faults;
    }

    /** What devices behind it ask of its driver. */
    public PageRequests pageRequests() {
        return pageRequests;
    }

    /**
     * A device asks for a page that is not there, in an address space that goes through a table of
     * the driver's own; in any other there is nothing to wait for, and its group is answered as
     * invalid.
     *
     * @param group the device's number for it
     * @param rights bits of {@code Rights}
     */
    public void requestPage(
            Attachment attachment,
            int group,
            int rights,
            boolean isLast,
            long address,
            PageRequest.Asker asker) {
        assert isOwnThread();
        int pasid = attachment.pasid();
        if (attachment.domainAcquire() instanceof TableDomain) {
            int endpoint = attachment.endpoint().id();
            pageRequests.add(
                    new PageRequest(endpoint, pasid, group, rights, isLast, address), asker);
        } else if (isLast) {
            asker.answered(pasid, group, PageRequest.Response.INVALID);
        }
    }

    UnmapWaits unmaps() {
        return unmaps;
    }

    /** For assertions: true on the thread that changes things. */
    boolean isOwnThread() {
        return guards.isOwnThread();
    }

    // Limits
    // -------------------------------------------------------------------------------------------------------

    /** Mappings now, over all domains. */
    public long mappingCount() {
        return mappings;
    }

    void countMappings(long more) {
        mappings += more;
    }

    /** Domains that are there. */
    public int domainCount() {
        return domains.size();
    }

    /**
     * Requests answered NOMEM because a limit was reached: Linux does not show its user a failed
     * MAP. Any thread.
     */
    public long refusedByLimit() {
        return refusedByLimit.read();
    }

    /** The limit that the last of these reached; null if there was none. Any thread. */
    public @Nullable Refusal lastLimit() {
        return lastLimit;
    }

    /** UNMAPs whose answer had to wait for accesses to end. Any thread. */
    public long unmapWaits() {
        return unmaps.waits();
    }

    /** Answers a request that a check has refused. */
    public void refuse(Refusal refusal, Completion completion) {
        if (refusal.status() == Status.NOMEM) {
            refusedByLimit.increment();
            lastLimit = refusal;
        }
        completion.refused(refusal);
    }

    // Who is attached to nothing
    // -----------------------------------------------------------------------------------

    /** True if unattached endpoints reach memory untranslated. Any thread. */
    public boolean isBypassing() {
        return unattached.isBypassing();
    }

    /**
     * Says whether unattached endpoints reach memory untranslated. When it returns no access under
     * the old rule is running here; leases of theirs are taken back, as at a {@link #reset}.
     * Listeners may answer later ({@link #whenKnown}). Not inside a guarded section.
     */
    public void bypass(boolean bypass) {
        assert isOwnThread();
        unattached.bypass(bypass);
    }

    /**
     * Runs {@code task}, perhaps at once, when all listeners have answered what they were told of
     * resets and of {@code bypass}: then no access under the old rule is left anywhere.
     */
    public void whenKnown(Runnable task) {
        assert isOwnThread();
        unattached.whenKnown(task);
    }

    /** What is left to who is attached to nothing, and who has to hear of it. */
    Unattached unattached() {
        return unattached;
    }

    boolean isOurs(Endpoint endpoint) {
        return endpoint.iommu() == this;
    }

    // Endpoints
    // ------------------------------------------------------------------------------------------------------

    /**
     * Adds an endpoint. IllegalArgumentException if the id is taken or the limit of endpoints is
     * reached.
     */
    public Endpoint plug(int id, EndpointProperties properties) {
        assert isOwnThread();
        if (endpoints.get(id) != null) {
            throw new IllegalArgumentException("endpoint 0x%x exists already".formatted(id));
        }
        if (endpoints.size() == options.endpointLimit()) {
            throw new IllegalArgumentException(
                    "limit of %d endpoints is reached".formatted(options.endpointLimit()));
        }
        Endpoint endpoint = new Endpoint(this, id, properties);
        endpoints.put(id, endpoint);
        return endpoint;
    }

    /**
     * Takes an endpoint away, whatever its driver thinks: it is detached, and from now on reaches
     * nothing, not even by bypass. {@code whenGone} runs on the loop thread, perhaps at once, when
     * no access of it can be running any more; then its id is free. IllegalStateException if it is
     * not there, or on its way already.
     */
    public void unplug(Endpoint endpoint, Runnable whenGone) {
        assert isOwnThread();
        if (endpoints.get(endpoint.id()) != endpoint || endpoint.isLeaving()) {
            throw new IllegalStateException(
                    "endpoint 0x%x is not there to be unplugged".formatted(endpoint.id()));
        }
        endpoint.leave(whenGone);
        goOnLeaving(endpoint);
    }

    /**
     * Detaches one after the other. Where a listener holds it up, {@link #tellSettled} comes back
     * here. A loop: a driver may have named thousands of PASIDs.
     */
    private void goOnLeaving(Endpoint endpoint) {
        for (Attachment attachment : endpoint.inUse()) {
            if (attachment.isBusy()) {
                return;
            }
            detach(attachment, _ -> {}); // what still runs is waited for below
            if (attachment.listener() != null) {
                return;
            }
        }
        endpoint.noteOut();
        moveWaits.add(endpoint, () -> gone(endpoint));
    }

    private void gone(Endpoint endpoint) {
        Runnable whenGone = endpoint.left();
        if (whenGone != null) { // or a reset came in between
            endpoints.remove(endpoint.id());
            whenGone.run();
        }
    }

    /** The endpoint of that id, unless it is not there or being unplugged. */
    public @Nullable Endpoint endpoint(int id) {
        Endpoint endpoint = endpoints.get(id);
        return endpoint == null || endpoint.isLeaving() ? null : endpoint;
    }

    public void forEachEndpoint(Consumer<Endpoint> visitor) {
        endpoints.forEach(visitor);
    }

    /**
     * The way to memory for the device that {@code endpoint} stands for, without a PASID.
     *
     * @param memory guest memory as this device's VMM session sees it
     * @param guard of the thread that the device runs on
     */
    public Dma dma(Endpoint endpoint, GuestMemory memory, Guard guard) {
        return dma(endpoint.attachment(), memory, guard);
    }

    /** As {@link #dma(Endpoint, GuestMemory, Guard)}, in any of its address spaces. */
    public Dma dma(Attachment attachment, GuestMemory memory, Guard guard) {
        assert isOwnThread();
        EndpointDma access = way(attachment, memory, guard);
        attachment.add(access);
        return access;
    }

    private EndpointDma way(Attachment attachment, GuestMemory memory, Guard guard) {
        AccessObserver told = observer;
        return told == null
                ? new EndpointDma(this, attachment, memory, guard)
                : new ObservedDma(this, attachment, memory, guard, told);
    }

    /**
     * Sets who sees what endpoints do. Before the first way to memory is made: those that are there
     * stay as they are.
     */
    public void observe(AccessObserver told) {
        assert isOwnThread();
        observer = told;
    }

    /**
     * As {@link #dma(Attachment, GuestMemory, Guard)}, for a device that asks for pages that are
     * not there ({@link #requestPage}): what is refused is counted, and the driver does not hear of
     * it as a fault.
     */
    public Dma askingDma(Attachment attachment, GuestMemory memory, Guard guard) {
        assert isOwnThread();
        EndpointDma access = way(attachment, memory, guard);
        access.asksForPages();
        attachment.add(access);
        return access;
    }

    /**
     * Sets who keeps a copy of what an endpoint reaches, and tells it what that is now. Only while
     * it is detached.
     */
    public void listen(Attachment attachment, DomainListener listener) {
        assert isOwnThread();
        if (attachment.domain() != null || attachment.isBusy()) {
            throw new IllegalStateException(
                    "endpoint 0x%x is attached: a listener must be there before"
                            .formatted(attachment.endpoint().id()));
        }
        attachment.listener(listener);
        unattached.tell();
    }

    // Domains
    // --------------------------------------------------------------------------------------------------------

    /**
     * A domain without mappings and endpoints.
     *
     * @param id what the object model calls it, 32-bit unsigned
     */
    public PagingDomain pagingDomain(int id) {
        assert isOwnThread();
        PagingDomain domain = new PagingDomain(this, id, stores.get());
        domains.add(domain);
        return domain;
    }

    /** A domain whose endpoints see memory as it is. */
    public Domain identityDomain(int id) {
        return domain(id, Untranslated.IDENTITY);
    }

    /** A domain of another kind. */
    public Domain domain(int id, Translation translation) {
        assert isOwnThread();
        Domain domain = new Domain(this, id, translation);
        domains.add(domain);
        return domain;
    }

    /**
     * A domain with a table that its driver owns.
     *
     * @param memory where it lies
     * @param cached what is kept of it, and of other tables
     */
    public TableDomain tableDomain(int id, HandedTable table, GuestMemory memory, Iotlb cached) {
        assert isOwnThread();
        TableDomain domain = new TableDomain(this, id, ++tables, table, memory, cached);
        domains.add(domain);
        return domain;
    }

    /** False if it has ended already. */
    boolean forget(Domain domain) {
        return domains.remove(domain);
    }

    /**
     * The domains with the lowest ids, at most {@code domainMax} of {@link #domainCount}, each with
     * its first {@code mappingMax} mappings.
     */
    public List<DomainView> domains(int domainMax, int mappingMax) {
        return domains.stream()
                .sorted((a, b) -> Integer.compareUnsigned(a.id(), b.id()))
                .limit(domainMax)
                .map(domain -> DomainView.of(domain, mappingMax))
                .toList();
    }

    /** Visits every domain, in no order that means anything. Loop thread. */
    public void forEachDomain(Consumer<Domain> visitor) {
        assert isOwnThread();
        domains.forEach(visitor);
    }

    /** The domain of that id whose mappings are kept here; null if there is none. Loop thread. */
    public @Nullable PagingDomain findPaging(int id) {
        assert isOwnThread();
        for (Domain domain : domains) {
            if (domain.id() == id && domain instanceof PagingDomain paging) {
                return paging;
            }
        }
        return null;
    }

    // Batches
    // --------------------------------------------------------------------------------------------------------

    /**
     * The UNMAPs from here to {@link #endBatch} are carried out one by one as ever, but wait
     * together for accesses under the old state to end, so that most are answered at the end of the
     * batch. Not nested.
     */
    public void beginBatch() {
        assert isOwnThread();
        unmaps.beginBatch();
    }

    public void endBatch() {
        assert isOwnThread();
        unmaps.endBatch();
    }

    /** True if nothing at all waits for accesses to end. */
    boolean isQuiet() {
        return unmaps.isEmpty() && !guards.hasPending();
    }

    // Attaching
    // ------------------------------------------------------------------------------------------------------

    /**
     * Attaches to a domain, from nothing or from another one: an access sees the old one or the new
     * one, never neither. When it is answered no access under the old one is running.
     */
    public void attach(Attachment attachment, Domain target, Completion completion) {
        assert isOwnThread();
        moves.attach(attachment, target, completion);
    }

    /**
     * Detaches. When it is answered the endpoint reaches nothing of the domain any more.
     * IllegalStateException if it is attached to nothing.
     */
    public void detach(Attachment attachment, Completion completion) {
        assert isOwnThread();
        moves.detach(attachment, completion);
    }

    // Listeners
    // ------------------------------------------------------------------------------------------------------

    /** True if somebody keeps a copy of what an endpoint reaches. Loop thread. */
    public boolean isListenedTo() {
        assert isOwnThread();
        boolean[] isOne = {false};
        forEachAttachment(attachment -> isOne[0] |= attachment.listener() != null);
        return isOne[0];
    }

    /** True unless a listener owes an answer: then the state may still go either way. */
    public boolean isSettled() {
        return rounds.isEmpty();
    }

    /** {@code told} runs each time a request that waited for listeners is over. */
    public void whenSettled(Runnable told) {
        assert isOwnThread();
        settled = told;
    }

    /** A request begins to tell listeners of something: what it is about is busy until its end. */
    ListenerRound round(
            @Nullable Domain one, @Nullable Domain other, @Nullable Attachment attachment) {
        ListenerRound round = new ListenerRound(this, one, other, attachment);
        rounds.add(round);
        return round;
    }

    void roundEnded(ListenerRound round) {
        rounds.remove(round);
    }

    void tellSettled() {
        settled.run();
        unattached.tell(); // who was busy when it changed
        endpoints.forEach(endpoint -> {
            if (endpoint.isLeaving() && !endpoint.isOut()) {
                goOnLeaving(endpoint);
            }
        });
        unattached.tellKnown();
    }

    // Reset
    // ----------------------------------------------------------------------------------------------------------

    /**
     * Back to no attachment, no domain, no mapping; {@code bypass} stays (virtio 1.4, 5.13.5:
     * device reset). When it returns no access of ours under the old state is running and leases
     * are taken back, except one that cannot be (see {@link Guards}); {@code whenDone} runs when
     * listeners have answered that theirs has ended, perhaps at once. Requests that still waited
     * are answered late or never. Not inside a guarded section.
     *
     * <p>An endpoint whose device runs on is blocked until that device is reset or the endpoint is
     * attached: what it does is meant for mappings that are gone, and bypass would take its
     * addresses for those of memory.
     */
    public void reset(Runnable whenDone) {
        assert isOwnThread();
        for (ListenerRound round : List.copyOf(rounds)) {
            round.cancel();
        }
        rounds.clear();
        endpoints.forEach(Endpoint::forget);
        domains.forEach(Domain::endNow);
        domains.clear();
        mappings = 0;
        pageRequests.forgetAll();
        ListenerRound round = round(null, null, null);
        forEachAttachment(attachment -> {
            Unattached.tell(attachment, round);
            attachment.moving(attachment.listener() != null);
        });
        unmaps.forget();
        moveWaits.forget();
        guards.awaitNow(
                new Quiescence() {
                    @Override
                    protected boolean isHeldBy(PinnedLease lease) {
                        return lease.owner() instanceof Attachment owner
                                && isOurs(owner.endpoint());
                    }

                    @Override
                    protected void quiescent() {
                        // A driver that comes now must not hear of accesses before it.
                        faults.clear();
                    }
                });
        // Nothing of them is running, and what waited to take them away is forgotten.
        endpoints.forEach(endpoint -> {
            if (endpoint.isLeaving()) {
                gone(endpoint);
            }
        });
        round.finish(_ -> {
            forEachAttachment(attachment -> attachment.moving(false));
            whenDone.run();
        });
    }

    void forEachAttachment(Consumer<Attachment> visitor) {
        endpoints.forEach(endpoint -> endpoint.forEachAttachment(visitor));
    }

    /**
     * Machine reset: like {@link #reset}, and {@code bypass} is back at its initial value (D-08).
     */
    public void systemReset(Runnable whenDone) {
        unattached.rule(options.bypassAtStart());
        reset(whenDone);
    }

    // Restoring
    // ------------------------------------------------------------------------------------------------------

    MappingStore newStore() {
        return stores.get();
    }

    /** Takes over checked domains of a saved state, while there are none yet. */
    void adopt(List<Domain> restored, long mappingCount, boolean bypass) {
        for (Domain domain : restored) {
            domains.add(domain);
            domain.attachments().forEach(attachment -> attachment.domainRelease(domain));
        }
        mappings = mappingCount;
        unattached.rule(bypass);
    }
}
