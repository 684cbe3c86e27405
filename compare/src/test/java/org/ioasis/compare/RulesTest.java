// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.ioasis.compare.Effect.Event;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Each rule explains the pair of answers that it is for, and the same request with any other pair
 * is unexplained.
 */
class RulesTest {
    private static final Setup STRICT = new Setup(39, true, false);
    private static final Setup BY_ENDPOINT = new Setup(64, true, true);
    private static final long OUTPUT = Requests.TARGET;
    private static final int RW = MAP_F_READ | MAP_F_WRITE;

    /** Endpoint 0x20 in domain 1 with one mapping, 0x28 in bypass domain 2. */
    private static CommonState state(long features) {
        CommonState state = new CommonState();
        state.restart(features);
        state.apply(Request.attach(0x20, 1, 0));
        state.apply(Request.map(1, 0x4000, 0x7fff, OUTPUT, RW));
        state.apply(Request.attach(0x28, 2, ATTACH_F_BYPASS));
        return state;
    }

    /** One request, what it is answered, and the id of the reason. */
    record Example(String id, Setup setup, long without, Request request, int ours, int theirs) {
        Case with(int oursStatus, int theirsStatus) {
            return new Case(
                    setup,
                    state(Requests.EVERYTHING & ~without),
                    request,
                    Answer.tail(request, oursStatus, 0),
                    Answer.tail(request, theirsStatus, 0));
        }
    }

    private static Example strict(String id, Request request, int ours, int theirs) {
        return new Example(id, STRICT, 0, request, ours, theirs);
    }

    private static Example without(long feature, String id, Request request, int ours, int theirs) {
        return new Example(id, STRICT, feature, request, ours, theirs);
    }

    /** The same with one byte of the readable part set to 1. */
    private static Request with(Request request, int offset) {
        byte[] bytes = request.bytes();
        bytes[offset] = 1;
        return new Request(bytes, request.writable(), request.layout());
    }

    private static Request attach(int endpoint) {
        return Request.attach(endpoint, 3, 0);
    }

    private static Request map(long first, long last) {
        return Request.map(1, first, last, OUTPUT, RW);
    }

    static Stream<Example> examples() {
        int top = ATTACH_RESERVED + 3;
        return Stream.of(
                strict("D-16", with(attach(0x30), top), S_INVAL, S_OK),
                strict("D-16", with(attach(0x31), top), S_INVAL, S_NOENT),
                without(F_BYPASS_CONFIG, "P-12", Request.attach(0x30, 3, 1), S_INVAL, S_OK),
                without(F_BYPASS_CONFIG, "P-12", Request.attach(0x31, 3, 1), S_INVAL, S_NOENT),
                strict("D-18", attach(0x10020), S_NOENT, S_OK),
                strict("D-18", Request.attach(0x10020, 2, 0), S_NOENT, S_INVAL),
                strict("D-18", attach(Requests.OWN), S_NOENT, S_OK),
                strict("D-21", Request.attach(0x28, 2, 0), S_INVAL, S_OK),
                strict("D-30", Request.detach(0x30, 1), S_INVAL, S_NOENT),
                new Example("T3", BY_ENDPOINT, 0, Request.detach(0x20, 2), S_OK, S_INVAL),
                without(F_MAP_UNMAP, "T5", map(0x10000, 0x10fff), S_UNSUPP, S_OK),
                without(F_MAP_UNMAP, "T5", map(0x4000, 0x4fff), S_UNSUPP, S_INVAL),
                without(F_MMIO, "D-34", Request.map(1, 0, 0xfff, OUTPUT, 5), S_INVAL, S_OK),
                without(F_MMIO, "T5", Request.map(9, 0, 0xfff, OUTPUT, 5), S_INVAL, S_NOENT),
                strict("T5", Request.map(9, 0x1000, 0xfff, OUTPUT, 0), S_NOENT, S_INVAL),
                strict("D-32", map(0x10000, 0x10ffe), S_RANGE, S_OK),
                strict("D-32", map(0x10001, 0x10fff), S_RANGE, S_OK),
                strict("D-32", Request.map(1, 0, 0xfff, OUTPUT + 1, 0), S_RANGE, S_OK),
                strict("P-09", Request.map(1, 0, 0x1fff, -0x1000L, 0), S_RANGE, S_OK),
                strict("P-03", map(0x8000, (1L << 40) - 1), S_RANGE, S_OK),
                strict("P-03", map(1L << 39, (1L << 39) + 0xfff), S_RANGE, S_OK),
                strict("T5", map(0x4000, 0x7ffe), S_RANGE, S_INVAL),
                strict("D-58", map(0xfeeff000L, 0xfeefffffL), S_INVAL, S_OK),
                without(F_MAP_UNMAP, "T5", Request.unmap(1, 0x5000, -1L), S_UNSUPP, S_RANGE),
                strict("D-39", with(Request.unmap(1, 0, -1L), UNMAP_RESERVED), S_INVAL, S_OK),
                strict("D-39", with(Request.unmap(9, 0, -1L), UNMAP_RESERVED), S_INVAL, S_NOENT),
                strict("D-39", with(Request.unmap(1, 0, 0x4fff), UNMAP_RESERVED), S_INVAL, S_RANGE),
                strict("T5", Request.unmap(9, 0x1000, 0xfff), S_NOENT, S_INVAL));
    }

