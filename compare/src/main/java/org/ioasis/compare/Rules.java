// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.compare.Explanation.Weight.MUST;
import static org.ioasis.compare.Explanation.Weight.OPEN;
import static org.ioasis.compare.Explanation.Weight.SHOULD;
import static org.ioasis.compare.Explanation.Weight.TEXT;
import static org.ioasis.spec.VirtioIommu.*;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The differences that have a reason. A rule holds for one pair of answers in one situation; what
 * no rule holds for is unexplained. Pure functions; any thread.
 */
final class Rules {
    /** Writable part that a PROBE needs. */
    private static final int PROBE_ROOM = Request.PROPERTIES + TAIL_SIZE;

    private record Rule(Explanation explanation, Predicate<Case> holds) {}

    /**
     * A difference that no answer shows at once: both devices say the same, and QEMU's has changed
     * something else.
     *
     * @param witnesses requests after it that our device answers with {@code ours}, and QEMU's with
     *     {@code theirs} if it did
     */
    record Hidden(
            Explanation explanation,
            Predicate<Case> isSuspected,
            Function<Case, List<Request>> witnesses,
            int ours,
            int theirs) {}

    private static final List<Rule> RULES =
            List.of(
                    // --- any request
                    rule(
                            "P-02",
                            TEXT,
                            "A request without a whole head or room for a tail comes back unwritten; QEMU's device"
                                    + " asks for a reset.",
                            c ->
                                    (c.request().length() < HEAD_SIZE
                                                    || c.request().writable() < TAIL_SIZE)
                                            && c.isOursUnwritten()
                                            && c.theirs().isBroken()),
                    rule(
                            "P-02",
                            TEXT,
                            "A request that ends before its fields do comes back unwritten; QEMU answers INVAL.",
                            c ->
                                    c.request().length() >= HEAD_SIZE
                                            && c.request().length() < c.request().typeSize()
                                            && c.isOursUnwritten()
                                            && c.theirs().equals(shortAnswer(c))),
                    rule(
                            "D-11",
                            SHOULD,
                            "A request of unknown type comes back unwritten with used length 0 (D-12); QEMU writes"
                                    + " UNSUPP.",
                            c ->
                                    c.request().length() >= HEAD_SIZE
                                            && c.request().typeSize() < 0
                                            && c.request().writable() >= TAIL_SIZE
                                            && c.isOursUnwritten()
                                            && c.theirs().equals(c.tail(S_UNSUPP))),

                    // --- ATTACH
                    rule(
                            "D-16",
                            MUST,
                            "ATTACH with a reserved field that is not zero is INVAL; QEMU does not look at it.",
                            c ->
                                    isAttach(c)
                                            && c.request().le32(ATTACH_RESERVED) != 0
                                            && c.are(S_INVAL, S_OK)
                                            && c.lenientAttach() == S_OK),
                    rule(
                            "D-16",
                            OPEN,
                            "ATTACH with a reserved field that is not zero, of an endpoint that is not there: we"
                                    + " look at the field first and say INVAL, QEMU says NOENT.",
                            c ->
                                    isAttach(c)
                                            && c.request().le32(ATTACH_RESERVED) != 0
                                            && c.are(S_INVAL, S_NOENT)
                                            && c.lenientAttach() == S_NOENT),
                    rule(
                            "P-12",
                            TEXT,
                            "ATTACH_F_BYPASS is an unknown flag unless BYPASS_CONFIG is negotiated (INVAL, D-17);"
                                    + " QEMU takes it.",
                            c ->
                                    isAttach(c)
                                            && c.attachFlags() == ATTACH_F_BYPASS
                                            && c.request().le32(ATTACH_RESERVED) == 0
                                            && !c.before().has(F_BYPASS_CONFIG)
                                            && c.are(S_INVAL, c.lenientAttach())),
                    rule(
                            "D-18",
                            MUST,
                            "ATTACH of an endpoint that is not there is NOENT; QEMU takes an id above 16 bits for"
                                    + " the endpoint with its low 16 bits.",
                            c ->
                                    isAttach(c)
                                            && c.isFolded(c.request().endpoint())
                                            && c.are(S_NOENT, c.lenientAttach())),
                    rule(
                            "D-18",
                            OPEN,
                            "The IOMMU's own PCI function is not behind it, so ATTACH of it is NOENT; QEMU takes it for"
                                    + " an endpoint.",
                            c ->
                                    isAttach(c)
                                            && c.request().endpoint() == Requests.OWN
                                            && c.are(S_NOENT, c.lenientAttach())),
                    rule(
                            "D-21",
                            SHOULD,
                            "ATTACH to the endpoint's own domain with the other bypass flag is INVAL; QEMU detaches"
                                    + " the endpoint first, which ends the domain, and makes one of the other"
                                    + " kind.",
                            c ->
                                    isAttach(c)
                                            && Requests.isThere(c.request().endpoint())
                                            && c.isOtherKind()
                                            && c.isAloneThere()
                                            && c.are(S_INVAL, S_OK)),

                    // --- DETACH
                    rule(
                            "D-30",
                            OPEN,
                            "DETACH of an endpoint that is not attached is INVAL; QEMU says NOENT.",
                            c ->
                                    isDetach(c)
                                            && Requests.isThere(c.request().endpoint())
                                            && c.before().domainOf(c.request().endpoint()) == null
                                            && c.are(S_INVAL, S_NOENT)),
                    rule(
                            "T3",
                            OPEN,
                            "DETACH from another domain than the endpoint's: with detach-by-endpoint, for Linux's"
                                    + " sake, the endpoint alone decides; QEMU says INVAL.",
                            c -> {
                                if (!isDetach(c) || !c.setup().detachByEndpoint()) {
                                    return false;
                                }
                                Integer at = c.before().domainOf(c.request().endpoint());
                                return at != null
                                        && at != c.request().domain()
                                        && c.are(S_OK, S_INVAL);
                            }),

                    // --- MAP, in the order of our checks (T5)
                    rule(
                            "T5",
                            OPEN,
                            "MAP that MAP_UNMAP was not negotiated for is UNSUPP; QEMU carries it out all the"
                                    + " same.",
                            c ->
                                    isMap(c)
                                            && !c.before().has(F_MAP_UNMAP)
                                            && c.are(S_UNSUPP, c.lenientMap())),
                    rule(
                            "D-34",
                            TEXT,
                            "MAP with the MMIO flag is INVAL unless MMIO is negotiated (R-24); QEMU takes it.",
                            c ->
                                    isMap(c)
                                            && c.before().has(F_MAP_UNMAP)
                                            && !c.before().has(F_MMIO)
                                            && (c.mapFlags() & MAP_F_MMIO) != 0
                                            && c.are(S_INVAL, S_OK)
                                            && c.lenientMap() == S_OK),
                    rule(
                            "T5",
                            OPEN,
                            "MAP with the MMIO flag, not negotiated, in a domain that is not there: we look at the"
                                    + " flag first and say INVAL, QEMU says NOENT.",
                            c ->
                                    isMap(c)
                                            && c.before().has(F_MAP_UNMAP)
                                            && !c.before().has(F_MMIO)
                                            && (c.mapFlags() & MAP_F_MMIO) != 0
                                            && c.are(S_INVAL, S_NOENT)
                                            && c.lenientMap() == S_NOENT),
                    rule(
                            "T5",
                            OPEN,
                            "MAP of a range that ends before it begins, in a domain that is not there: we look for"
                                    + " the domain first and say NOENT, QEMU says INVAL.",
                            c ->
                                    isMap(c)
                                            && c.isBackwards()
                                            && c.before().domain(c.request().domain()) == null
                                            && c.are(S_NOENT, S_INVAL)),
                    rule(
                            "D-32",
                            SHOULD,
                            "MAP that is not aligned to the granule is RANGE; QEMU maps single bytes.",
                            c ->
                                    isMap(c)
                                            && c.isMisaligned()
                                            && c.are(S_RANGE, S_OK)
                                            && c.lenientMap() == S_OK),
                    rule(
                            "P-09",
                            TEXT,
                            "MAP to a physical range that goes on behind 2^64-1 is RANGE; QEMU maps it.",
                            c ->
                                    isMap(c)
                                            && !c.isMisaligned()
                                            && c.isWrapping()
                                            && c.are(S_RANGE, S_OK)
                                            && c.lenientMap() == S_OK),
                    rule(
                            "P-03",
                            TEXT,
                            "MAP outside of input_range is RANGE; QEMU maps it.",
                            c ->
                                    isMap(c)
                                            && !c.isMisaligned()
                                            && !c.isWrapping()
                                            && c.isOutside()
                                            && c.are(S_RANGE, S_OK)
                                            && c.lenientMap() == S_OK),
                    rule(
                            "T5",
                            OPEN,
                            "MAP of a range that cannot be mapped, over a mapping: we look at the range first and"
                                    + " say RANGE, QEMU looks at the mapping and says INVAL.",
                            c ->
                                    isMap(c)
                                            && (c.isMisaligned() || c.isWrapping() || c.isOutside())
                                            && c.are(S_RANGE, S_INVAL)
                                            && !c.isBackwards()
                                            && c.lenientMap() == S_INVAL),
                    rule(
                            "D-58",
                            SHOULD,
                            "MAP over a reserved region is INVAL; QEMU maps it.",
                            c ->
                                    isMap(c)
                                            && !c.isMisaligned()
                                            && !c.isWrapping()
                                            && !c.isOutside()
                                            && c.isReserved()
                                            && c.are(S_INVAL, S_OK)
                                            && c.lenientMap() == S_OK),

                    // --- UNMAP
                    rule(
                            "T5",
                            OPEN,
                            "UNMAP that MAP_UNMAP was not negotiated for is UNSUPP; QEMU carries it out all the"
                                    + " same.",
                            c ->
                                    isUnmap(c)
                                            && !c.before().has(F_MAP_UNMAP)
                                            && c.are(S_UNSUPP, c.lenientUnmap())),
                    rule(
                            "D-39",
                            OPEN,
                            "UNMAP with a reserved field that is not zero is INVAL and removes nothing (T4); QEMU"
                                    + " does not look at it.",
                            c ->
                                    isUnmap(c)
                                            && c.before().has(F_MAP_UNMAP)
                                            && c.request().le32(UNMAP_RESERVED) != 0
                                            && c.are(S_INVAL, c.lenientUnmap())),
                    rule(
                            "T5",
                            OPEN,
                            "UNMAP of a range that ends before it begins, in a domain that is not there: we look for"
                                    + " the domain first and say NOENT, QEMU says INVAL.",
                            c ->
                                    isUnmap(c)
                                            && c.isBackwards()
                                            && c.before().domain(c.request().domain()) == null
                                            && c.are(S_NOENT, S_INVAL)),

                    // --- PROBE
                    rule(
                            "D-47",
                            SHOULD,
                            "PROBE of an endpoint that is not there is NOENT; QEMU takes an id above 16 bits for"
                                    + " the endpoint with its low 16 bits.",
                            c ->
                                    isProbe(c)
                                            && c.request().writable() >= PROBE_ROOM
                                            && c.isFolded(c.request().le32(PROBE_ENDPOINT))
                                            && c.ours().equals(c.probeTail(S_NOENT))
                                            && c.theirs().equals(c.lenientProbe())),
                    rule(
                            "D-47",
                            OPEN,
                            "The IOMMU's own PCI function is not behind it, so PROBE of it is NOENT; QEMU takes it for"
                                    + " an endpoint.",
                            c ->
                                    isProbe(c)
                                            && c.request().writable() >= PROBE_ROOM
                                            && c.request().le32(PROBE_ENDPOINT) == Requests.OWN
                                            && c.ours().equals(c.probeTail(S_NOENT))
                                            && c.theirs().equals(c.lenientProbe())),
                    rule(
                            "D-52",
                            SHOULD,
                            "PROBE with too little room writes no property and is INVAL (D-53), in the buffer's last"
                                    + " bytes; QEMU writes what fits and DEVERR over the first bytes of it, and"
                                    + " tells of 4 bytes.",
                            c ->
                                    isProbe(c)
                                            && c.request().writable() < PROBE_ROOM
                                            && c.ours().equals(lastBytes(c))
                                            && c.theirs().equals(c.lenientProbe())));

