// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static java.util.Objects.requireNonNull;
import static org.ioasis.compare.Check.Strength.MUST;
import static org.ioasis.compare.Check.Strength.MUST_NOT;
import static org.ioasis.compare.Check.Strength.PROSE;
import static org.ioasis.compare.Check.Strength.SHOULD;
import static org.ioasis.compare.Check.Strength.SHOULD_NOT;
import static org.ioasis.spec.VirtioIommu.*;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.ioasis.compare.Trial.NotSeen;
import org.ioasis.compare.Trial.Violation;
import org.ioasis.spec.Virtio;

/**
 * What a driver can see of the statements for devices, and of the rules in the text: each with the
 * fewest requests that show whether it holds. Ids are those of docs/conformance.md. Pure functions
 * of a trial; any thread.
 */
final class Checks {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;

    /** No type of the specification. */
    private static final int UNKNOWN_TYPE = 0x77;

    /** Where mappings lead: an access there is seen. */
    private static final long TARGET = Requests.TARGET;

    private static final List<Check> ALL = new ArrayList<>();

    static {
        offers();
        requests();
        attaches();
        maps();
        unmaps();
        probes();
        accesses();
        prose();
    }

    private Checks() {}

    /** In the order of the document. */
    static List<Check> all() {
        return ALL.stream().sorted(Comparator.comparing(Check::id)).toList();
    }

    private static void add(String id, Check.Strength strength, String sentence, Check.Body body) {
        ALL.add(new Check(id, strength, sentence, body));
    }

    /** Bytes of a request at an offset are another number. */
    private static Request with(Request request, int offset, int value) {
        byte[] bytes = request.bytes();
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(offset, value);
        return new Request(bytes, request.writable(), request.layout());
    }

    private static Request attach(Trial t, int domain, int flags) throws IOException {
        return Request.attach(t.endpoint(), t.domain(domain), flags);
    }

    private static Request detach(Trial t, int domain) throws IOException {
        return Request.detach(t.endpoint(), t.domain(domain));
    }

    /** MAP of whole pages to where accesses are seen. */
    private static Request map(Trial t, int domain, long page, long pages) throws IOException {
        return map(t, domain, page, pages, RW);
    }

    private static Request map(Trial t, int domain, long page, long pages, int flags)
            throws IOException {
        long first = t.base() + page * t.page();
        return Request.map(t.domain(domain), first, first + pages * t.page() - 1, TARGET, flags);
    }

    private static Request unmap(Trial t, int domain, long page, long pages) throws IOException {
        long first = t.base() + page * t.page();
        return Request.unmap(t.domain(domain), first, first + pages * t.page() - 1);
    }

    private static void startAttached(Trial t) throws IOException, NotSeen, Violation {
        t.start();
        t.given(attach(t, 0, 0));
    }

    private static void startBypass(Trial t) throws IOException, NotSeen, Violation {
        t.start();
        t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
        t.given(attach(t, 0, ATTACH_F_BYPASS));
    }

    // --- features and configuration

    private static void offers() {
        add(
                "D-01",
                SHOULD,
                "MAP_UNMAP is offered",
                t -> t.check((t.offered() & F_MAP_UNMAP) != 0, "it is not"));
        add(
                "D-02",
                SHOULD_NOT,
                "a new device offers the old BYPASS feature",
                t -> t.check((t.offered() & F_BYPASS) == 0, "it does"));
        add(
                "D-03",
                SHOULD_NOT,
                "BYPASS and BYPASS_CONFIG are offered together",
                t ->
                        t.check(
                                (t.offered() & F_BYPASS) == 0
                                        || (t.offered() & F_BYPASS_CONFIG) == 0,
                                "they are"));
        add(
                "D-04",
                MUST,
                "page_size_mask has a bit",
                t -> {
                    t.start();
                    t.check(t.config().getLong(CONFIG_PAGE_SIZE_MASK) != 0, "it has none");
                });
        add(
                "D-07",
                SHOULD_NOT,
                "a device reset changes bypass",
                t -> {
                    t.start();
                    t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
                    for (int value = 0; value < 2; value++) {
                        t.writeBypass(value);
                        t.start();
                        t.check(
                                t.bypass() == value,
                                "it was %d, and is %d".formatted(value, t.bypass()));
                    }
                });
        add(
                "D-09",
                MUST_NOT,
                "bypass shows anything but 0 and 1",
                t -> {
                    t.start();
                    t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
                    for (int value : new int[] {2, 0x80, 0xff}) {
                        t.writeBypass(value);
                        t.check(t.bypass() <= 1, "it shows " + t.bypass());
                    }
                });
    }

