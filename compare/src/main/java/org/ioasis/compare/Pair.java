// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * The two devices of one setup, and the state that both are in. Both are kept in step by the
 * answers of ours. After a difference that may have left something behind, both are emptied and
 * given the state that our answers so far describe, and the requests behind it in the batch are
 * asked again. So a difference is never the consequence of an earlier one. One thread.
 */
final class Pair {
    private static final int EXAMPLE_DIGITS = 80;

    /** The byte behind the last field of the configuration. */
    private static final int PADDING = CONFIG_BYPASS + 1;

    private final Setup setup;
    private final Subject ours;
    private final Subject theirs;
    private final CommonState state = new CommonState();
    private final SortedSet<Integer> strangers = new TreeSet<>();

    /** What was last written behind the last field of the configuration. */
    private final byte[] padding = new byte[CONFIG_SIZE - PADDING];

    private final Differences differences;
    private final long seed;
    private long number;
    private long asked;
    private long others;
    private long rebuilds;

    /** One of them asks for a reset. */
    private boolean isBroken;

    /** Index of the last step that was given to both. */
    private int reached = -1;

    private Optional<Finding> finding = Optional.empty();

    /**
     * @param differences where to add what differs
     * @param seed of the steps, for the examples
     */
    Pair(Setup setup, Subject ours, Subject theirs, Differences differences, long seed) {
        this.differences = differences;
        this.seed = seed;
        this.setup = setup;
        this.ours = ours;
        this.theirs = theirs;
    }

    /** Requests to each device so far, without those that bring both into step. */
    long asked() {
        return asked;
    }

    /** Other steps so far. */
    long others() {
        return others;
    }

    /** How often both were brought into step. */
    long rebuilds() {
        return rebuilds;
    }

    /** Boots both machines, compares what the devices offer, and starts them. */
    void begin() throws IOException {
        ours.boot();
        theirs.boot();
        compareOffer();
        start(Requests.EVERYTHING);
        comparePageSizes();
        compareConfig("configuration");
    }

    /** Starts both devices; nothing is attached in ours. */
    private void start(long features) throws IOException {
        ours.seat().start(features);
        theirs.seat().start(features);
        state.restart(features);
    }

    private void compareOffer() throws IOException {
        long a = ours.seat().offered();
        long b = theirs.seat().offered();
        if (a != b) {
            add("features", "0x%x".formatted(a), "0x%x".formatted(b), Optional.empty(), "");
        }
    }

    /** The first difference without a reason, or why a device does not go on. */
    Optional<Finding> finding() {
        return finding;
    }

    /**
     * Does the next steps. Returns false if a device does not go on: then nothing can be asked of
     * this pair any more.
     */
    boolean run(List<Script.Numbered> steps) throws InterruptedException {
        try {
            List<Script.Numbered> waiting = new ArrayList<>();
            for (Script.Numbered one : steps) {
                if (one.step() instanceof Step.Ask) {
                    waiting.add(one);
                } else {
                    ask(waiting);
                    waiting.clear();
                    others++;
                    number = one.request();
                    reached = one.index();
                    other(one.step());
                }
            }
            ask(waiting);
            return true;
        } catch (IOException e) {
            finding =
                    Optional.of(new Finding(reached, number, String.valueOf(e.getMessage()), true));
            return false;
        }
    }

    private void other(Step step) throws IOException, InterruptedException {
        switch (step) {
            case Step.Ask _ -> throw new IllegalArgumentException("a request");
            case Step.Configure configure -> configure(configure);
            case Step.Restart(long features) -> restart(step, features);
            case Step.Reboot _ -> {
                ours.reboot();
                theirs.reboot();
                restart(step, Requests.EVERYTHING);
            }
            case Step.Access access -> access(access);
        }
    }

    private void add(
            String kind, String a, String b, Optional<Explanation> explanation, String example) {
        String where = "request %d, seed 0x%x: %s".formatted(number, seed, example);
        differences.add(kind, a, b, explanation, where);
        if (explanation.isEmpty() && finding.isEmpty()) {
            String what = "%s: ours %s, QEMU's %s".formatted(kind, a, b);
            finding = Optional.of(new Finding(reached, number, what, false));
        }
    }