    static final List<Hidden> HIDDEN =
            List.of(
                    new Hidden(
                            new Explanation(
                                    "D-21",
                                    SHOULD,
                                    "ATTACH with a bypass flag that does not fit the domain is INVAL and changes"
                                            + " nothing; QEMU has detached the endpoint by then."),
                            c ->
                                    isAttach(c)
                                            && c.are(S_INVAL, S_INVAL)
                                            && (c.attachFlags() & ~ATTACH_F_BYPASS) == 0
                                            && c.before().domainOf(c.request().endpoint()) != null
                                            && c.isOtherKind(),
                            c -> {
                                Integer domain = c.before().domainOf(c.request().endpoint());
                                return domain == null
                                        ? List.of()
                                        : List.of(Request.detach(c.request().endpoint(), domain));
                            },
                            S_OK,
                            S_INVAL),
                    new Hidden(
                            new Explanation(
                                    "D-23",
                                    OPEN,
                                    "ATTACH of an endpoint to the domain that it is in changes nothing: the text asks"
                                            + " for a DETACH first only if it is in another one. QEMU detaches it,"
                                            + " and a domain with no other endpoint loses its mappings."),
                            c ->
                                    isAttach(c)
                                            && c.are(S_OK, S_OK)
                                            && c.isAloneThere()
                                            && mappings(c, 0, -1L).findAny().isPresent(),
                            c -> again(c, 0, -1L),
                            S_INVAL,
                            S_OK),
                    new Hidden(
                            new Explanation(
                                    "D-44",
                                    SHOULD,
                                    "UNMAP that would split a mapping is RANGE and removes nothing; QEMU has removed"
                                            + " other mappings by then."),
                            c ->
                                    isUnmap(c)
                                            && c.lenientUnmap() == S_RANGE
                                            && c.theirs().equals(c.tail(S_RANGE))
                                            && !again(c, c.request().first(), c.request().last())
                                                    .isEmpty(),
                            c -> again(c, c.request().first(), c.request().last()),
                            S_INVAL,
                            S_OK));