    @ParameterizedTest
    @MethodSource("examples")
    void aRuleExplainsItsPairOfAnswersAndNoOther(Example example) {
        assertThat(Rules.explain(example.with(example.ours, example.theirs)))
                .get()
                .extracting(Explanation::id)
                .isEqualTo(example.id);
        for (int ours = S_OK; ours <= S_NOMEM; ours++) {
            for (int theirs = S_OK; theirs <= S_NOMEM; theirs++) {
                boolean isTheOne = ours == example.ours && theirs == example.theirs;
                if (ours != theirs && !isTheOne) {
                    assertThat(Rules.explain(example.with(ours, theirs)))
                            .as("%d and %d", ours, theirs)
                            .isEmpty();
                }
            }
        }
    }

    static Stream<Request> plainRequests() {
        return Stream.of(
                attach(0x30),
                Request.attach(0x20, 3, ATTACH_F_BYPASS),
                Request.attach(0x31, 3, 0),
                Request.attach(0x30, 3, 2),
                Request.detach(0x20, 1),
                Request.detach(0x20, 2),
                Request.detach(0x31, 2),
                map(0x10000, 0x10fff),
                map(0x7000, 0x8fff),
                Request.map(2, 0, 0xfff, OUTPUT, RW),
                Request.map(9, 0, 0xfff, OUTPUT, RW),
                Request.map(1, 0, 0xfff, OUTPUT, 8),
                Request.unmap(1, 0, 0xffff),
                Request.unmap(1, 0x5000, 0xffff),
                Request.unmap(9, 0, 0xffff));
    }

    /** Among them are refusals that both devices have to agree on. */
    @ParameterizedTest
    @MethodSource("plainRequests")
    void aRequestThatLeavesNoChoiceHasNoExcuse(Request request) {
        for (Setup setup : List.of(STRICT, BY_ENDPOINT)) {
            boolean isT3 =
                    setup.detachByEndpoint() && request.is(T_DETACH) && request.domain() == 2;
            for (int ours = S_OK; ours <= S_NOMEM; ours++) {
                for (int theirs = S_OK; theirs <= S_NOMEM; theirs++) {
                    Example example = new Example("", setup, 0, request, ours, theirs);
                    if (ours != theirs && !(isT3 && ours == S_OK)) {
                        assertThat(Rules.explain(example.with(ours, theirs)))
                                .as("%d and %d", ours, theirs)
                                .isEmpty();
                    }
                }
            }
        }
    }

    // --- other answers than a tail

    private static Optional<String> explain(Request request, Answer ours, Answer theirs) {
        return Rules.explain(new Case(STRICT, state(Requests.EVERYTHING), request, ours, theirs))
                .map(Explanation::id);
    }

    private static Request cut(Request request, int length, int writable) {
        return new Request(Arrays.copyOf(request.bytes(), length), writable, Request.Layout.PLAIN);
    }

    @Test
    void aRequestWithoutHeadOrTailComesBackUnwritten() {
        for (Request request : List.of(cut(attach(0x20), 3, 4), cut(attach(0x20), 20, 3))) {
            Answer unwritten = Answer.unwritten(request);
            assertThat(explain(request, unwritten, Answer.NEEDS_RESET)).contains("P-02");
            assertThat(explain(request, Answer.NEEDS_RESET, unwritten)).isEmpty();
            assertThat(explain(request, Answer.tail(request, S_INVAL, 0), Answer.NEEDS_RESET))
                    .isEmpty();
        }
        Request whole = attach(0x20);
        assertThat(explain(whole, Answer.unwritten(whole), Answer.NEEDS_RESET)).isEmpty();
        assertThat(explain(whole, Answer.tail(whole, S_OK, 0), Answer.NEEDS_RESET)).isEmpty();
    }