    // --- requests

    private void ask(List<Script.Numbered> all) throws IOException {
        int at = 0;
        while (at < all.size()) {
            int end = Math.min(all.size(), at + Seat.BATCH);
            reached = all.get(end - 1).index();
            number = all.get(at).request();
            at += batch(all.subList(at, end));
        }
    }

    private static Request request(Script.Numbered one) {
        return ((Step.Ask) one.step()).request();
    }

    /** Sends the requests to both; a device that asks for a reset ends the list. */
    private List<Case> both(List<Request> batch) throws IOException {
        for (Request request : batch) {
            if (request.is(T_ATTACH) && !Requests.ENDPOINTS.contains(request.endpoint())) {
                strangers.add(request.endpoint());
            }
        }
        ours.seat().send(batch);
        theirs.seat().send(batch);
        List<Answer> a = ours.seat().collect();
        List<Answer> b = theirs.seat().collect();
        isBroken = a.stream().anyMatch(Answer::isBroken) || b.stream().anyMatch(Answer::isBroken);
        List<Case> cases = new ArrayList<>();
        for (int i = 0; i < Math.min(a.size(), b.size()); i++) {
            cases.add(new Case(setup, state, batch.get(i), a.get(i), b.get(i)));
        }
        return cases;
    }

    /** Returns how many of the requests count; the rest must be asked again. */
    private int batch(List<Script.Numbered> batch) throws IOException {
        int done = 0;
        for (Case one : both(batch.stream().map(Pair::request).toList())) {
            number = batch.get(done).request();
            done++;
            boolean isEqual = one.ours().equals(one.theirs());
            Optional<Rules.Hidden> hidden = isEqual ? Rules.suspect(one) : Optional.empty();
            if (!isEqual) {
                addAnswers(one, "", Rules.explain(one));
            }
            if (hidden.isPresent()) {
                bringToState();
                lookBehind(one, hidden.get());
            }
            if (one.ours().isOk()) {
                state.apply(one.request());
            }
            asked++;
            boolean isTheEnd = one.ours().isBroken() || one.theirs().isBroken();
            if (isTheEnd || hidden.isPresent() || (!isEqual && one.mayChangeState())) {
                bringToState();
                return done;
            }
        }
        return done;
    }

    private void addAnswers(Case one, String seenBy, Optional<Explanation> explanation) {
        String example = one.request().toString();
        if (explanation.isEmpty()) {
            example +=
                    " = %s; ours %s; QEMU's %s; %s"
                            .formatted(
                                    one.request().hex(),
                                    start(one.ours().hex()),
                                    start(one.theirs().hex()),
                                    setup);
        }
        add(
                one.request().kind() + seenBy,
                one.ours().toString(),
                one.theirs().toString(),
                explanation,
                example);
    }

    /** Of a PROBE's answer, whose end is in the row. */
    private static String start(String hex) {
        return hex.length() <= EXAMPLE_DIGITS ? hex : hex.substring(0, EXAMPLE_DIGITS) + "...";
    }

    /** Both are in the state before the request again: has it done more than it says? */
    private void lookBehind(Case one, Rules.Hidden hidden) throws IOException {
        List<Case> _ = both(List.of(one.request()));
        for (Request request : hidden.witnesses().apply(one)) {
            for (Case witness : both(List.of(request))) {
                if (!witness.ours().equals(witness.theirs())) {
                    boolean isExpected = witness.are(hidden.ours(), hidden.theirs());
                    addAnswers(
                            witness,
                            " after " + one.request().kind(),
                            isExpected ? Optional.of(hidden.explanation()) : Optional.empty());
                    // One is enough, and both are brought to one state now.
                    return;
                }
            }
        }
    }

    private void bringToState() throws IOException {
        rebuilds++;
        if (isBroken) {
            ours.seat().start(state.features());
            theirs.seat().start(state.features());
            isBroken = false;
        }
        List<Request> rebuild = state.rebuild(strangers);
        for (int at = 0; at < rebuild.size(); at += Seat.BATCH) {
            List<Request> batch = rebuild.subList(at, Math.min(rebuild.size(), at + Seat.BATCH));
            List<Case> cases = both(batch);
            for (Case one : cases) {
                mustSucceed(ours, one.request(), one.ours());
                mustSucceed(theirs, one.request(), one.theirs());
            }
        }
        strangers.clear();
    }