    private Rules() {}

    private static Rule rule(
            String id, Explanation.Weight weight, String sentence, Predicate<Case> holds) {
        return new Rule(new Explanation(id, weight, sentence), holds);
    }

    private static boolean isAttach(Case c) {
        return c.request().is(T_ATTACH);
    }

    private static boolean isDetach(Case c) {
        return c.request().is(T_DETACH);
    }

    private static boolean isMap(Case c) {
        return c.request().is(T_MAP);
    }

    private static boolean isUnmap(Case c) {
        return c.request().is(T_UNMAP);
    }

    private static boolean isProbe(Case c) {
        return c.request().is(T_PROBE);
    }

    /** QEMU's answer to what is cut off. */
    private static Answer shortAnswer(Case c) {
        if (c.request().type() != T_PROBE) {
            return c.tail(S_INVAL);
        }
        return c.request().writable() < PROBE_ROOM ? c.lenientProbe() : c.probeTail(S_INVAL);
    }

    private static Answer lastBytes(Case c) {
        return Answer.tail(c.request(), S_INVAL, c.request().writable() - TAIL_SIZE);
    }

    /** MAPs that repeat what the request's domain has within a range. */
    private static List<Request> again(Case c, long first, long last) {
        return mappings(c, first, last)
                .map(m ->
                        Request.map(
                                c.request().domain(), m.first(), m.last(), m.output(), m.flags()))
                .toList();
    }

