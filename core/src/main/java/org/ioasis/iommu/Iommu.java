// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStore;
import org.ioasis.iommu.mapping.MappingStore.MapResult;
import org.ioasis.iommu.mapping.RunVisitor;
import org.ioasis.memory.Access;
import org.ioasis.memory.Count;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.PinnedLease;
import org.ioasis.memory.Quiescence;
import org.ioasis.memory.Ranges;
import org.jspecify.annotations.Nullable;

/**
 * One IOMMU: its endpoints, its domains and the four requests that change them. Every request is
 * checked in one fixed order before anything changes; one that is not answered OK has changed
 * nothing. Requests belong to the machine's loop thread; translation happens on any thread through
 * the {@link Dma} that {@link #dma} makes.
 *
 * <p>A request is answered through its {@link Completion}: at once, or later when an access under
 * the old state is still running or a listener owes an answer. What waits never holds up a request
 * to another domain, and is never overtaken by one to the same domain or endpoint.
 */
public final class Iommu {
    private final IommuOptions options;
    private final Guards guards;
    private final FaultQueue faults;
    private final Supplier<MappingStore> stores;
    private final IdMap<Endpoint> endpoints = new IdMap<>();
    private final IdMap<Domain> domains = new IdMap<>();

    // The domain that was asked for last: requests come in runs.
    private @Nullable Domain recentDomain;

    private final List<ListenerRound> rounds = new ArrayList<>();
    private ArrayList<Deferred> deferred = new ArrayList<>();

