// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.ioasis.spec.VirtioIommu.EVENTQ;
import static org.ioasis.spec.VirtioIommu.F_BYPASS;
import static org.ioasis.spec.VirtioIommu.F_BYPASS_CONFIG;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.DomainView.MappingView;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.Restoration;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.DeviceState;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.ChainState;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.virtqueue.RingState;

/**
 * Saves a whole virtio-iommu device in the middle of its work, and restores it into a new one:
 * frame and queues, attachments, domains, every mapping with its borders, faults that the driver
 * has not been told of, and answers that it has not got. A request that was carried out is never
 * carried out again; one that lies in the ring is taken from there. Guest memory, and what the
 * transport knows (interrupt vectors, address windows), are for others to keep. The format is in
 * {@code docs/save-restore.md}.
 *
 * <p>The machine's loop thread, outside of calls of the device. Both methods touch no guest memory.
 */
public final class SavedDevice {
    private static final String EXPLANATION = "refused before the state was saved";

    /** Far more than endpoints and their regions need, and little to keep. */
    static final int FACTS_MAX = 1 << 20;

    /** For a buffer that goes back unwritten. */
    private static final String NO_STATUS = "";

    private record Fact(String name, String value) {}

    private record History(int endpoint, boolean wasAttached, boolean wasProbed) {}

    private record Content(
            DeviceState frame,
            TypeState type,
            boolean isBypassing,
            List<History> histories,
            List<DomainView> domains,
            List<Fault> faults,
            List<Integer> stale) {}

    private SavedDevice() {}

    // Saving
    // ---------------------------------------------------------------------------------------------------------

    /**
     * The state as bytes; the device goes on as if nothing had happened.
     *
     * @param type the type of {@code device}
     * @throws IllegalStateException a listener owes an answer: save again when it has come
     * @throws UnsupportedOperationException the device has a {@link Profile}: the format knows none
     */
    public static byte[] save(VirtioDevice device, VirtioIommuDevice type) {
        Iommu iommu = type.iommu();
        if (type.profile() != null) {
            throw new UnsupportedOperationException(
                    "a device with profile %s is not saved".formatted(type.profile()));
        }
        if (!type.domains().isSettled()) {
            throw new IllegalStateException("a listener owes the IOMMU an answer");
        }
        SaveWriter out = new SaveWriter();
        List<Fact> facts = facts(device, iommu);
        out.i32(facts.size());
        for (Fact fact : facts) {
            out.text(fact.name());
            out.text(fact.value());
        }
        write(out, device.save());
        write(out, type.save(), device.format());
        out.bit(iommu.isBypassing());
        List<Endpoint> endpoints = endpoints(iommu);
        out.i32(endpoints.size());
        for (Endpoint endpoint : endpoints) {
            out.i32(endpoint.id());
            out.bit(endpoint.wasAttached());
            out.bit(endpoint.wasProbed());
        }
        List<DomainView> domains = iommu.domains(Integer.MAX_VALUE, Integer.MAX_VALUE);
        out.i32(domains.size());
        for (DomainView domain : domains) {
            write(out, domain);
        }
        List<Fault> faults = iommu.faults().waiting();
        out.i32(faults.size());
        for (Fault fault : faults) {
            out.text(fault.reason().name());
            out.text(fault.access().name());
            out.i32(fault.endpoint());
            out.i64(fault.address());
            out.i64(fault.count());
        }
        List<Endpoint> stale = endpoints.stream().filter(Endpoint::isStale).toList();
        out.i32(stale.size());
        stale.forEach(endpoint -> out.i32(endpoint.id()));
        return out.bytes();
    }

    private static List<Endpoint> endpoints(Iommu iommu) {
        List<Endpoint> all = new ArrayList<>();
        iommu.forEachEndpoint(endpoint -> {
            // Not what is being unplugged: for a device that is restored it has gone.
            if (iommu.endpoint(endpoint.id()) != null) {
                all.add(endpoint);
            }
        });
        all.sort(Comparator.comparing(Endpoint::id, Integer::compareUnsigned));
        return all;
    }

