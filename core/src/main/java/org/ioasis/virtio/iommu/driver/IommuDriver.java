// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.Virtio.F_EVENT_IDX;
import static org.ioasis.spec.Virtio.F_INDIRECT_DESC;
import static org.ioasis.spec.VirtioIommu.CONFIG_BYPASS;
import static org.ioasis.spec.VirtioIommu.DEVICE_ID_IOMMU;
import static org.ioasis.spec.VirtioIommu.EVENTQ;
import static org.ioasis.spec.VirtioIommu.F_BYPASS_CONFIG;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;
import static org.ioasis.spec.VirtioIommu.S_NOENT;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommuTables.F_PAGE_REQUEST;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Negotiation;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.driver.Transport;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A driver of the IOMMU device (virtio 1.4, 5.13): domains, endpoints and what it was told of them.
 * It keeps its own account of what the device has answered, and asks for nothing that the account
 * says is wrong. A device that breaks the rules, or does not answer in time, is asked for nothing
 * more until {@link #reset}.
 *
 * <p>One thread. It blocks nowhere but in the caller's {@link Patience}.
 */
public final class IommuDriver {
    /** An endpoint that the driver has asked about. */
    private static final class Endpoint {
        private EndpointInfo info;
        private @Nullable DriverDomain domain;

        Endpoint(EndpointInfo info) {
            this.info = info;
        }
    }

    private final Transport device;
    private final DriverMemory memory;
    private final Patience patience;
    private final DriverOptions options;
    private final DriverCounts counts = new DriverCounts();
    private final Map<Integer, Endpoint> endpoints = new TreeMap<>();
    private final List<NavigableSet<Integer>> groups = new ArrayList<>();
    private final Map<Integer, DriverDomain> domains = new TreeMap<>(Integer::compareUnsigned);

    private final DriverTables tables = new DriverTables(this);

    private Consumer<? super FaultReport> listener = _ -> {};

    // Who is to be attached again once the device starts, if an earlier attempt to start it failed.
    private final Map<Integer, DriverDomain> owed = new TreeMap<>();

    private Session session;

    /** What begins anew with each start of the device. */
    private record Session(IommuConfig config, RequestRing requests, EventRing events) {}

    /**
     * Starts the device.
     *
     * @param memory for rings and buffers: {@link #memoryBytes} are enough for any device
     * @param patience how long an answer may take
     */
    public IommuDriver(
            Transport device, DriverMemory memory, Patience patience, DriverOptions options)
            throws DriverException {
        this.device = device;
        this.memory = memory;
        this.patience = patience;
        this.options = options;
        session = start();
    }

    /** Bytes of memory with which it can drive any device: split rings are the larger ones. */
    public static long memoryBytes(DriverOptions options) {
        int size = options.queueSize();
        return 2 * RingFormat.SPLIT.driverBytes(size)
                + RequestRing.slotBytes(size, true)
                + RequestRing.propertyBytes(options.probeSize())
                + EventRing.bufferBytes(size)
                + 5L * 128;
    }

    private Session start() throws DriverException {
        long features =
                Negotiation.features(
                        device, patience, DEVICE_ID_IOMMU, options.required(), options.wanted());
        // After the reset nobody but us is in it.
        memory.giveBack();
        try {
            IommuConfig config = IommuConfig.read(device, features, options.probeSize());
            boolean hasTables = config.has(F_INDIRECT_DESC);
            DriverQueue requestRing = ring(config, REQUESTQ, hasTables ? 1 : 2);
            DriverQueue eventRing = ring(config, EVENTQ, 1);
            RequestRing requests =
                    new RequestRing(
                            device,
                            patience,
                            requestRing,
                            hasTables,
                            memory.take(RequestRing.slotBytes(requestRing.size(), hasTables)),
                            memory.take(RequestRing.propertyBytes(config.probeSize())),
                            counts);
            EventRing events =
                    new EventRing(
                            device,
                            eventRing,
                            memory.take(EventRing.bufferBytes(eventRing.size())),
                            counts,
                            config.has(F_PAGE_REQUEST));
            Negotiation.ready(device);
            events.fill();
            return new Session(config, requests, events);
        } catch (DriverException unusable) {
            Negotiation.giveUp(device);
            throw unusable;
        }
    }

    private DriverQueue ring(IommuConfig config, int queue, int least) throws DriverException {
        int size = Negotiation.queueSize(device, queue, options.queueSize());
        if (size < least) {
            throw new DriverException("queue %d has %d entries".formatted(queue, size));
        }
        RingFormat format = RingFormat.of(config.features());
        DriverMemory.Piece piece = memory.take(format.driverBytes(size));
        DriverQueue ring =
                format.newDriver(piece.segment(), piece.address(), size, config.has(F_EVENT_IDX));
        Negotiation.enable(
                device,
                queue,
                size,
                ring.descAddress(),
                ring.driverAddress(),
                ring.deviceAddress());
        return ring;
    }

    /** What was agreed on with the device. */
    public IommuConfig config() {
        return session.config;
    }

    /** What the driver was made with. */
    public DriverOptions options() {
        return options;
    }

    /** What it has counted. */
    public DriverCounts counts() {
        return counts;
    }

    /** Tables of its own, if the options ask for them. */
    public DriverTables tables() {
        return tables;
    }

    RequestRing ring() {
        return session.requests;
    }

    // --- bypass, 5.13.4

    /** Whether endpoints without a domain reach memory as it is. Other bits say nothing. */
    public boolean bypass() {
        mustHaveBypass();
        return (device.readConfig(CONFIG_BYPASS, 1) & 1) != 0;
    }

    /** Sets whether endpoints without a domain reach memory as it is. */
    public void bypass(boolean isOn) throws DriverException {
        mustHaveBypass();
        device.writeConfig(CONFIG_BYPASS, 1, isOn ? 1 : 0);
        if (bypass() != isOn) {
            throw new DriverException("the device does not take bypass = " + (isOn ? 1 : 0));
        }
    }

    private void mustHaveBypass() {
        if (!config().has(F_BYPASS_CONFIG)) {
            throw new IllegalStateException("BYPASS_CONFIG is not negotiated");
        }
    }

    // --- domains

    /** A new domain for mappings. */
    public DriverDomain domain() throws DriverException {
        return newDomain(false);
    }

    /** A new domain whose endpoints reach memory as it is. */
    public DriverDomain bypassDomain() throws DriverException {
        mustHaveBypass();
        return newDomain(true);
    }

    private DriverDomain newDomain(boolean isBypass) throws DriverException {
        DriverDomain domain = new DriverDomain(this, freeId(), isBypass);
        domains.put(domain.id(), domain);
        return domain;
    }

    /** A number that no domain and no table has. */
    int freeId() throws DriverException {
        int id = config().domainFirst();
        while (domains.containsKey(id) || tables.has(id)) {
            if (id == config().domainLast()) {
                throw new DriverException("no domain id is left");
            }
            id++;
        }
        return id;
    }

    /** Ends a domain that no endpoint is in; its number can be that of another one then. */
    public void close(DriverDomain domain) {
        mustKnow(domain);
        if (domain.isLive()) {
            throw new IllegalStateException("endpoints are in the domain");
        }
        domains.remove(domain.id());
    }

    void mustKnow(DriverDomain domain) {
        if (domains.get(domain.id()) != domain) {
            throw new IllegalStateException("the domain is closed");
        }
    }

    // --- endpoints

    /** What the device tells of an endpoint; asked for once, and always before the first ATTACH. */
    public EndpointInfo probe(int endpoint) throws DriverException {
        Endpoint known = endpoints.get(endpoint);
        if (known == null) {
            known = new Endpoint(askFor(endpoint));
            endpoints.put(endpoint, known);
        }
        return known.info;
    }

    private EndpointInfo askFor(int endpoint) throws DriverException {
        if (config().probeSize() == 0) {
            return EndpointInfo.NONE;
        }
        session.requests.begin();
        int slot = session.requests.probe(endpoint);
        session.requests.await();
        int status = session.requests.status(slot);
        if (status != S_OK) {
            throw new RefusedException("PROBE of endpoint " + text(endpoint), status);
        }
        return PropertyParser.parse(
                session.requests.properties(), config().has(DriverOptions.TABLES));
    }

    EndpointInfo info(int endpoint) {
        Endpoint known = endpoints.get(endpoint);
        return known == null ? EndpointInfo.NONE : known.info;
    }

    /**
     * Says that these endpoints reach each other, or are seen as one: they are in the same domain
     * or in none (5.13.6.3.1). Before any of them is attached.
     */
    public void group(Collection<Integer> members) {
        for (NavigableSet<Integer> group : groups) {
            if (members.stream().anyMatch(group::contains)) {
                throw new IllegalArgumentException("an endpoint is in one group: " + group);
            }
        }
        for (int member : members) {
            if (domainOf(member) != null) {
                throw new IllegalStateException("endpoint %s is attached".formatted(text(member)));
            }
        }
        groups.add(new TreeSet<>(members));
    }

    private NavigableSet<Integer> groupOf(int endpoint) {
        for (NavigableSet<Integer> group : groups) {
            if (group.contains(endpoint)) {
                return group;
            }
        }
        return new TreeSet<>(List.of(endpoint));
    }

    /** The domain that an endpoint is in, or null. */
    public @Nullable DriverDomain domainOf(int endpoint) {
        Endpoint known = endpoints.get(endpoint);
        return known == null ? null : known.domain;
    }

    /**
     * Attaches an endpoint, and those of its group, moving them from where they are. If one is
     * refused, all are where they were, unless the device refuses that too: then they are in no
     * domain, and {@link #domainOf} says so.
     */
    public void attach(DriverDomain domain, int endpoint) throws DriverException {
        mustKnow(domain);
        NavigableSet<Integer> members = groupOf(endpoint);
        for (int member : members) {
            if (tables.holds(member)) {
                throw new IllegalStateException("endpoint %s has a table".formatted(text(member)));
            }
            EndpointInfo info = probe(member);
            DriverMapping inTheWay = domain.reservedBy(info);
            if (inTheWay != null) {
                throw new DriverException(
                        "the mapping %s is reserved for endpoint %s"
                                .formatted(inTheWay, text(member)));
            }
        }
        DriverDomain before = domainOf(endpoint);
        List<Integer> moved = new ArrayList<>();
        try {
            for (int member : members) {
                if (move(member, domain)) {
                    moved.add(member);
                }
            }
        } catch (RefusedException refused) {
            for (int member : moved) {
                putBack(member, before, refused);
            }
            throw refused;
        }
    }

    /** Undoes a move; what is refused is told with the reason for it. */
    private void putBack(int endpoint, @Nullable DriverDomain before, DriverException reason)
            throws BrokenException {
        try {
            if (before == null) {
                leave(endpoint);
            } else {
                move(endpoint, before);
            }
        } catch (BrokenException broken) {
            broken.addSuppressed(reason);
            throw broken;
        } catch (DriverException refused) {
            reason.addSuppressed(refused);
        }
    }

    /** Returns false if it was there already. */
    private boolean move(int endpoint, DriverDomain domain) throws DriverException {
        Endpoint known = known(endpoint);
        DriverDomain before = known.domain;
        if (before == domain) {
            return false;
        }
        session.requests.begin();
        int slot = session.requests.attach(domain.id(), endpoint, domain.isBypass());
        session.requests.await();
        int status = session.requests.status(slot);
        if (status != S_OK) {
            RefusedException refused =
                    new RefusedException(
                            "ATTACH of endpoint %s to domain %s"
                                    .formatted(text(endpoint), text(domain.id())),
                            status);
            if (before != null) {
                // Whether a refusal has left it where it was is the device's choice (5.13.6.3.2):
                // out of the old domain for certain, and in again.
                ask(session.requests::detach, before.id(), endpoint);
                before.remove(endpoint);
                known.domain = null;
                putBack(endpoint, before, refused);
            }
            throw refused;
        }
        if (before != null) {
            before.remove(endpoint);
        }
        boolean isFirst = !domain.isLive();
        known.domain = domain;
        domain.add(endpoint);
        if (isFirst) {
            replay(endpoint, domain);
        }
        return true;
    }

    /** Tells the device of a domain that has just begun there what is mapped in it. */
    private void replay(int endpoint, DriverDomain domain) throws DriverException {
        Iterator<DriverMapping> left = domain.mappings().iterator();
        while (left.hasNext()) {
            session.requests.begin();
            List<DriverMapping> sent = new ArrayList<>();
            while (left.hasNext() && session.requests.count() < session.requests.capacity()) {
                DriverMapping each = left.next();
                if (each.state != DriverMapping.State.ASKED) {
                    session.requests.map(
                            domain.id(), each.first, each.last, each.output, each.flags);
                    sent.add(each);
                }
            }
            session.requests.await();
            for (int i = 0; i < sent.size(); i++) {
                int status = session.requests.status(i);
                if (status != S_OK) {
                    RefusedException refused = new RefusedException("MAP " + sent.get(i), status);
                    putBack(endpoint, null, refused);
                    throw refused;
                }
            }
        }
    }

    /** Takes an endpoint, and those of its group, out of its domain; no access is left then. */
    public void detach(int endpoint) throws DriverException {
        for (int member : groupOf(endpoint)) {
            leave(member);
        }
    }

    private void leave(int endpoint) throws DriverException {
        DriverDomain domain = domainOf(endpoint);
        if (domain == null) {
            return;
        }
        int status = ask(session.requests::detach, domain.id(), endpoint);
        if (status != S_OK) {
            throw new RefusedException(
                    "DETACH of endpoint %s from domain %s"
                            .formatted(text(endpoint), text(domain.id())),
                    status);
        }
        domain.remove(endpoint);
        known(endpoint).domain = null;
    }

    /**
     * An endpoint is not there any more, or is about to go: it is taken out of its domain and of
     * tables, and asked about anew should it come back. That the device does not know it is no
     * refusal.
     */
    public void unplugged(int endpoint) throws DriverException {
        DriverDomain domain = domainOf(endpoint);
        if (domain != null) {
            int status = ask(session.requests::detach, domain.id(), endpoint);
            if (status != S_OK && status != S_NOENT) {
                throw new RefusedException(
                        "DETACH of endpoint %s, which is gone".formatted(text(endpoint)), status);
            }
            domain.remove(endpoint);
        }
        tables.unplugged(endpoint);
        endpoints.remove(endpoint);
        groups.forEach(group -> group.remove(endpoint));
    }

    /** A request about a domain and an endpoint. */
    private interface Asked {
        int send(int domain, int endpoint);
    }

    private int ask(Asked asked, int domain, int endpoint) throws BrokenException {
        session.requests.begin();
        int slot = asked.send(domain, endpoint);
        session.requests.await();
        return session.requests.status(slot);
    }

    private Endpoint known(int endpoint) {
        Endpoint known = endpoints.get(endpoint);
        if (known == null) {
            throw new IllegalStateException("endpoint " + text(endpoint));
        }
        return known;
    }

    private static String text(int id) {
        return Integer.toUnsignedString(id);
    }

    // --- events, 5.13.6.9

    /** Who is told of faults from now on, in {@link #pollEvents}. */
    public void onFault(Consumer<? super FaultReport> told) {
        listener = told;
    }

    /**
     * Hands over what has come, as much as the event queue holds at most, and gives the buffers
     * back to the device.
     *
     * @return how many events came
     */
    public int pollEvents() throws BrokenException {
        return session.events.poll(listener, tables.listener());
    }

    // --- reset

    /** Stops the device: nothing is attached and nothing mapped any more. */
    public void stop() throws BrokenException {
        Negotiation.reset(device, patience);
    }

    /**
     * Starts the device again, whatever it has done before, and brings it to where the driver is:
     * endpoints are asked about and attached, domains have their mappings. An endpoint that is
     * refused now is in no domain, and goes through no table; the first reason is thrown when all
     * have been tried.
     */
    public void reset() throws DriverException {
        counts.resets++;
        endpoints.forEach((id, endpoint) -> {
            DriverDomain domain = endpoint.domain;
            if (domain != null) {
                owed.put(id, domain);
                endpoint.domain = null;
                domain.remove(id);
            }
        });
        session = start();
        endpoints.clear();
        List<Integer> ids = List.copyOf(owed.keySet());
        Map<Integer, DriverDomain> wanted = new TreeMap<>(owed);
        owed.clear();
        DriverException first = null;
        for (int id : ids) {
            DriverDomain domain = wanted.get(id);
            // One of its group may have brought it along.
            if (domain == null || domainOf(id) != null) {
                continue;
            }
            try {
                mustFit(domain);
                attach(domain, id);
            } catch (BrokenException broken) {
                throw broken;
            } catch (DriverException refused) {
                if (first == null) {
                    first = refused;
                } else {
                    first.addSuppressed(refused);
                }
            }
        }
        first = tables.attachAgain(first);
        if (first != null) {
            throw first;
        }
    }

    /** The device may have become another one. */
    private void mustFit(DriverDomain domain) throws DriverException {
        DriverMapping outside = domain.outside(config());
        boolean isNumber =
                Integer.compareUnsigned(domain.id(), config().domainFirst()) >= 0
                        && Integer.compareUnsigned(domain.id(), config().domainLast()) <= 0;
        if (outside != null || !isNumber || (domain.isBypass() && !config().has(F_BYPASS_CONFIG))) {
            throw new DriverException(
                    "domain %s does not fit the device any more%s"
                            .formatted(text(domain.id()), outside == null ? "" : ": " + outside));
        }
    }
}