    // --- any request

    private static void requests() {
        add(
                "D-10",
                SHOULD,
                "what succeeds is answered OK",
                t -> {
                    t.start();
                    t.expect(attach(t, 0, 0), S_OK);
                    t.expect(map(t, 0, 0, 1), S_OK);
                    t.expect(unmap(t, 0, 0, 1), S_OK);
                    t.expect(detach(t, 0), S_OK);
                });
        add(
                "D-11",
                SHOULD_NOT,
                "the buffer of an unknown type is written",
                t -> {
                    t.start();
                    for (int type : new int[] {0, UNKNOWN_TYPE}) {
                        Request request = with(attach(t, 0, 0), 0, type);
                        Answer answer = t.ask(request);
                        t.check(
                                answer.hex().equals(Answer.unwritten(request).hex()),
                                answer + ", and it is written");
                    }
                });
        add(
                "D-12",
                SHOULD,
                "an unknown type has used length 0",
                t -> {
                    t.start();
                    Answer answer = t.ask(with(attach(t, 0, 0), 0, UNKNOWN_TYPE));
                    t.check(answer.used() == 0, "used length " + answer.used());
                });
        add(
                "D-13",
                MUST,
                "reserved of the head is ignored",
                t -> {
                    t.start();
                    t.expect(with(attach(t, 0, 0), 0, T_ATTACH | 0x00ff_0100), S_OK);
                    t.expect(with(map(t, 0, 0, 1), 0, T_MAP | 0xff00_0000), S_OK);
                });
        add(
                "D-14",
                SHOULD,
                "reserved of the tail is zero",
                t -> {
                    t.start();
                    for (Request request : List.of(attach(t, 0, 0), map(t, 1, 0, 1))) {
                        Answer answer = t.ask(request);
                        byte[] bytes = answer.bytes();
                        t.check(
                                answer.used() == TAIL_SIZE && (bytes[1] | bytes[2] | bytes[3]) == 0,
                                "the tail is " + answer.hex());
                    }
                });
    }

    // --- ATTACH and DETACH

    private static void attaches() {
        add(
                "D-16",
                MUST,
                "ATTACH with reserved set is INVAL",
                t -> {
                    t.start();
                    t.expect(with(attach(t, 0, 0), ATTACH_RESERVED, 1), S_INVAL);
                });
        add(
                "D-17",
                MUST,
                "ATTACH with an unknown flag is INVAL",
                t -> {
                    t.start();
                    t.expect(attach(t, 0, 2), S_INVAL);
                    t.expect(attach(t, 0, 0x8000_0000), S_INVAL);
                });
        add(
                "D-18",
                MUST,
                "ATTACH of an endpoint that is not there is NOENT",
                t -> {
                    t.start();
                    for (int absent : t.absent()) {
                        t.expect(Request.attach(absent, t.domain(0), 0), S_NOENT);
                    }
                });
        add(
                "D-20",
                MUST,
                "an endpoint that cannot share the domain is UNSUPP",
                t -> {
                    startAttached(t);
                    t.expect(Request.attach(t.other(), t.domain(0), 0), S_OK, S_UNSUPP);
                });
        add(
                "D-21",
                SHOULD,
                "ATTACH whose bypass flag does not fit the domain is INVAL",
                t -> {
                    startAttached(t);
                    t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
                    t.expect(attach(t, 0, ATTACH_F_BYPASS), S_INVAL);
                    // It is where it was: nothing was done of what was refused.
                    t.expect(detach(t, 0), S_OK);
                });
        add(
                "D-22",
                SHOULD,
                "ATTACH of an endpoint that is attached elsewhere moves it",
                t -> {
                    startAttached(t);
                    t.expect(attach(t, 1, 0), S_OK, S_UNSUPP);
                });
        add(
                "D-23",
                SHOULD,
                "it is as if DETACH had come first",
                t -> {
                    startAttached(t);
                    t.given(attach(t, 1, 0));
                    // The domain that it was alone in has ended.
                    t.expect(map(t, 0, 0, 1), S_NOENT);
                });
        add(
                "D-27",
                MUST,
                "ATTACH that is not refused has attached",
                t -> {
                    startAttached(t);
                    t.expect(map(t, 0, 0, 1), S_OK);
                    t.expect(detach(t, 0), S_OK);
                });
        add(
                "D-28",
                MUST,
                "reserved of DETACH is ignored",
                t -> {
                    startAttached(t);
                    t.expect(with(detach(t, 0), DETACH_ENDPOINT + 4, -1), S_OK);
                });
        add(
                "D-29",
                MUST,
                "DETACH of an endpoint that is not there is NOENT",
                t -> {
                    startAttached(t);
                    for (int absent : t.absent()) {
                        t.expect(Request.detach(absent, t.domain(0)), S_NOENT);
                    }
                });
    }