    @Test
    void aRequestThatEndsTooEarlyComesBackUnwritten() {
        Request request = cut(map(0, 0xfff), 35, 4);
        Answer unwritten = Answer.unwritten(request);

        assertThat(explain(request, unwritten, Answer.tail(request, S_INVAL, 0))).contains("P-02");
        assertThat(explain(request, unwritten, Answer.tail(request, S_OK, 0))).isEmpty();
        Request whole = map(0, 0xfff);
        assertThat(explain(whole, unwritten, Answer.tail(whole, S_INVAL, 0))).isEmpty();
    }

    @Test
    void anUnknownTypeComesBackUnwritten() {
        byte[] bytes = attach(0x20).bytes();
        bytes[0] = 6;
        Request request = new Request(bytes, 8, Request.Layout.PLAIN);

        assertThat(explain(request, Answer.unwritten(request), Answer.tail(request, S_UNSUPP, 0)))
                .contains("D-11");
        assertThat(explain(request, Answer.tail(request, S_UNSUPP, 0), Answer.unwritten(request)))
                .isEmpty();
        assertThat(explain(request, Answer.unwritten(request), Answer.tail(request, S_UNSUPP, 4)))
                .isEmpty();
    }

    @Test
    void aProbeOfAnIdAboveSixteenBitsIsNoent() {
        Request request = Request.probe(0x10020);
        Answer noent = Answer.tail(request, S_NOENT, Request.PROPERTIES);
        Answer properties = new Case(STRICT, state(0), request, noent, noent).lenientProbe();

        assertThat(properties.isOk()).isTrue();
        assertThat(explain(request, noent, properties)).contains("D-47");
        assertThat(explain(request, properties, noent)).isEmpty();
        assertThat(explain(Request.probe(0x20), noent, properties)).isEmpty();
        assertThat(explain(Request.probe(0x31), noent, properties)).isEmpty();
        assertThat(explain(Request.probe(Requests.OWN), noent, properties)).contains("D-47");
        assertThat(explain(request, noent, Answer.tail(request, S_OK, Request.PROPERTIES)))
                .as("without the region")
                .isEmpty();
    }

    @Test
    void aProbeWithTooLittleRoomWritesNoProperty() {
        Request request = new Request(Request.probe(0x20).bytes(), 60, Request.Layout.CUT);
        Answer inval = Answer.tail(request, S_INVAL, 56);
        Answer overwritten = new Case(STRICT, state(0), request, inval, inval).lenientProbe();

        assertThat(overwritten.used()).isEqualTo(TAIL_SIZE);
        assertThat(overwritten.status()).isEqualTo(S_DEVERR);
        assertThat(overwritten.hex()).startsWith("03000000010000000000e0fe");
        assertThat(explain(request, inval, overwritten)).contains("D-52");
        assertThat(explain(request, Answer.tail(request, S_INVAL, 0), overwritten)).isEmpty();
        assertThat(explain(request, inval, Answer.tail(request, S_DEVERR, 0))).isEmpty();
    }

    // --- what no answer shows

    private static Optional<String> suspect(Request request, int status) {
        Answer answer = Answer.tail(request, status, 0);
        return Rules.suspect(new Case(STRICT, state(Requests.EVERYTHING), request, answer, answer))
                .map(hidden -> hidden.explanation().id());
    }

    @Test
    void equalAnswersAreSuspectedWhereQemuChangesMoreThanItSays() {
        assertThat(suspect(Request.attach(0x20, 2, 0), S_INVAL)).contains("D-21");
        assertThat(suspect(Request.attach(0x20, 1, 0), S_OK)).contains("D-23");
        assertThat(suspect(Request.unmap(1, 0x4000, 0x5fff), S_RANGE))
                .as("nothing whole inside")
                .isEmpty();
        assertThat(suspect(Request.attach(0x30, 2, 0), S_INVAL)).as("unattached").isEmpty();
        assertThat(suspect(Request.attach(0x28, 2, 1), S_OK)).as("no mappings").isEmpty();
        assertThat(suspect(Request.attach(0x20, 3, 0), S_OK)).as("another domain").isEmpty();
    }