    /** What must be the same on both sides, as people call it. */
    private static List<Fact> facts(VirtioDevice device, Iommu iommu) {
        List<Fact> facts = new ArrayList<>();
        IommuOptions options = iommu.options();
        facts.add(new Fact("offered features", hex(device.deviceFeatures())));
        facts.add(new Fact("page_size_mask", hex(options.pageSizeMask())));
        facts.add(new Fact("input range", range(options.inputFirst(), options.inputLast())));
        facts.add(
                new Fact(
                        "domain range",
                        range(
                                Integer.toUnsignedLong(options.domainFirst()),
                                Integer.toUnsignedLong(options.domainLast()))));
        facts.add(new Fact("bypass at start", "" + options.bypassAtStart()));
        facts.add(new Fact("detach by endpoint", "" + options.detachByEndpoint()));
        facts.add(new Fact("identity beside none", "" + options.identityBesideNone()));
        facts.add(new Fact("limit of endpoints", "" + options.endpointLimit()));
        facts.add(new Fact("limit of domains", "" + options.domainLimit()));
        facts.add(new Fact("limit of mappings", "" + options.mappingLimit()));
        facts.add(new Fact("limit of bytes of tables", "" + options.tableLimit()));
        facts.add(
                new Fact("limit of mappings of an endpoint", "" + options.endpointMappingLimit()));
        facts.add(
                new Fact(
                        "limit of bytes of tables of an endpoint",
                        "" + options.endpointTableLimit()));
        facts.add(new Fact("limit of waiting faults", "" + iommu.faults().capacity()));
        for (Endpoint endpoint : endpoints(iommu)) {
            String name = "endpoint 0x%x".formatted(endpoint.id());
            EndpointProperties properties = endpoint.properties();
            String pages = "pages " + hex(properties.pageSizeMask());
            String input = range(properties.inputFirst(), properties.inputLast());
            facts.add(new Fact(name, pages + ", input " + input));
            List<ReservedRegion> regions = properties.reserved().regions();
            for (int i = 0; i < regions.size(); i++) {
                ReservedRegion region = regions.get(i);
                facts.add(
                        new Fact(
                                name + ", reserved region " + (i + 1),
                                range(region.first(), region.last()) + " " + region.kind()));
            }
        }
        return facts;
    }

    private static String range(long first, long last) {
        return hex(first) + ".." + hex(last);
    }

    private static String hex(long value) {
        return "0x" + Long.toHexString(value);
    }

    private static void write(SaveWriter out, DeviceState frame) {
        out.u8(frame.status());
        out.i64(frame.driverFeatures());
        out.u8(frame.configGeneration());
        out.bit(frame.hasConfigChanged());
        out.text(frame.brokenReason());
        out.u8(frame.queues().size());
        for (DeviceState.Queue queue : frame.queues()) {
            out.i32(queue.size());
            out.bit(queue.isEnabled());
            out.bit(queue.wasReset());
            out.i64(queue.desc());
            out.i64(queue.driver());
            out.i64(queue.device());
            SavedRing.write(out, queue.ring());
        }
    }

    private static void write(SaveWriter out, TypeState type, RingFormat format) {
        out.bit(type.isDriverReady());
        out.u8(type.eventKicks());
        out.i64(type.unknownEndpoint());
        out.i32(type.requests().size());
        for (RequestState request : type.requests()) {
            Status status = request.status();
            out.text(request.type().name());
            out.text(status == null ? NO_STATUS : status.name());
            out.i32(request.endpoint());
            SavedRing.write(out, request.chain(), format);
        }
    }

    private static void write(SaveWriter out, DomainView domain) {
        out.i32((int) domain.id());
        out.bit(domain.isBypass());
        out.i64(domain.granule());
        List<Integer> members = new ArrayList<>(domain.endpoints());
        members.sort(Integer::compareUnsigned);
        out.i32(members.size());
        members.forEach(out::i32);
        out.i32(domain.mappings().size());
        for (MappingView mapping : domain.mappings()) {
            out.i64(mapping.first());
            out.i64(mapping.last());
            out.i64(mapping.output());
            out.u8(mapping.flags());
        }
    }

    // Restoring
    // ------------------------------------------------------------------------------------------------------

    /**
     * Makes a new device one that goes on where the saved one was. Afterwards the caller says
     * {@link VirtioDevice#memoryChanged} when guest memory is there: then answers and events that
     * the driver waits for are written, and its requests taken.
     *
     * @param device new, or reset; its endpoints are plugged and detached
     * @throws RestoreException the bytes are no saved state, or one of a device that was made
     *     otherwise; it says what differs, and nothing has changed
     */
    public static void restore(byte[] bytes, VirtioDevice device, VirtioIommuDevice type)
            throws RestoreException {
        Iommu iommu = type.iommu();
        SaveReader in = new SaveReader(bytes);
        compare(readFacts(in), facts(device, iommu));
        Content content = readContent(in);
        check(content, device, type);
        Restoration restoration = new Restoration(iommu);
        String problem = restoration.prepare(content.domains());
        if (problem != null) {
            restoration.abandon();
            throw new RestoreException(problem);
        }
        device.restore(content.frame());
        type.domains().adopt(restoration.commit(content.isBypassing()));
        for (History history : content.histories()) {
            Endpoint endpoint = iommu.endpoint(history.endpoint());
            if (endpoint != null && history.wasAttached()) {
                endpoint.noteAttached();
            }
            if (endpoint != null && history.wasProbed()) {
                endpoint.noteProbe();
            }
        }
        for (int id : content.stale()) {
            requireNonNull(iommu.endpoint(id)).noteStale();
        }
        iommu.faults().restore(content.faults());
        type.restore(content.type());
    }