    private static Stream<CommonState.Mapping> mappings(Case c, long first, long last) {
        CommonState.Domain domain = c.before().domain(c.request().domain());
        return domain == null ? Stream.empty() : domain.within(first, last).stream();
    }

    /** The reason for two different answers. */
    static Optional<Explanation> explain(Case c) {
        return RULES.stream().filter(rule -> rule.holds.test(c)).map(Rule::explanation).findFirst();
    }

    /** What may have happened behind two answers that are equal. */
    static Optional<Hidden> suspect(Case c) {
        return HIDDEN.stream().filter(hidden -> hidden.isSuspected.test(c)).findFirst();
    }

    /** The same for a request after a reset that must have ended all attachments. */
    static Optional<Explanation> explainAfter(Step step, Case c) {
        boolean isKept = step instanceof Step.Restart && isDetach(c) && c.are(S_INVAL, S_OK);
        return isKept
                ? Optional.of(
                        new Explanation(
                                "P-01",
                                TEXT,
                                "After a device reset no endpoint is attached; QEMU keeps endpoints, domains and"
                                        + " mappings until the machine is reset."))
                : explain(c);
    }

    /** For configurations with different page sizes. */
    static Optional<Explanation> explainPageSizes(long ours, long theirs) {
        boolean isGranule = ours == Requests.PAGE && theirs == -Requests.PAGE;
        return isGranule
                ? Optional.of(
                        new Explanation(
                                "D-05",
                                OPEN,
                                "page_size_mask may have several bits: ours has that of the granule, which makes Linux"
                                        + " send one MAP per contiguous run; QEMU's has all from there on."))
                : Optional.empty();
    }