    private void mustSucceed(Subject subject, Request request, Answer answer) throws IOException {
        boolean isStranger = request.type() <= T_DETACH && !Requests.isThere(request.endpoint());
        if (!answer.isOk() && (!isStranger || answer.isBroken())) {
            throw new IOException(
                    "%s cannot be brought into step: %s was answered %s%s"
                            .formatted(subject.name(), request, answer, subject.said()));
        }
    }

    // --- everything else

    private void compareConfig(String kind) throws IOException {
        byte[] a = ours.seat().config();
        byte[] b = theirs.seat().config();
        state.bypass(a[CONFIG_BYPASS] == 1);
        HexFormat hex = HexFormat.of();
        if (!Arrays.equals(a, CONFIG_INPUT_START, PADDING, b, CONFIG_INPUT_START, PADDING)) {
            add(
                    kind,
                    hex.formatHex(a, CONFIG_INPUT_START, PADDING),
                    hex.formatHex(b, CONFIG_INPUT_START, PADDING),
                    Optional.empty(),
                    setup.toString());
        }
        if (!Arrays.equals(a, PADDING, CONFIG_SIZE, b, PADDING, CONFIG_SIZE)) {
            // The bytes are different each time: so they stand in the example.
            add(
                    kind + ", last bytes",
                    "read",
                    "read otherwise",
                    Rules.explainPadding(padding, a, b),
                    "ours %s, QEMU's %s"
                            .formatted(
                                    hex.formatHex(a, PADDING, CONFIG_SIZE),
                                    hex.formatHex(b, PADDING, CONFIG_SIZE)));
        }
    }

    private void comparePageSizes() throws IOException {
        long a = pageSizes(ours.seat().config());
        long b = pageSizes(theirs.seat().config());
        if (a != b) {
            add(
                    "page_size_mask",
                    "0x%x".formatted(a),
                    "0x%x".formatted(b),
                    Rules.explainPageSizes(a, b),
                    setup.toString());
        }
    }

    private static long pageSizes(byte[] config) {
        return ByteBuffer.wrap(config)
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong(CONFIG_PAGE_SIZE_MASK);
    }

    private void configure(Step.Configure step) throws IOException {
        for (int i = Math.max(PADDING, step.offset()); i < step.offset() + step.size(); i++) {
            padding[i - PADDING] = (byte) (step.value() >>> (8 * (i - step.offset())));
        }
        boolean a = ours.seat().configure(step);
        boolean b = theirs.seat().configure(step);
        if (a != b) {
            add(
                    "configuration write",
                    a ? "needs reset" : "goes on",
                    b ? "needs reset" : "goes on",
                    Rules.explain(step, state, a, b),
                    step.toString());
        }
        if (a || b) {
            isBroken = true;
            bringToState();
        }
        compareConfig("config after a write");
    }

    /** Both devices are reset, or were with their machines: is anything left of what was? */
    private void restart(Step step, long features) throws IOException {
        List<Request> leftovers = state.detaches();
        leftovers.forEach(detach -> strangers.add(detach.endpoint()));
        start(features);
        compareConfig("config after a reset");
        for (Case one : both(leftovers)) {
            if (!one.ours().equals(one.theirs())) {
                addAnswers(
                        one,
                        step instanceof Step.Reboot
                                ? " after machine reset"
                                : " after device reset",
                        Rules.explainAfter(step, one));
            }
        }
        bringToState();
    }

    private void access(Step.Access access) throws IOException, InterruptedException {
        Reach reach = Reach.of(state, access);
        if (!reach.isObservable()) {
            return;
        }
        Effect a = ours.access(access);
        Effect b = theirs.access(access);
        if (!a.equals(b)) {
            add(
                    access.isWrite() ? "DMA write" : "DMA read",
                    a.toString(),
                    b.toString(),
                    Rules.explain(reach, a, b),
                    "%s; ours: %s, changed %s; QEMU's: %s, changed %s"
                            .formatted(access, a.event(), a.changed(), b.event(), b.changed()));
        }
    }
}