    @Test
    void anUnmapThatSplitsIsSuspectedWithTheMappingsInsideAsWitnesses() {
        CommonState state = state(Requests.EVERYTHING);
        state.apply(Request.map(1, 0x1000, 0x1fff, OUTPUT, 0));
        Request request = Request.unmap(1, 0, 0x4fff);
        Answer answer = Answer.tail(request, S_RANGE, 0);
        Case one = new Case(STRICT, state, request, answer, answer);

        Rules.Hidden hidden = Rules.suspect(one).orElseThrow();

        assertThat(hidden.explanation().id()).isEqualTo("D-44");
        assertThat(hidden.witnesses().apply(one))
                .singleElement()
                .extracting(Request::toString)
                .asString()
                .startsWith("MAP domain=0x1 virt=0x1000..0x1fff phys=0xc00000 flags=0x0");
    }

    @Test
    void whatIsAttachedAfterADeviceResetIsExplainedAndAfterAMachineResetNot() {
        Request request = Request.detach(0x20, 1);
        CommonState empty = new CommonState();
        empty.restart(Requests.EVERYTHING);
        Case kept =
                new Case(
                        STRICT,
                        empty,
                        request,
                        Answer.tail(request, S_INVAL, 0),
                        Answer.tail(request, S_OK, 0));

        assertThat(Rules.explainAfter(new Step.Restart(0), kept))
                .get()
                .extracting(Explanation::id)
                .isEqualTo("P-01");
        assertThat(Rules.explainAfter(new Step.Reboot(), kept)).isEmpty();
        assertThat(Rules.explain(kept)).isEmpty();
    }

    // --- configuration

    @Test
    void onlyTheGranuleWithAndWithoutTheBitsAboveItIsExplained() {
        assertThat(Rules.explainPageSizes(0x1000, -0x1000)).isPresent();
        assertThat(Rules.explainPageSizes(-0x1000, 0x1000)).isEmpty();
        assertThat(Rules.explainPageSizes(0x1000, -0x10000)).isEmpty();
    }

    @Test
    void bytesBehindTheLastFieldAreZeroOrAsWritten() {
        byte[] zeroes = new byte[CONFIG_SIZE];
        byte[] kept = new byte[CONFIG_SIZE];
        kept[CONFIG_BYPASS + 2] = 9;

        assertThat(Rules.explainPadding(new byte[] {0, 9, 0}, zeroes, kept)).isPresent();
        assertThat(Rules.explainPadding(new byte[] {0, 8, 0}, zeroes, kept)).isEmpty();
        assertThat(Rules.explainPadding(new byte[] {0, 9, 0}, kept, zeroes)).isEmpty();
    }

    private static Optional<String> explainWrite(
            long without, boolean bypass, int offset, long value, boolean theirs) {
        CommonState state = state(Requests.EVERYTHING & ~without);
        state.bypass(bypass);
        return Rules.explain(new Step.Configure(offset, 1, value), state, !theirs, theirs)
                .map(Explanation::id);
    }

    @Test
    void onlyABypassThatNoDriverMayWriteIsExplained() {
        long feature = F_BYPASS_CONFIG;
        assertThat(explainWrite(0, true, CONFIG_BYPASS, 2, true)).contains("D-09");
        assertThat(explainWrite(feature, true, CONFIG_BYPASS, 0, true)).contains("R-02");
        assertThat(explainWrite(feature, false, CONFIG_BYPASS, 0xa4, true)).contains("R-02");
        assertThat(explainWrite(0, true, CONFIG_BYPASS, 2, false)).as("ours breaks").isEmpty();
        assertThat(explainWrite(0, true, CONFIG_BYPASS, 1, true)).isEmpty();
        assertThat(explainWrite(feature, true, CONFIG_BYPASS, 1, true)).isEmpty();
        assertThat(explainWrite(0, true, CONFIG_PROBE_SIZE, 2, true)).isEmpty();
    }

    // --- accesses

    private static Event event(int reason, int flags, long address) {
        return new Event(FAULT_SIZE, reason, flags, 0x20, 0, address);
    }

    private static Effect fault(int reason, int flags, long address) {
        return new Effect(Effect.NOTHING, event(reason, flags, address));
    }

    private static Optional<String> explain(
            CommonState state, Step.Access access, Effect ours, Effect theirs) {
        return Rules.explain(Reach.of(state, access), ours, theirs).map(Explanation::id);
    }