    // --- MAP

    private static void maps() {
        add(
                "D-32",
                SHOULD,
                "MAP of what is not aligned is RANGE",
                t -> {
                    startAttached(t);
                    t.need(t.granule() > 1, "the granule is 1");
                    long half = t.granule() / 2;
                    long first = t.base();
                    long last = first + t.page() - 1;
                    int domain = t.domain(0);
                    t.expect(Request.map(domain, first + half, last, TARGET, RW), S_RANGE);
                    t.expect(Request.map(domain, first, last - half, TARGET, RW), S_RANGE);
                    t.expect(Request.map(domain, first, last, TARGET + half, RW), S_RANGE);
                });
        add(
                "D-33",
                SHOULD,
                "MAP over a mapping is INVAL",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 1, 1));
                    t.expect(map(t, 0, 1, 1), S_INVAL);
                    t.expect(map(t, 0, 0, 3), S_INVAL);
                });
        add(
                "D-34",
                MUST,
                "MAP with an unknown flag is INVAL",
                t -> {
                    t.startWithout(F_MMIO);
                    t.given(attach(t, 0, 0));
                    t.expect(map(t, 0, 0, 1, RW | 8), S_INVAL);
                    t.expect(map(t, 0, 0, 1, RW | 0x8000_0000), S_INVAL);
                    // So is that of a feature that was not negotiated.
                    t.expect(map(t, 0, 0, 1, RW | MAP_F_MMIO), S_INVAL);
                });
        add(
                "D-35",
                SHOULD,
                "MAP to a domain that is not there is NOENT",
                t -> {
                    startAttached(t);
                    t.expect(map(t, 1, 0, 1), S_NOENT);
                });
        add(
                "D-36",
                SHOULD,
                "MAP on a bypass domain is INVAL",
                t -> {
                    startBypass(t);
                    t.expect(map(t, 0, 0, 1), S_INVAL);
                });
    }

    // --- UNMAP

    private static void unmaps() {
        add(
                "D-41",
                SHOULD,
                "UNMAP on a domain that is not there is NOENT",
                t -> {
                    startAttached(t);
                    t.expect(unmap(t, 1, 0, 1), S_NOENT);
                });
        add(
                "D-42",
                SHOULD,
                "UNMAP on a bypass domain is INVAL",
                t -> {
                    startBypass(t);
                    t.expect(unmap(t, 0, 0, 1), S_INVAL);
                });
        add(
                "D-43",
                SHOULD,
                "UNMAP that would split a mapping is RANGE",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 0, 3));
                    for (int first = 0; first < 3; first++) {
                        t.expect(unmap(t, 0, first, 1), S_RANGE);
                    }
                });
        add(
                "D-44",
                SHOULD_NOT,
                "and removes anything",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 0, 1));
                    t.given(map(t, 0, 1, 2));
                    t.expect(unmap(t, 0, 0, 2), S_RANGE);
                    // The first one is still there, or this would be OK.
                    t.expect(map(t, 0, 0, 1), S_INVAL);
                });
        add(
                "D-45",
                SHOULD,
                "UNMAP over holes removes what is there and is OK",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 0, 1));
                    t.given(map(t, 0, 4, 1));
                    t.expect(unmap(t, 0, 0, 8), S_OK);
                    t.expect(map(t, 0, 0, 8), S_OK);
                });
    }

    // --- PROBE

    /**
     * A property in the list.
     *
     * @param room bytes of the list from its first one on
     */
    private record Property(int at, int type, int length, int room) {}

    private static List<Property> list(Trial t) throws IOException, NotSeen, Violation {
        t.start();
        ByteBuffer list = t.properties();
        List<Property> found = new ArrayList<>();
        int at = 0;
        while (at + PROPERTY_HEAD_SIZE <= list.capacity()) {
            int type = list.getShort(at) & 0xffff;
            int length = list.getShort(at + PROPERTY_LENGTH) & 0xffff;
            if (type == PROBE_T_NONE) {
                break;
            }
            found.add(new Property(at, type, length, list.capacity() - at));
            at += PROPERTY_HEAD_SIZE + length;
        }
        return found;
    }

    private static List<Property> regions(Trial t) throws IOException, NotSeen, Violation {
        List<Property> regions =
                list(t).stream()
                        .filter(each -> (each.type & PROBE_T_MASK) == PROBE_T_RESV_MEM)
                        .toList();
        t.need(!regions.isEmpty(), "the endpoint has no reserved region");
        return regions;
    }

    /** Those that do not end behind the list, which is D-51's. */
    private static List<Property> wholeRegions(Trial t) throws IOException, NotSeen, Violation {
        List<Property> whole =
                regions(t).stream().filter(each -> each.room >= RESV_MEM_SIZE).toList();
        t.need(!whole.isEmpty(), "no reserved region is all in the list");
        return whole;
    }

    private static void probes() {
        add(
                "D-46",
                MUST,
                "reserved of PROBE is ignored",
                t -> {
                    t.start();
                    int size = t.properties().capacity();
                    t.expect(with(t.probe(t.endpoint(), size), PROBE_ENDPOINT + 4, -1), S_OK);
                });
        add(
                "D-47",
                SHOULD,
                "PROBE of an endpoint that is not there is NOENT",
                t -> {
                    t.start();
                    int size = t.properties().capacity();
                    for (int absent : t.absent()) {
                        t.expect(t.probe(absent, size), S_NOENT);
                    }
                });
        add(
                "D-48",
                SHOULD_NOT,
                "PROBE that is not offered writes its buffer",
                t -> {
                    t.start();
                    t.need(!t.has(F_PROBE), "it is offered");
                    t.expectUnwritten(t.probe(t.endpoint(), Request.PROPERTIES));
                });
        add(
                "D-49",
                SHOULD,
                "reserved of a property is zero",
                t -> {
                    for (Property each : regions(t)) {
                        t.check((each.type & ~PROBE_T_MASK) == 0, "type 0x%x".formatted(each.type));
                    }
                });
        add(
                "D-50",
                MUST,
                "the length of a property is without its header",
                t -> {
                    for (Property each : regions(t)) {
                        t.check(
                                each.length == RESV_MEM_SIZE - PROPERTY_HEAD_SIZE,
                                "RESV_MEM has length " + each.length);
                    }
                });
        add(
                "D-51",
                MUST,
                "the next property is length + 4 bytes further on",
                t -> {
                    int end = 0;
                    for (Property each : list(t)) {
                        end = each.at + PROPERTY_HEAD_SIZE + each.length;
                        t.check(
                                (each.type & PROBE_T_MASK) == PROBE_T_RESV_MEM,
                                "what is at byte %d has type 0x%x".formatted(each.at, each.type));
                    }
                    t.check(end <= t.properties().capacity(), "the last one ends behind the list");
                });
        add(
                "D-52",
                SHOULD_NOT,
                "too small a list gets a property",
                t -> {
                    regions(t);
                    Answer answer = t.ask(t.probe(t.endpoint(), 0));
                    Answer small = t.ask(t.probe(t.endpoint(), RESV_MEM_SIZE));
                    byte[] bytes = small.bytes();
                    t.check(
                            answer.used() <= TAIL_SIZE
                                    && (small.isBroken()
                                            || bytes[0] != PROBE_T_RESV_MEM
                                            || bytes[2] == 0),
                            "it gets one");
                });
        add(
                "D-53",
                SHOULD,
                "too small a list is INVAL",
                t -> {
                    t.start();
                    int size = t.properties().capacity();
                    t.expect(t.probe(t.endpoint(), size - 1), S_INVAL);
                });
        add(
                "D-54",
                SHOULD,
                "the rest of the list is zero",
                t -> {
                    List<Property> list = list(t);
                    Property last =
                            list.isEmpty()
                                    ? new Property(0, 0, -PROPERTY_HEAD_SIZE, 0)
                                    : list.getLast();
                    ByteBuffer bytes = t.properties();
                    for (int at = last.at + PROPERTY_HEAD_SIZE + last.length;
                            at < bytes.capacity();
                            at++) {
                        t.check(bytes.get(at) == 0, "byte %d is %d".formatted(at, bytes.get(at)));
                    }
                });
        add(
                "D-55",
                SHOULD,
                "reserved of RESV_MEM is zero",
                t -> {
                    for (Property each : wholeRegions(t)) {
                        int word = t.properties().getInt(each.at + RESV_MEM_SUBTYPE);
                        t.check((word & ~0xff) == 0, "0x%x".formatted(word >>> 8));
                    }
                });
        add(
                "D-56",
                SHOULD_NOT,
                "an endpoint has two MSI regions",
                t -> {
                    int msi = 0;
                    for (Property each : wholeRegions(t)) {
                        boolean isMsi =
                                t.properties().get(each.at + RESV_MEM_SUBTYPE) == RESV_MEM_T_MSI;
                        msi += isMsi ? 1 : 0;
                    }
                    t.check(msi <= 1, "it has " + msi);
                });
        add(
                "D-57",
                SHOULD_NOT,
                "regions of an endpoint overlap",
                t -> {
                    List<Property> regions = wholeRegions(t);
                    ByteBuffer bytes = t.properties();
                    for (Property a : regions) {
                        for (Property b : regions) {
                            boolean isBelow =
                                    Long.compareUnsigned(
                                                    bytes.getLong(a.at + RESV_MEM_END),
                                                    bytes.getLong(b.at + RESV_MEM_START))
                                            < 0;
                            boolean isAbove =
                                    Long.compareUnsigned(
                                                    bytes.getLong(a.at + RESV_MEM_START),
                                                    bytes.getLong(b.at + RESV_MEM_END))
                                            > 0;
                            t.check(a.at == b.at || isBelow || isAbove, "two do");
                        }
                    }
                });
        add(
                "D-58",
                SHOULD,
                "MAP over a reserved region is refused",
                t -> {
                    Property region = wholeRegions(t).getFirst();
                    long first = t.properties().getLong(region.at + RESV_MEM_START) & -t.page();
                    t.given(attach(t, 0, 0));
                    t.expectRefusal(
                            Request.map(t.domain(0), first, first + t.page() - 1, TARGET, RW));
                });
    }

    // --- what endpoints reach

    private static Effect.Event fault(Trial t)
            throws IOException, InterruptedException, NotSeen, Violation {
        startAttached(t);
        Effect effect = t.access(t.base() + t.page(), true);
        Effect.Event event = effect.event();
        t.need(event != null, "the device tells of no fault");
        return requireNonNull(event);
    }

    private static void accesses() {
        add(
                "D-15",
                SHOULD_NOT,
                "an endpoint without domain and without bypass reaches memory",
                t -> {
                    t.start();
                    t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
                    t.writeBypass(0);
                    Effect effect = t.access(TARGET, true);
                    t.writeBypass(1);
                    t.check(!effect.isChanged(), effect.toString());
                });
        add(
                "D-31",
                MUST,
                "after DETACH the endpoint reaches no mapping of the domain",
                t -> {
                    t.start();
                    t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
                    t.writeBypass(0);
                    t.given(attach(t, 0, 0));
                    t.given(map(t, 0, 1, 1));
                    Effect before = t.access(t.base() + t.page(), true);
                    t.given(detach(t, 0));
                    Effect after = t.access(t.base() + t.page(), true);
                    t.writeBypass(1);
                    t.need(before.isChanged(), "a mapping is not reached: " + before);
                    t.check(!after.isChanged(), after.toString());
                });
        add(
                "D-37",
                MUST_NOT,
                "a write goes through without the WRITE flag",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 1, 1, MAP_F_READ));
                    Effect effect = t.access(t.base() + t.page(), true);
                    t.check(!effect.isChanged(), effect.toString());
                });
        add(
                "D-60",
                SHOULD,
                "reserved fields of a fault are zero",
                t -> {
                    Effect.Event event = fault(t);
                    t.check(
                            (event.reason() & ~0xff) == 0 && event.reserved() == 0,
                            event.toString());
                });
        add(
                "D-61",
                SHOULD,
                "undefined flags of a fault are zero",
                t -> {
                    Effect.Event event = fault(t);
                    int undefined =
                            event.flags() & ~(FAULT_F_READ | FAULT_F_WRITE | FAULT_F_ADDRESS);
                    t.check(undefined == 0, "flags 0x%x".formatted(event.flags()));
                });
        add(
                "D-62",
                SHOULD,
                "a fault has a valid endpoint id",
                t -> {
                    Effect.Event event = fault(t);
                    t.check(event.endpoint() == t.endpoint(), "0x%x".formatted(event.endpoint()));
                });
        add(
                "D-64",
                SHOULD_NOT,
                "one fault is spread over buffers",
                t -> {
                    Effect.Event event = fault(t);
                    t.check(event.used() == FAULT_SIZE, event.used() + " bytes in the first");
                });
    }

    // --- what the text says without a keyword

    private static void prose() {
        add(
                "P-01",
                PROSE,
                "after a device reset no endpoint is attached",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 0, 1));
                    t.start();
                    t.expect(map(t, 0, 1, 1), S_NOENT);
                });
        add(
                "P-02",
                PROSE,
                "what cannot be parsed goes back unwritten",
                t -> {
                    t.start();
                    Request whole = attach(t, 0, 0);
                    for (int length : new int[] {HEAD_SIZE, ATTACH_SIZE - 1}) {
                        t.expectUnwritten(
                                new Request(
                                        Arrays.copyOf(whole.bytes(), length),
                                        TAIL_SIZE,
                                        Request.Layout.PLAIN));
                    }
                    t.expectUnwritten(
                            new Request(whole.bytes(), TAIL_SIZE - 1, Request.Layout.PLAIN));
                    t.expectUnwritten(
                            new Request(
                                    Arrays.copyOf(whole.bytes(), HEAD_SIZE - 1),
                                    TAIL_SIZE,
                                    Request.Layout.PLAIN));
                });
        add(
                "P-03",
                PROSE,
                "MAP outside input_range fails",
                t -> {
                    startAttached(t);
                    long last = t.inputLast();
                    t.need(last != -1L, "the input range is the whole space");
                    t.expectRefusal(
                            Request.map(t.domain(0), last + 1, last + t.page(), TARGET, RW));
                });
        add(
                "P-04",
                PROSE,
                "a domain outside domain_range is refused",
                t -> {
                    t.start();
                    t.need(F_DOMAIN_RANGE, "DOMAIN_RANGE");
                    int last = t.config().getInt(CONFIG_DOMAIN_END);
                    t.need(last != -1, "the domain range ends at 2^32-1");
                    t.expectRefusal(Request.attach(t.endpoint(), last + 1, 0));
                });
        add(
                "P-05",
                PROSE,
                "the last DETACH ends the domain",
                t -> {
                    startAttached(t);
                    t.given(map(t, 0, 0, 1));
                    t.given(detach(t, 0));
                    t.expect(map(t, 0, 1, 1), S_NOENT);
                    t.given(attach(t, 0, 0));
                    t.expect(map(t, 0, 0, 1), S_OK);
                });
        add(
                "P-06",
                PROSE,
                "descriptors cut a request anywhere",
                t -> {
                    startAttached(t);
                    Request map = map(t, 0, 0, 1);
                    t.expect(new Request(map.bytes(), TAIL_SIZE, Request.Layout.CUT), S_OK);
                    t.need(Virtio.F_INDIRECT_DESC, "INDIRECT_DESC");
                    map = map(t, 0, 1, 1);
                    t.expect(new Request(map.bytes(), TAIL_SIZE, Request.Layout.INDIRECT), S_OK);
                });
        add(
                "P-09",
                PROSE,
                "ranges are inclusive and may end at 2^64-1",
                t -> {
                    startAttached(t);
                    int domain = t.domain(0);
                    long first = t.base();
                    // Not beyond it, though: this would go on at 0.
                    t.expectRefusal(
                            Request.map(domain, first, first + 2 * t.page() - 1, -t.page(), RW));
                    t.expect(Request.map(domain, first, first + t.page() - 1, -t.page(), RW), S_OK);
                    if (t.inputLast() == -1L) {
                        t.expect(Request.map(domain, -t.page(), -1, TARGET, RW), S_OK);
                        t.expect(Request.unmap(domain, -t.page(), -1), S_OK);
                    }
                });
        add(
                "P-11",
                PROSE,
                "bypass holds although BYPASS_CONFIG is not accepted",
                t -> {
                    t.start();
                    t.need(F_BYPASS_CONFIG, "BYPASS_CONFIG");
                    t.writeBypass(1);
                    t.startWithout(F_BYPASS_CONFIG);
                    Effect effect = t.access(TARGET, true);
                    t.check(effect.isChanged(), effect.toString());
                });
        add(
                "P-12",
                PROSE,
                "the bypass flag of ATTACH is unknown without BYPASS_CONFIG",
                t -> {
                    t.startWithout(F_BYPASS_CONFIG);
                    t.expect(attach(t, 0, ATTACH_F_BYPASS), S_INVAL);
                });
        add(
                "P-13",
                PROSE,
                "examples 1 to 7 of UNMAP are exact",
                t -> {
                    startAttached(t);
                    // 1
                    t.expect(unmap(t, 0, 0, 5), S_OK);
                    // 2
                    t.expect(map(t, 0, 0, 10), S_OK);
                    t.expect(unmap(t, 0, 0, 10), S_OK);
                    // 3
                    t.expect(map(t, 0, 0, 5), S_OK);
                    t.expect(map(t, 0, 5, 5), S_OK);
                    t.expect(unmap(t, 0, 0, 10), S_OK);
                    // 4
                    t.expect(map(t, 0, 0, 10), S_OK);
                    t.expect(unmap(t, 0, 0, 5), S_RANGE);
                    t.expect(unmap(t, 0, 0, 10), S_OK);
                    // 5
                    t.expect(map(t, 0, 0, 5), S_OK);
                    t.expect(map(t, 0, 5, 5), S_OK);
                    t.expect(unmap(t, 0, 0, 5), S_OK);
                    t.expect(unmap(t, 0, 5, 5), S_OK);
                    // 6
                    t.expect(map(t, 0, 0, 5), S_OK);
                    t.expect(unmap(t, 0, 0, 10), S_OK);
                    // 7
                    t.expect(map(t, 0, 0, 5), S_OK);
                    t.expect(map(t, 0, 10, 5), S_OK);
                    t.expect(unmap(t, 0, 0, 15), S_OK);
                    t.expect(map(t, 0, 0, 15), S_OK);
                });
    }
}
