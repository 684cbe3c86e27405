// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.ioasis.spec.Virtio;

/**
 * One statement asked of one device: starts the device, asks, and keeps what was asked since, so
 * that what does not hold comes with the way to see it. One thread.
 */
final class Trial {
    /** A statement does not hold; the message says what came in place of what. */
    static final class Violation extends Exception {
        private static final long serialVersionUID = 1;

        Violation(String message) {
            super(message);
        }
    }

    /** A statement cannot be asked of this device; the message says why. */
    static final class NotSeen extends Exception {
        private static final long serialVersionUID = 1;

        NotSeen(String message) {
            super(message);
        }
    }

    private static final long FRAME = Virtio.F_VERSION_1 | Virtio.F_INDIRECT_DESC;

    private final Candidate candidate;
    private final Set<Request> attaches;
    private final List<String> steps = new ArrayList<>();
    private long features;
    private long granule = Requests.PAGE;

    /**
     * @param attaches what trials before this one have asked for; this one takes it back and leaves
     *     its own
     */
    Trial(Candidate candidate, Set<Request> attaches) {
        this.candidate = candidate;
        this.attaches = attaches;
    }

    /** What was done since the device was started first. */
    List<String> steps() {
        return List.copyOf(steps);
    }

    long offered() throws IOException {
        return candidate.seat().offered();
    }

    /** Starts the device with all that is offered and known. */
    void start() throws IOException {
        startWithout(0);
    }

    /** Starts it with all that is offered and known but for these. */
    void startWithout(long left) throws IOException {
        features = offered() & (Requests.ALL | FRAME) & ~left;
        boolean isFirst = steps.isEmpty();
        steps.add("device reset, then a driver with features 0x%x".formatted(features));
        candidate.seat().start(features);
        if (isFirst) {
            takeBack();
        }
        granule = Long.lowestOneBit(config().getLong(CONFIG_PAGE_SIZE_MASK));
        if (granule == 0) {
            granule = Requests.PAGE;
        }
    }

    /**
     * Where a reset leaves what was attached (P-01), each trial begins with nothing all the same.
     */
    private void takeBack() throws IOException {
        for (Request attach : attaches) {
            answer(Request.detach(attach.endpoint(), attach.domain()));
            // An id that was taken for the one with its low bits.
            answer(Request.detach(attach.endpoint() & 0xffff, attach.domain()));
        }
        attaches.clear();
    }

    /** A page of mappings: 4 KiB, or the granule if that is larger. */
    long page() {
        return Math.max(granule, Requests.PAGE);
    }

    long granule() {
        return granule;
    }

    boolean has(long feature) {
        return (features & feature) != 0;
    }

    /** The statement says nothing of a device without this. */
    void need(boolean isThere, String what) throws NotSeen {
        if (!isThere) {
            throw new NotSeen(what);
        }
    }

    void need(long feature, String name) throws NotSeen {
        need(has(feature), name + " is not offered");
    }

    int endpoint() {
        return candidate.endpoints().getFirst();
    }

    int other() throws NotSeen {
        need(candidate.endpoints().size() > 1, "there is one endpoint only");
        return candidate.endpoints().get(1);
    }

    List<Integer> absent() throws NotSeen {
        need(!candidate.absent().isEmpty(), "no id is known to have no endpoint");
        return candidate.absent();
    }

    /** A domain that may be: the first, or one of those that follow. */
    int domain(int number) throws IOException {
        return has(F_DOMAIN_RANGE) ? config().getInt(CONFIG_DOMAIN_START) + number : number;
    }

    ByteBuffer config() throws IOException {
        return ByteBuffer.wrap(candidate.seat().config()).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Lowest address of the input range, in whole pages. */
    long base() throws IOException {
        long first = has(F_INPUT_RANGE) ? config().getLong(CONFIG_INPUT_START) : 0;
        return (first + page() - 1) & -page();
    }

    long inputLast() throws IOException {
        return has(F_INPUT_RANGE) ? config().getLong(CONFIG_INPUT_END) : -1;
    }

    void writeBypass(int value) throws IOException {
        Step.Configure step = new Step.Configure(CONFIG_BYPASS, 1, value);
        steps.add(step.toString());
        boolean _ = candidate.seat().configure(step);
    }

    int bypass() throws IOException {
        return config().get(CONFIG_BYPASS) & 0xff;
    }

    // --- requests

    private Answer answer(Request request) throws IOException {
        candidate.seat().send(List.of(request));
        return candidate.seat().collect().getFirst();
    }

    Answer ask(Request request) throws IOException {
        if (request.is(T_ATTACH)) {
            attaches.add(request);
        }
        Answer answer = answer(request);
        steps.add(request + ": " + answer);
        return answer;
    }

    /** The answer's status must be one of these, with nothing else written. */
    Answer expect(Request request, int... statuses) throws IOException, Violation {
        Answer answer = ask(request);
        String names =
                Arrays.stream(statuses)
                        .mapToObj(status -> Answer.tail(request, status, 0).toString())
                        .collect(Collectors.joining(" or "));
        if (answer.isBroken()
                || answer.used() < TAIL_SIZE
                || Arrays.stream(statuses).noneMatch(status -> status == answer.status())) {
            throw new Violation("%s, not %s".formatted(answer, names));
        }
        return answer;
    }

    /** Anything but OK. */
    void expectRefusal(Request request) throws IOException, Violation {
        Answer answer = ask(request);
        if (answer.isOk() || answer.isBroken()) {
            throw new Violation(answer + ", not a refusal");
        }
    }

    /** Given back with used length 0. */
    void expectUnwritten(Request request) throws IOException, Violation {
        Answer answer = ask(request);
        if (!answer.equals(Answer.unwritten(request))) {
            throw new Violation(answer + ", not given back as it was");
        }
    }

    /** Without it there is nothing to be asked; a device that cannot do this fails D-10. */
    void given(Request request) throws IOException, NotSeen {
        Answer answer = ask(request);
        if (!answer.isOk()) {
            throw new NotSeen("%s was answered %s".formatted(request, answer));
        }
    }

    void check(boolean holds, String otherwise) throws Violation {
        if (!holds) {
            throw new Violation(otherwise);
        }
    }

    /** The properties of the first endpoint, in which nothing can be wrong but what is asked. */
    ByteBuffer properties() throws IOException, NotSeen, Violation {
        need(F_PROBE, "PROBE");
        int size = config().getInt(CONFIG_PROBE_SIZE);
        need(
                size >= 0 && size <= Request.WRITABLE - TAIL_SIZE,
                "probe_size is " + Integer.toUnsignedString(size));
        Answer answer = expect(probe(endpoint(), size), S_OK);
        return ByteBuffer.wrap(answer.bytes(), 0, size).slice().order(ByteOrder.LITTLE_ENDIAN);
    }

    Request probe(int endpoint, int room) {
        return new Request(Request.probe(endpoint).bytes(), room + TAIL_SIZE, Request.Layout.PLAIN);
    }

    // --- accesses

    Effect access(long iova, boolean isWrite) throws IOException, InterruptedException, NotSeen {
        Step.Access access = new Step.Access(iova, 8, isWrite);
        Effect effect = candidate.access(access);
        if (effect == null) {
            throw new NotSeen("nobody can make an endpoint access memory");
        }
        steps.add(access + ": " + effect);
        return effect;
    }
}