    @Test
    void flagsThatQemuLeavesOutAreExplained() {
        CommonState state = state(Requests.EVERYTHING);
        Step.Access write = new Step.Access(0x9000, 4, true);
        int full = FAULT_F_WRITE | FAULT_F_ADDRESS;
        Effect ours = fault(FAULT_R_MAPPING, full, 0x9000);

        assertThat(explain(state, write, ours, fault(FAULT_R_MAPPING, FAULT_F_ADDRESS, 0x9000)))
                .contains("S-26");
        assertThat(explain(state, write, ours, fault(FAULT_R_MAPPING, FAULT_F_ADDRESS, 0x9004)))
                .as("another address")
                .isEmpty();
        assertThat(explain(state, write, ours, fault(FAULT_R_UNKNOWN, FAULT_F_ADDRESS, 0x9000)))
                .as("another reason")
                .isEmpty();
        assertThat(explain(state, write, ours, new Effect(Effect.NOTHING, null)))
                .as("no fault")
                .isEmpty();
        Effect wrong = fault(FAULT_R_MAPPING, FAULT_F_READ | FAULT_F_ADDRESS, 0x9000);
        assertThat(explain(state, write, wrong, fault(FAULT_R_MAPPING, FAULT_F_ADDRESS, 0x9000)))
                .as("ours says read")
                .isEmpty();
    }

    @Test
    void reasonOfAnUnattachedEndpointIsExplained() {
        CommonState state = new CommonState();
        Step.Access read = new Step.Access(0x9000, 1, false);
        Effect ours = fault(FAULT_R_DOMAIN, FAULT_F_READ | FAULT_F_ADDRESS, 0x9000);
        Effect unknown = fault(FAULT_R_UNKNOWN, FAULT_F_ADDRESS, 0x9000);

        assertThat(explain(state, read, ours, unknown)).contains("S-30");
        assertThat(explain(state, read, ours, fault(FAULT_R_DOMAIN, FAULT_F_ADDRESS, 0x9000)))
                .contains("S-26");
        assertThat(explain(state(0), read, ours, unknown)).as("attached").isEmpty();
    }

    @Test
    void theByteBeforeAMappingIsExplainedWhereQemuLetsItThrough() {
        CommonState state = state(Requests.EVERYTHING);
        Step.Access write = new Step.Access(0x3fff, 1, true);
        Effect ours = fault(FAULT_R_MAPPING, FAULT_F_WRITE | FAULT_F_ADDRESS, 0x3fff);
        Effect through = new Effect("0xbfffff", null);

        assertThat(explain(state, write, ours, through)).contains("P-09");
        assertThat(explain(state, write, through, ours)).as("ours lets it through").isEmpty();
        assertThat(explain(state, write, ours, new Effect("0xc00000", null)))
                .as("another byte")
                .isEmpty();
        assertThat(explain(state, new Step.Access(0x2fff, 1, true), ours, through))
                .as("not before a mapping")
                .isEmpty();
    }

    @Test
    void theLastByteOfAMappingIsExplainedWhereQemuTakesTheNextOne() {
        CommonState state = state(Requests.EVERYTHING);
        state.apply(Request.map(1, 0x8000, 0x8fff, OUTPUT + 0x9000, MAP_F_READ));
        Step.Access write = new Step.Access(0x7fff, 1, true);
        Effect ours = new Effect("0xc03fff", null);
        Effect refused = fault(FAULT_R_MAPPING, FAULT_F_WRITE | FAULT_F_ADDRESS, 0x7fff);

        assertThat(explain(state, write, ours, refused)).contains("P-09");
        assertThat(explain(state, write, refused, ours)).as("ours refuses").isEmpty();
        assertThat(explain(state, write, ours, new Effect(Effect.NOTHING, null)))
                .as("nothing comes of it")
                .isEmpty();
        assertThat(explain(state, new Step.Access(0x7ffc, 4, true), ours, refused))
                .as("not the last byte alone")
                .isEmpty();
    }

    @Test
    void anAccessThatCouldHitTheRingsIsLeftOut() {
        CommonState state = state(Requests.EVERYTHING);
        state.apply(Request.map(1, 0x9000, 0x9fff, 0x100000, RW));

        assertThat(Reach.of(state, new Step.Access(0x9000, 4, true)).isObservable()).isFalse();
        assertThat(Reach.of(state, new Step.Access(0x8fff, 1, true)).isObservable()).isFalse();
        assertThat(Reach.of(state, new Step.Access(0x4000, 4, true)).isObservable()).isTrue();
        assertThat(Reach.of(state, new Step.Access(0x8ffc, 4, true)).isObservable()).isFalse();
        assertThat(Reach.of(state, new Step.Access(0x8000, 4, true)).isObservable()).isTrue();
    }
}