    private static void compare(List<Fact> saved, List<Fact> here) throws RestoreException {
        if (saved.equals(here)) {
            return;
        }
        Map<String, String> left = new HashMap<>();
        saved.forEach(fact -> left.put(fact.name(), fact.value()));
        List<String> differences = new ArrayList<>();
        for (Fact fact : here) {
            String value = left.remove(fact.name());
            if (value == null) {
                differences.add(fact.name() + " is not in the file, here it is " + fact.value());
            } else if (!value.equals(fact.value())) {
                differences.add(
                        fact.name() + " is " + value + " in the file, here it is " + fact.value());
            }
        }
        for (Fact fact : saved) {
            if (left.containsKey(fact.name())) {
                differences.add(
                        fact.name() + " is " + fact.value() + " in the file, here it is not");
            }
        }
        if (differences.isEmpty()) {
            differences.add("the description of the device is out of order");
        }
        throw new RestoreException(differences);
    }

    /** What goes together only in a device that can have been saved. */
    private static void check(Content content, VirtioDevice device, VirtioIommuDevice type)
            throws RestoreException {
        DeviceState frame = content.frame();
        String problem = device.refuseRestore(frame);
        if (problem != null) {
            throw new RestoreException(problem);
        }
        boolean isStarted = (frame.status() & Virtio.STATUS_DRIVER_OK) != 0;
        boolean isRunning = isStarted && (frame.status() & Virtio.STATUS_DEVICE_NEEDS_RESET) == 0;
        boolean mayBypass =
                (device.deviceFeatures() & F_BYPASS_CONFIG) != 0
                        || (isStarted && (frame.driverFeatures() & F_BYPASS) != 0);
        if (content.isBypassing() && !mayBypass) {
            throw new RestoreException("bypass is 1 without a feature for it");
        }
        TypeState state = content.type();
        if (!isStarted && (state.isDriverReady() || !content.domains().isEmpty())) {
            throw new RestoreException("domains or requests without a driver");
        }
        if (state.eventKicks() > 2
                || state.unknownEndpoint() < -1
                || state.unknownEndpoint() > 0xffff_ffffL) {
            throw new RestoreException("impossible counts of kicks or endpoints");
        }
        RingState requests = frame.queues().get(REQUESTQ).ring();
        boolean isAnswering = isRunning && requests.state() == DeviceQueue.State.RUNNING;
        if (state.requests().size() != (isAnswering ? requests.inFlight() : 0)
                || frame.queues().get(EVENTQ).ring().inFlight() != 0) {
            throw new RestoreException(
                    "%d requests to answer, %d in the ring"
                            .formatted(state.requests().size(), requests.inFlight()));
        }
        List<ChainState> chains = state.requests().stream().map(RequestState::chain).toList();
        if (isAnswering && !requests.canHold(chains, frame.queues().get(REQUESTQ).size())) {
            throw new RestoreException("requests to answer that the ring does not have");
        }
        for (RequestState request : state.requests()) {
            if (!request.isPossible(VirtioIommuDevice.PROPERTIES_SIZE)) {
                throw new RestoreException(
                        "a request to answer that cannot be: %s".formatted(request.type()));
            }
        }
        checkEndpoints(content, type.iommu());
    }

    private static void checkEndpoints(Content content, Iommu iommu) throws RestoreException {
        List<Endpoint> endpoints = endpoints(iommu);
        List<Integer> ids = endpoints.stream().map(Endpoint::id).toList();
        if (!content.histories().stream().map(History::endpoint).toList().equals(ids)) {
            throw new RestoreException("the histories are not those of the endpoints");
        }
        Set<Integer> attached = new HashSet<>();
        content.domains().forEach(domain -> attached.addAll(domain.endpoints()));
        for (History history : content.histories()) {
            if (!history.wasAttached() && attached.contains(history.endpoint())) {
                throw new RestoreException(
                        "endpoint 0x%x is attached and never was".formatted(history.endpoint()));
            }
        }
        if (!ids.stream().filter(content.stale()::contains).toList().equals(content.stale())) {
            throw new RestoreException("devices that run on behind endpoints that are not there");
        }
        if (content.faults().size() > iommu.faults().capacity()) {
            throw new RestoreException("%d waiting faults".formatted(content.faults().size()));
        }
        for (Fault fault : content.faults()) {
            if (fault.count() < 1) {
                throw new RestoreException("a fault that cannot be: " + fault);
            }
        }
    }