    /**
     * For configurations with different bytes behind the last field.
     *
     * @param written by the driver, from there on
     */
    static Optional<Explanation> explainPadding(byte[] written, byte[] ours, byte[] theirs) {
        int from = CONFIG_BYPASS + 1;
        boolean isKept =
                Arrays.equals(
                                ours,
                                from,
                                CONFIG_SIZE,
                                new byte[CONFIG_SIZE - from],
                                0,
                                CONFIG_SIZE - from)
                        && Arrays.equals(theirs, from, CONFIG_SIZE, written, 0, CONFIG_SIZE - from);
        return isKept
                ? Optional.of(
                        new Explanation(
                                "R-03",
                                OPEN,
                                "A driver that writes behind the last field breaks R-03 itself: ours reads 0 there,"
                                        + " QEMU's what was written, over resets too."))
                : Optional.empty();
    }

    /**
     * For a write to the configuration after which one device asks for a reset.
     *
     * @param before the state before it
     */
    static Optional<Explanation> explain(
            Step.Configure step, CommonState before, boolean oursBreaks, boolean theirsBreaks) {
        if (step.offset() != CONFIG_BYPASS || oursBreaks || !theirsBreaks) {
            return Optional.empty();
        }
        long value = step.value() & 0xff;
        if (!before.has(F_BYPASS_CONFIG)) {
            boolean isChange = value != (before.isBypassing() ? 1 : 0);
            return isChange
                    ? Optional.of(
                            new Explanation(
                                    "R-02",
                                    OPEN,
                                    "A driver that writes bypass without BYPASS_CONFIG breaks R-02 itself: we ignore"
                                            + " it, QEMU's device asks for a reset."))
                    : Optional.empty();
        }
        return value <= 1
                ? Optional.empty()
                : Optional.of(
                        new Explanation(
                                "D-09",
                                OPEN,
                                "A driver that writes another bypass than 0 and 1 breaks R-04 itself: we ignore it,"
                                        + " QEMU's device asks for a reset."));
    }

    /** For an access with different effects. */
    static Optional<Explanation> explain(Reach reach, Effect ours, Effect theirs) {
        if (reach.isAttached()
                && !reach.isIdentity()
                && reach.next() != null
                && reach.access().length() == 1
                && ours.equals(reach.through(reach.mapping()))
                && theirs.equals(reach.through(reach.next()))) {
            return Optional.of(
                    new Explanation(
                            "P-09",
                            TEXT,
                            "For an access to the last byte before a mapping QEMU may take that mapping: the access"
                                    + " reaches the byte before its target where nothing is mapped, or is refused"
                                    + " where the byte's own mapping allows it."));
        }
        Effect.Event event = ours.event();
        if (event == null || ours.isChanged()) {
            return Optional.empty();
        }
        int full = reach.faultFlags();
        boolean isUnattached =
                !reach.isAttached() && event.equals(event.with(FAULT_R_DOMAIN, full));
        boolean isUnmapped = reach.isAttached() && event.equals(event.with(FAULT_R_MAPPING, full));
        if (isUnattached
                && theirs.equals(
                        new Effect(Effect.NOTHING, event.with(FAULT_R_UNKNOWN, FAULT_F_ADDRESS)))) {
            return Optional.of(
                    new Explanation(
                            "S-30",
                            OPEN,
                            "A refused access of an unattached endpoint is reported as DOMAIN, and as read or write;"
                                    + " QEMU says UNKNOWN and neither while the endpoint was never named."));
        }
        Effect.Event withoutFlags = event.with(event.reason(), FAULT_F_ADDRESS);
        if ((isUnattached || isUnmapped)
                && theirs.equals(new Effect(Effect.NOTHING, withoutFlags))) {
            return Optional.of(
                    new Explanation(
                            "S-26",
                            OPEN,
                            "A refused access is always reported as a read or a write; QEMU leaves both flags out"
                                    + " where nothing is attached or mapped."));
        }
        return Optional.empty();
    }
}