    private final UnmapWaits unmaps;
    private final Count refusedByLimit = new Count();
    private long mappings;
    private volatile boolean isBypassing;

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
        isBypassing = options.bypassAtStart();
        unmaps = new UnmapWaits(guards);
    }

    public IommuOptions options() {
        return options;
    }

    public FaultQueue faults() {
        return faults;
    }

    /** Mappings now, over all domains. */
    public long mappingCount() {
        return mappings;
    }

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

    /** True if unattached endpoints reach memory untranslated. Any thread. */
    public boolean isBypassing() {
        return isBypassing;
    }

    public void bypass(boolean bypass) {
        isBypassing = bypass;
    }

    // Endpoints
    // ------------------------------------------------------------------------------------------------------

    /**
     * Adds an endpoint. IllegalArgumentException if the id is taken or the limit of endpoints is
     * reached.
     */
    public Endpoint plug(int id, EndpointProperties properties) {
        if (endpoints.get(id) != null) {
            throw new IllegalArgumentException("endpoint 0x%x exists already".formatted(id));
        }
        if (endpoints.size() == options.endpointLimit()) {
            throw new IllegalArgumentException(
                    "limit of %d endpoints is reached".formatted(options.endpointLimit()));
        }
        Endpoint endpoint = new Endpoint(id, properties);
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
        if (endpoints.get(endpoint.id()) != endpoint || endpoint.isLeaving()) {
            throw new IllegalStateException(
                    "endpoint 0x%x is not there to be unplugged".formatted(endpoint.id()));
        }
        endpoint.leave(whenGone);
        detachToUnplug(endpoint);
    }

    private void detachToUnplug(Endpoint endpoint) {
        Domain domain = endpoint.domainAcquire();
        // Without a domain it waits for requests about itself only.
        int domainId = domain == null ? options.domainFirst() : domain.id;
        if (mustWait(domain, endpoint, domainId)) {
            defer(endpoint, domainId, () -> detachToUnplug(endpoint));
        } else if (domain == null) {
            awaitUnused(endpoint, () -> gone(endpoint));
        } else {
            leave(endpoint, domain, status -> gone(endpoint));
        }
    }

    private void gone(Endpoint endpoint) {
        Runnable whenGone = endpoint.left();
        if (whenGone != null) { // or a reset came in between
            endpoints.remove(endpoint.id());
            whenGone.run();
        }
    }

    /** Those whose drivers may still ask for them: not what is being unplugged. */
    private @Nullable Endpoint present(int id) {
        Endpoint endpoint = endpoints.get(id);
        return endpoint == null || endpoint.isLeaving() ? null : endpoint;
    }

    @Nullable Domain domain(int id) {
        Domain recent = recentDomain;
        if (recent != null && recent.id == id) {
            return recent;
        }
        recentDomain = domains.get(id);
        return recentDomain;
    }

    /** The endpoint of that id, unless it is not there or being unplugged. */
    public @Nullable Endpoint endpoint(int id) {
        return present(id);
    }

    public void forEachEndpoint(Consumer<Endpoint> visitor) {
        endpoints.forEach(visitor);
    }

    /**
     * The way to memory for the device that {@code endpoint} stands for.
     *
     * @param memory guest memory as this device's VMM session sees it
     * @param guard of the thread that the device runs on
     */
    public Dma dma(Endpoint endpoint, GuestMemory memory, Guard guard) {
        EndpointDma access = new EndpointDma(this, endpoint, memory, guard);
        endpoint.add(access);
        return access;
    }

    /** Sets who keeps a copy of the endpoint's mappings. Only while it is detached. */
    public void listen(Endpoint endpoint, DomainListener listener) {
        if (endpoint.domainAcquire() != null) {
            throw new IllegalStateException(
                    "endpoint 0x%x is attached: a listener must be there before"
                            .formatted(endpoint.id()));
        }
        endpoint.listener(listener);
    }

    // Batches
    // --------------------------------------------------------------------------------------------------------

    /**
     * The UNMAPs from here to {@link #endBatch} are carried out one by one as ever, but wait
     * together for accesses under the old state to end, so that most are answered at the end of the
     * batch. Not nested.
     */
    public void beginBatch() {
        unmaps.beginBatch();
    }

    public void endBatch() {
        unmaps.endBatch();
    }

    // ATTACH
    // ---------------------------------------------------------------------------------------------------------

    /**
     * Attaches an endpoint to a domain, which is created if there is none (virtio 1.4, 5.13.6.3).
     */
    public void attach(int endpointId, int domainId, boolean bypass, Completion completion) {
        Endpoint endpoint = present(endpointId);
        if (endpoint == null) {
            completion.complete(Status.NOENT);
            return;
        }
        if (Integer.compareUnsigned(domainId, options.domainFirst()) < 0
                || Integer.compareUnsigned(domainId, options.domainLast()) > 0) {
            completion.complete(Status.RANGE);
            return;
        }
        Domain target = domains.get(domainId);
        if (mustWait(target, endpoint, domainId)) {
            defer(endpoint, domainId, () -> attach(endpointId, domainId, bypass, completion));
            return;
        }
        Domain old = endpoint.domainAcquire();
        if (target != null && target.isBypass() != bypass) {
            completion.complete(Status.INVAL);
            return;
        }
        if (target != null && target == old) {
            completion.complete(Status.OK);
            return;
        }
        boolean isNew = target == null;
        if (target == null) {
            target = new Domain(domainId, bypass ? null : stores.get());
        }
        if (!target.isCompatible(endpoint, options)) {
            completion.complete(Status.UNSUPP);
            return;
        }
        boolean endsOld = old != null && old.endpoints.size() == 1;
        if (isNew && domains.size() - (endsOld ? 1 : 0) >= options.domainLimit()) {
            refusedByLimit.increment();
            completion.complete(Status.NOMEM);
            return;
        }
        if (isNew) {
            domains.put(domainId, target);
        }
        tellOfMove(endpoint, old, target, completion);
    }

    private void tellOfMove(
            Endpoint endpoint, @Nullable Domain old, Domain target, Completion completion) {
        ListenerRound round = new ListenerRound();
        DomainListener listener = endpoint.listener();
        if (listener != null) {
            if (old != null && old.store != null) {
                old.store.runs(0, -1L, (f, l, o, flags) -> round.unmap(listener, f, l, o, flags));
            }
            if (target.store != null) {
                target.store.runs(0, -1L, (f, l, o, flags) -> round.map(listener, f, l, o, flags));
            }
        }
        endpoint.isBusy = true;
        play(
                round,
                old,
                target,
                status -> {
                    endpoint.isBusy = false;
                    if (status == Status.OK) {
                        move(endpoint, old, target, Status.OK, completion);
                        return;
                    }
                    dropIfEmpty(target);
                    if (listener != null && round.hasLostCopy()) {
                        // The old domain cannot be had back whole, and a part of it is worse than
                        // none: the one refusal that changes something, and it says so.
                        listener.cleared();
                        move(endpoint, old, null, Status.DEVERR, completion);
                    } else {
                        completion.complete(status);
                    }
                });
    }

    private void move(
            Endpoint endpoint,
            @Nullable Domain old,
            @Nullable Domain target,
            Status status,
            Completion completion) {
        if (target != null) {
            target.add(endpoint, options);
        }
        // One store: an access sees the old domain or the new one, never neither.
        endpoint.domainRelease(target);
        if (old != null) {
            old.remove(endpoint, options);
            dropIfEmpty(old);
        }
        completion.settled(status);
        awaitUnused(endpoint, () -> completion.complete(status));
    }

    /** Runs {@code task} when no access of the endpoint that has begun before is running. */
    private void awaitUnused(Endpoint endpoint, Runnable task) {
        guards.await(
                new Quiescence() {
                    @Override
                    protected boolean isHeldBy(PinnedLease lease) {
                        return lease.isOwnedBy(endpoint);
                    }

                    @Override
                    protected void quiescent() {
                        task.run();
                    }
                });
    }

    private void dropIfEmpty(Domain domain) {
        if (domain.endpoints.isEmpty()) {
            if (domain.store != null) {
                mappings -= domain.store.size();
                domain.store.close();
            }
            domains.remove(domain.id);
            recentDomain = null;
        }
    }

    // DETACH
    // ---------------------------------------------------------------------------------------------------------

    /**
     * Detaches an endpoint from a domain (5.13.6.4). When it is answered the endpoint reaches
     * nothing of the domain any more; with the last endpoint the domain ends.
     */
    public void detach(int endpointId, int domainId, Completion completion) {
        Endpoint endpoint = present(endpointId);
        if (endpoint == null) {
            completion.complete(Status.NOENT);
            return;
        }
        if (mustWait(domains.get(domainId), endpoint, domainId)) {
            defer(endpoint, domainId, () -> detach(endpointId, domainId, completion));
            return;
        }
        Domain domain = endpoint.domainAcquire();
        // D-30 leaves it open. Strict would be INVAL whenever the ids do not match, but Linux
        // detaches identity domains with id 0 and warns when that fails.
        if (domain == null || (domain.id != domainId && !options.detachByEndpoint())) {
            completion.complete(Status.INVAL);
            return;
        }
        leave(endpoint, domain, completion);
    }

    private void leave(Endpoint endpoint, Domain domain, Completion completion) {
        ListenerRound round = new ListenerRound();
        DomainListener listener = endpoint.listener();
        if (listener != null && domain.store != null) {
            domain.store.runs(0, -1L, (f, l, o, flags) -> round.unmap(listener, f, l, o, flags));
        }
        endpoint.isBusy = true;
        play(
                round,
                domain,
                null,
                status -> {
                    endpoint.isBusy = false;
                    move(endpoint, domain, null, Status.OK, completion);
                });
    }

    // MAP
    // ------------------------------------------------------------------------------------------------------------

    /**
     * Maps {@code first..last} of a domain to {@code output} and on (5.13.6.5).
     *
     * @param flags {@link MapFlags}, already known to be ones that the driver may use
     */
    public void map(
            int domainId, long first, long last, long output, int flags, Completion completion) {
        Domain domain = domain(domainId);
        if (mustWait(domain, null, domainId)) {
            defer(null, domainId, () -> map(domainId, first, last, output, flags, completion));
            return;
        }
        Status refusal = refuseMap(domain, first, last, output);
        if (refusal != Status.OK || domain == null || domain.store == null) {
            completion.complete(refusal);
            return;
        }
        MappingStore store = domain.store;
        MapResult result = store.map(first, last, output, flags);
        if (result == MapResult.NO_MEMORY) {
            refusedByLimit.increment();
            completion.complete(Status.NOMEM);
            return;
        }
        if (result == MapResult.OVERLAPS) {
            completion.complete(Status.INVAL);
            return;
        }
        mappings++;
        if (!domain.isListenedTo()) {
            completion.complete(Status.OK);
            return;
        }
        tellOfMap(domain, store, first, last, output, flags, completion);
    }

    private void tellOfMap(
            Domain domain,
            MappingStore store,
            long first,
            long last,
            long output,
            int flags,
            Completion completion) {
        ListenerRound round = new ListenerRound();
        for (Endpoint endpoint : domain.endpoints) {
            DomainListener listener = endpoint.listener();
            if (listener != null) {
                boolean _ = round.map(listener, first, last, output, flags);
            }
        }
        play(
                round,
                domain,
                null,
                status -> {
                    if (status == Status.OK) {
                        completion.complete(Status.OK);
                        return;
                    }
                    store.unmap(first, last);
                    mappings--;
                    // The mapping was there for a moment: an access may have begun under it.
                    unmaps.addUndone(domain, first, last, status, completion);
                });
    }

    /**
     * Everything that can be wrong with a MAP, in the one order that decides when several things
     * are.
     */
    private Status refuseMap(@Nullable Domain domain, long first, long last, long output) {
        if (domain == null) {
            return Status.NOENT;
        }
        MappingStore store = domain.store;
        if (store == null || Long.compareUnsigned(last, first) < 0) {
            return Status.INVAL;
        }
        long unaligned = domain.granule() - 1;
        long outputLast = output + (last - first);
        if (((first | (last + 1) | output) & unaligned) != 0
                || Long.compareUnsigned(outputLast, output) < 0
                || Long.compareUnsigned(first, domain.inputFirst()) < 0
                || Long.compareUnsigned(last, domain.inputLast()) > 0) {
            return Status.RANGE;
        }
        if (domain.reserved().overlaps(first, last)) {
            return Status.INVAL;
        }
        if (mappings >= options.mappingLimit() || store.size() >= domain.mappingLimit()) {
            if (store.overlaps(first, last)) {
                return Status.INVAL;
            }
            refusedByLimit.increment();
            return Status.NOMEM;
        }
        return Status.OK;
    }

    // UNMAP
    // ----------------------------------------------------------------------------------------------------------

    /**
     * Removes the mappings of {@code first..last} (5.13.6.6). When it is answered no access uses
     * them any more. A new MAP of the range is legal even before that.
     */
    public void unmap(int domainId, long first, long last, Completion completion) {
        Domain domain = domain(domainId);
        if (mustWait(domain, null, domainId)) {
            defer(null, domainId, () -> unmap(domainId, first, last, completion));
            return;
        }
        if (domain == null) {
            completion.complete(Status.NOENT);
            return;
        }
        MappingStore store = domain.store;
        if (store == null || Long.compareUnsigned(last, first) < 0) {
            completion.complete(Status.INVAL);
            return;
        }
        ListenerRound round = domain.isListenedTo() ? unmapRound(domain, store, first, last) : null;
        long removed = store.unmap(first, last);
        if (removed == MappingStore.SPLITS) {
            completion.complete(Status.RANGE);
            return;
        }
        mappings -= removed;
        if (removed == 0 && unmaps.isEmpty() && !guards.hasPending()) {
            completion.complete(Status.OK);
        } else if (round == null) {
            unmaps.add(domain, first, last, completion);
        } else {
            play(round, domain, null, status -> unmaps.add(domain, first, last, completion));
        }
    }

    /** What listeners must hear if the range is unmapped; they do not yet. */
    private static ListenerRound unmapRound(
            Domain domain, MappingStore store, long first, long last) {
        ListenerRound round = new ListenerRound();
        if (!store.splits(first, last)) {
            for (Endpoint endpoint : domain.endpoints) {
                DomainListener listener = endpoint.listener();
                if (listener != null) {
                    store.runs(
                            first, last, (f, l, o, flags) -> round.unmap(listener, f, l, o, flags));
                }
            }
        }
        return round;
    }

    // Reset
    // ----------------------------------------------------------------------------------------------------------

    /**
     * Back to no attachment, no domain, no mapping; {@code bypass} stays (virtio 1.4, 5.13.5:
     * device reset). When it returns no access under the old state is running and leases are taken
     * back, except one that cannot be (see {@link Guards}). Requests that still waited are answered
     * late or never. Not inside a guarded section.
     */
    public void reset() {
        for (ListenerRound round : List.copyOf(rounds)) {
            round.cancel();
        }
        rounds.clear();
        deferred.clear();
        endpoints.forEach(endpoint -> {
            boolean hadDomain = endpoint.domainAcquire() != null || endpoint.isBusy;
            endpoint.isBusy = false;
            endpoint.forgetAttachments();
            DomainListener listener = endpoint.listener();
            if (hadDomain && listener != null) {
                listener.cleared();
            }
        });
        domains.forEach(domain -> {
            if (domain.store != null) {
                domain.store.close();
            }
        });
        domains.clear();
        recentDomain = null;
        mappings = 0;
        unmaps.forget();
        guards.awaitNow(
                new Quiescence() {
                    @Override
                    protected boolean isHeldBy(PinnedLease lease) {
                        return lease.owner() instanceof Endpoint owner
                                && endpoints.get(owner.id()) == owner;
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
    }

    /**
     * Machine reset: like {@link #reset}, and {@code bypass} is back at its initial value (D-08).
     */
    public void systemReset() {
        reset();
        isBypassing = options.bypassAtStart();
    }

    // Restoring
    // ------------------------------------------------------------------------------------------------------

    /**
     * True unless a listener owes an answer: then the state may still go either way. Loop thread.
     */
    public boolean isSettled() {
        return rounds.isEmpty() && deferred.isEmpty();
    }

    MappingStore newStore() {
        return stores.get();
    }

    /** Takes over checked domains of a saved state, while there are none yet. Loop thread. */
    void adopt(List<Domain> restored, long mappingCount, boolean bypass) {
        for (Domain domain : restored) {
            domains.put(domain.id, domain);
            domain.endpoints.forEach(endpoint -> endpoint.domainRelease(domain));
        }
        mappings = mappingCount;
        isBypassing = bypass;
    }

    // Listeners
    // ------------------------------------------------------------------------------------------------------

    /**
     * A request whose turn has not come: to {@code domainId}, about {@code endpoint} if not null.
     */
    private record Deferred(@Nullable Endpoint endpoint, int domainId, Runnable request) {
        boolean isBefore(@Nullable Endpoint other, int otherDomainId) {
            return domainId == otherDomainId
                    || (endpoint != null && endpoint.isIn(otherDomainId))
                    || (other != null && (other == endpoint || other.isIn(domainId)));
        }
    }

    /**
     * True if a listener still owes an answer to a request to the same domain or endpoint, or if
     * such a request waits for its turn.
     *
     * @param domain the one with that id, if there is one
     */
    private boolean mustWait(@Nullable Domain domain, @Nullable Endpoint endpoint, int domainId) {
        return isBusy(domain)
                || (endpoint != null && (endpoint.isBusy || isBusy(endpoint.domainAcquire())))
                || (!deferred.isEmpty() && isBehindDeferred(endpoint, domainId));
    }

    private boolean isBehindDeferred(@Nullable Endpoint endpoint, int domainId) {
        for (int i = 0; i < deferred.size(); i++) {
            if (deferred.get(i).isBefore(endpoint, domainId)) {
                return true;
            }
        }
        return false;
    }

    private void defer(@Nullable Endpoint endpoint, int domainId, Runnable request) {
        deferred.add(new Deferred(endpoint, domainId, request));
    }

    private static boolean isBusy(@Nullable Domain domain) {
        return domain != null && domain.isBusy;
    }

    private void play(
            ListenerRound round,
            @Nullable Domain one,
            @Nullable Domain other,
            ListenerRound.End end) {
        busy(one, true);
        busy(other, true);
        rounds.add(round);
        round.start(status -> {
            rounds.remove(round);
            busy(one, false);
            busy(other, false);
            end.ended(status);
            retryDeferred();
        });
    }

    private static void busy(@Nullable Domain domain, boolean isBusy) {
        if (domain != null) {
            domain.isBusy = isBusy;
        }
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

    // Diagnostics
    // ----------------------------------------------------------------------------------------------------

    /** Why an access is refused, for people. Any thread; computed only for faults that are kept. */
    String explain(Endpoint endpoint, long address, Access access) {
        if (endpoint.isLeaving()) {
            return "the endpoint has been unplugged";
        }
        Domain domain = endpoint.domainAcquire();
        if (domain == null) {
            long left = endpoint.leftDomain();
            return left < 0
                    ? "the endpoint is attached to no domain and bypass is 0"
                    : "the endpoint is attached to no domain any more, it was to domain 0x%x;"
                                    .formatted(left)
                            + " bypass is 0";
        }
        MappingStore store = domain.store;
        if (store == null) {
            return "the endpoint has moved to a bypass domain since";
        }
        String[] text = {"domain 0x%x has no mapping at all".formatted(domain.id)};
        store.nearest(
                address,
                (first, last, output, flags) -> {
                    boolean inside = Ranges.holds(first, last, address);
                    text[0] =
                            inside
                                    ? "domain 0x%x maps 0x%x..0x%x without %s permission"
                                            .formatted(domain.id, first, last, access)
                                    : "not mapped in domain 0x%x; nearest is 0x%x..0x%x"
                                            .formatted(domain.id, first, last);
                    return false;
                });
        return text[0] + unmaps.lateness(domain, address);
    }

    /**
     * Visits the mappings of a domain with their exact borders; nothing if there is no such domain.
     * Loop thread.
     */
    public void mappings(int domainId, RunVisitor visitor) {
        Domain domain = domains.get(domainId);
        if (domain != null && domain.store != null) {
            domain.store.mappings(0, -1L, visitor);
        }
    }

    /**
     * The domains with the lowest ids, at most {@code domainMax} of {@link #domainCount}, each with
     * its first {@code mappingMax} mappings. Loop thread.
     */
    public List<DomainView> domains(int domainMax, int mappingMax) {
        List<Domain> sorted = new ArrayList<>();
        domains.forEach(sorted::add);
        sorted.sort((a, b) -> Integer.compareUnsigned(a.id, b.id));
        return sorted.stream().limit(domainMax).map(domain -> view(domain, mappingMax)).toList();
    }

    /** True if there is such a domain and its endpoints see memory as it is. Loop thread. */
    public boolean isBypassDomain(int domainId) {
        Domain domain = domains.get(domainId);
        return domain != null && domain.isBypass();
    }

    private static DomainView view(Domain domain, int mappingMax) {
        List<DomainView.MappingView> first = new ArrayList<>();
        MappingStore store = domain.store;
        if (store != null && mappingMax > 0) {
            store.mappings(
                    0,
                    -1L,
                    (from, to, output, flags) -> {
                        first.add(new DomainView.MappingView(from, to, output, flags));
                        return first.size() < mappingMax;
                    });
        }
        return new DomainView(
                Integer.toUnsignedLong(domain.id),
                domain.isBypass(),
                store == null ? 0 : domain.granule(),
                domain.endpoints.stream().map(Endpoint::id).toList(),
                store == null ? 0 : store.size(),
                first);
    }
}