    private static List<Fact> readFacts(SaveReader in) throws RestoreException {
        int count = in.count(2);
        if (count > FACTS_MAX) {
            throw new RestoreException("%d lines of description".formatted(count));
        }
        List<Fact> facts = new ArrayList<>();
        for (int left = count; left > 0; left--) {
            facts.add(new Fact(in.text(), in.text()));
        }
        return facts;
    }

    private static Content readContent(SaveReader in) throws RestoreException {
        DeviceState frame = readFrame(in);
        TypeState type = readType(in, RingFormat.of(frame.driverFeatures()));
        boolean isBypassing = in.bit();
        List<History> histories = new ArrayList<>();
        for (int left = in.count(6); left > 0; left--) {
            histories.add(new History(in.i32(), in.bit(), in.bit()));
        }
        List<DomainView> domains = new ArrayList<>();
        for (int left = in.count(21); left > 0; left--) {
            domains.add(readDomain(in));
        }
        List<Fault> faults = new ArrayList<>();
        for (int left = in.count(22); left > 0; left--) {
            faults.add(readFault(in));
        }
        List<Integer> stale = new ArrayList<>();
        for (int left = in.count(4); left > 0; left--) {
            stale.add(in.i32());
        }
        in.end();
        return new Content(frame, type, isBypassing, histories, domains, faults, stale);
    }

    private static DeviceState readFrame(SaveReader in) throws RestoreException {
        int status = in.u8();
        long features = in.i64();
        int generation = in.u8();
        boolean hasChanged = in.bit();
        String reason = in.text();
        RingFormat format = RingFormat.of(features);
        List<DeviceState.Queue> queues = new ArrayList<>();
        for (int left = in.u8(); left > 0; left--) {
            int size = in.i32();
            boolean isEnabled = in.bit();
            boolean wasReset = in.bit();
            long desc = in.i64();
            long driver = in.i64();
            queues.add(
                    new DeviceState.Queue(
                            size,
                            isEnabled,
                            wasReset,
                            desc,
                            driver,
                            in.i64(),
                            SavedRing.read(in, format)));
        }
        return new DeviceState(status, features, generation, hasChanged, reason, queues);
    }

    private static TypeState readType(SaveReader in, RingFormat format) throws RestoreException {
        boolean isReady = in.bit();
        int kicks = in.u8();
        long unknown = in.i64();
        List<RequestState> requests = new ArrayList<>();
        for (int left = in.count(14); left > 0; left--) {
            RequestType type = in.one(RequestType.OF_1_4);
            String name = in.text();
            Status status = name.equals(NO_STATUS) ? null : SaveReader.one(name, Status.values());
            int endpoint = in.i32();
            ChainState chain = SavedRing.readChain(in, format);
            requests.add(new RequestState(type, status, endpoint, chain));
        }
        return new TypeState(isReady, kicks, unknown, requests);
    }

    /** What refused it follows from the reason, and a driver of virtio has no PASIDs. */
    private static Fault readFault(SaveReader in) throws RestoreException {
        FaultReason reason = in.one(FaultReason.values());
        Access access = in.one(Access.values());
        Kind kind = reason == FaultReason.DOMAIN ? Kind.BLOCKED : Kind.MAPPED;
        int endpoint = in.i32();
        long address = in.i64();
        return new Fault(
                reason,
                kind,
                endpoint,
                Attachment.NO_PASID,
                address,
                access,
                EXPLANATION,
                in.i64());
    }

    private static DomainView readDomain(SaveReader in) throws RestoreException {
        long id = in.u32();
        boolean isBypass = in.bit();
        long granule = in.i64();
        List<Integer> members = new ArrayList<>();
        for (int left = in.count(4); left > 0; left--) {
            members.add(in.i32());
        }
        List<MappingView> mappings = new ArrayList<>();
        for (int left = in.count(25); left > 0; left--) {
            mappings.add(new MappingView(in.i64(), in.i64(), in.i64(), in.u8()));
        }
        return new DomainView(id, isBypass, granule, members, mappings.size(), mappings);
    }
}
