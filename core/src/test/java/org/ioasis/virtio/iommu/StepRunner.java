// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;

import java.lang.foreign.Arena;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.iommu.StateText;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.memory.Region;
import org.ioasis.spec.PackedRing;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.DeviceModel.Fault;
import org.ioasis.virtio.iommu.DeviceModel.Setup;
import org.ioasis.virtio.iommu.Step.Ask;
import org.ioasis.virtio.iommu.Step.Away;
import org.ioasis.virtio.iommu.Step.Buffers;
import org.ioasis.virtio.iommu.Step.Config;
import org.ioasis.virtio.iommu.Step.Hostile;
import org.ioasis.virtio.iommu.Step.Move;
import org.ioasis.virtio.iommu.Step.QueueReset;
import org.ioasis.virtio.iommu.Step.Restart;
import org.ioasis.virtio.iommu.Step.Touch;
import org.ioasis.virtqueue.MockDriver;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * Takes a device and its {@link DeviceModel} through the same steps and compares what can be seen:
 * every answer byte by byte, the state after it, every access, every event. One thread.
 */
final class StepRunner {
    private static final int BATCH = 16;

    /** What a sequence came to. */
    static final class Seen {
        int requests;
        int refused;
        int restarts;
        int events;
    }

    private final Driver driver;
    private final DeviceModel model;
    private final Map<Integer, Dma> endpoints = new HashMap<>();
    private final ArrayDeque<DeviceModel.Answer> expected = new ArrayDeque<>();
    private final ArrayDeque<Integer> eventBuffers = new ArrayDeque<>();
    private final Seen seen = new Seen();
    private Restart life;
    private boolean isDriverReady;
    private int requestsBefore;
    private @Nullable Long away;

    /**
     * @param ram holds guest memory
     */
    StepRunner(Setup setup, Arena ram) {
        driver = driver(setup, ram);
        model = new DeviceModel(setup, this::isRam);
        setup.endpoints().keySet().forEach(id -> endpoints.put(id, driver.dma(id)));
        life = new Restart(setup.offered(), false, RingFormat.SPLIT, false);
        begin();
    }

    /** A device as {@code setup} says, that nobody has started. */
    static Driver driver(Setup setup, Arena ram) {
        IommuOptions options =
                IommuOptions.builder()
                        .pageSizeMask(setup.mask())
                        .inputRange(setup.inputFirst(), setup.inputLast())
                        .domainRange(setup.domainFirst(), setup.domainLast())
                        .bypassAtStart(setup.bypassAtStart())
                        .detachByEndpoint(setup.detachByEndpoint())
                        .endpointLimit(16)
                        .domainLimit(setup.domainLimit())
                        .mappingLimit(setup.mappingLimit())
                        .build();
        Driver driver = new Driver(options, setup.offered(), ram);
        setup.endpoints().forEach((id, one) -> driver.iommu.plug(id, properties(one)));
        return driver;
    }

    private static EndpointProperties properties(DeviceModel.Endpoint one) {
        List<ReservedRegion> regions = new ArrayList<>();
        for (DeviceModel.Window window : one.windows()) {
            regions.add(
                    new ReservedRegion(
                            window.first(),
                            window.last(),
                            ReservedRegion.Kind.valueOf(window.kind().name())));
        }
        return new EndpointProperties(
                one.mask() == -1L ? 0 : one.mask(),
                one.first(),
                one.last(),
                ReservedWindows.of(regions));
    }

    private boolean isRam(long gpa) {
        for (Region region : driver.regions.values()) {
            boolean isIn =
                    Long.compareUnsigned(region.gpaFirst(), gpa) <= 0
                            && Long.compareUnsigned(gpa, region.gpaLast()) <= 0;
            if (isIn) {
                return away == null || away != region.gpaFirst();
            }
        }
        return false;
    }

    /**
     * Runs the steps on a new device.
     *
     * @throws AssertionError device and model differ; the message has the step
     */
    static Seen run(Setup setup, List<Step> steps) {
        int at = 0;
        try (Arena ram = Arena.ofConfined()) {
            StepRunner runner = new StepRunner(setup, ram);
            for (Step step : steps) {
                runner.apply(step);
                at++;
            }
            return runner.finish();
        } catch (AssertionError | RuntimeException e) {
            String where = at < steps.size() ? steps.get(at).toString() : "the end";
            throw new AssertionError("step " + at + ", " + where + ": " + e.getMessage(), e);
        }
    }

    /**
     * As {@link #run}; when it fails the steps that are not needed for that are left out before it
     * is reported.
     */
    static Seen runAndShrink(String name, Setup setup, List<Step> steps) {
        try {
            return run(setup, steps);
        } catch (AssertionError first) {
            List<Step> few = shrink(setup, steps);
            StringBuilder text = new StringBuilder(name).append(": ").append(first.getMessage());
            text.append("\nwith ").append(few.size()).append(" steps:");
            few.forEach(step -> text.append("\n  ").append(step));
            throw new AssertionError(text.toString(), first);
        }
    }

    private static List<Step> shrink(Setup setup, List<Step> steps) {
        List<Step> few = new ArrayList<>(steps);
        for (int run = Math.max(1, few.size() / 2); run > 0; run /= 2) {
            for (int at = 0; at + run <= few.size(); ) {
                List<Step> fewer = new ArrayList<>(few.subList(0, at));
                fewer.addAll(few.subList(at + run, few.size()));
                if (fails(setup, fewer)) {
                    few = fewer;
                } else {
                    at += run;
                }
            }
        }
        return few;
    }

    private static boolean fails(Setup setup, List<Step> steps) {
        try {
            run(setup, steps);
            return false;
        } catch (AssertionError e) {
            return true;
        }
    }

    void apply(Step step) {
        if (!(step instanceof Ask)) {
            flush();
        }
        switch (step) {
            case Ask ask -> {
                send(ask);
                if (ask.isKicked() || expected.size() == BATCH) {
                    flush();
                }
            }
            case Touch touch -> touch(touch);
            case Config config -> {
                driver.device.writeConfig(config.offset(), config.size(), config.value());
                model.writeConfig(config.offset(), config.size(), config.value());
                compareState();
            }
            case Restart restart -> {
                life = restart;
                restart();
            }
            case Buffers buffers -> offer(buffers);
            case Away gone -> away(gone);
            case Hostile hostile -> hostile(hostile);
            case QueueReset _ -> resetQueue();
            case Move _ -> move();
        }
    }

    // --- the life of a driver

    private void begin() {
        driver.start(life.features() | Virtio.F_RING_RESET, life.hasEventIdx(), life.ring());
        model.start(life.features());
        isDriverReady = false;
        eventBuffers.clear();
        compareState();
    }

    private void restart() {
        seen.restarts++;
        if (life.isOfTheMachine()) {
            driver.device.systemReset();
            model.systemReset();
        } else {
            driver.device.writeStatus(0);
            model.reset();
        }
        driver.turn();
        compareState();
        begin();
    }

    private void resetQueue() {
        driver.device.resetQueue(REQUESTQ);
        driver.renewRequests(life.hasEventIdx());
        driver.turn();
        assertThat(driver.answer()).isNull();
        compareState();
        deliver();
    }

    private void move() {
        exchange();
        compareState();
        deliver();
    }

    /** The state is the same on the other side, and saved again it is the same bytes. */
    private void exchange() {
        requestsBefore = seen.requests + expected.size();
        String before = StateText.of(driver.iommu);
        byte[] saved;
        try {
            saved = driver.move();
        } catch (RestoreException e) {
            throw new AssertionError(e);
        }
        assertThat(StateText.of(driver.iommu)).isEqualTo(before);
        assertThat(SavedDevice.save(driver.device, driver.type)).isEqualTo(saved);
        endpoints.replaceAll((id, _) -> driver.dma(id));
        driver.device.memoryChanged();
        driver.turn();
    }

    // --- requests

    private void send(Ask ask) {
        int pieces = pieces(ask.request().length, ask.inPiece());
        if (!driver.requests.hasRoom(pieces + pieces(ask.writable(), ask.outPiece()))) {
            flush();
        }
        driver.send(ask.layout(), ask.request(), ask.writable(), ask.inPiece(), ask.outPiece());
        expected.add(model.answer(ask.request(), ask.writable()));
    }

    private static int pieces(int length, int piece) {
        return (length + piece - 1) / piece;
    }

    private void flush() {
        if (expected.isEmpty()) {
            return;
        }
        driver.kick();
        compareAnswers();
        isDriverReady = true;
        deliver();
    }

    private void compareAnswers() {
        while (!expected.isEmpty()) {
            DeviceModel.Answer wanted = expected.remove();
            Driver.Answer answer = driver.answer();
            assertThat(answer)
                    .as("an answer; broken: %s", driver.device.brokenReason())
                    .isNotNull();
            seen.requests++;
            if (wanted.written() == 0 || wanted.bytes()[wanted.written() - TAIL_SIZE] != S_OK) {
                seen.refused++;
            }
            assertThat(requireNonNull(answer).bytes()).isEqualTo(wanted.bytes());
            assertThat(answer.written()).as("used length").isEqualTo(wanted.written());
        }
        assertThat(driver.answer()).as("no more answers").isNull();
        compareState();
    }

    private void compareState() {
        assertThat(StateText.of(driver.iommu)).isEqualTo(model.state());
        assertThat(driver.iommu.mappingCount()).isEqualTo(model.mappingCount());
        byte[] config = new byte[CONFIG_SIZE];
        for (int i = 0; i < CONFIG_SIZE; i++) {
            config[i] = (byte) driver.device.readConfig(i, 1);
        }
        assertThat(config).as("configuration").isEqualTo(model.config());
        assertThat(driver.device.brokenReason()).isNull();
    }

    /** The request waits for its memory, and is carried out once. */
    private void away(Away gone) {
        away = gone.gpa();
        driver.take(gone.gpa());
        Ask ask = gone.ask();
        boolean isNeeded =
                gone.gpa() == Driver.REQUEST_RING
                        || (gone.gpa() == Driver.IN && ask.request().length > 0);
        String before = StateText.of(driver.iommu);
        send(ask);
        driver.kick();
        if (isNeeded) {
            assertThat(driver.answer()).as("an answer without memory").isNull();
            assertThat(StateText.of(driver.iommu)).isEqualTo(before);
            assertThat(driver.device.needsTick()).isTrue();
        }
        if (gone.isMoved()) {
            boolean waits = driver.device.needsTick();
            exchange();
            assertThat(driver.device.needsTick()).as("waits").isEqualTo(waits);
        }
        away = null;
        driver.giveBack(gone.gpa());
        compareAnswers();
        isDriverReady = true;
        deliver();
        assertThat(driver.device.needsTick()).isFalse();
    }

    // --- accesses and events

    private void touch(Touch touch) {
        driver.clock.advance(10_000_000);
        Dma dma = requireNonNull(endpoints.get(touch.endpoint()));
        int waiting = model.waitingFaults();
        Outcome wanted = model.access(touch.endpoint(), touch.iova(), touch.access());
        Outcome outcome;
        dma.enter();
        try {
            outcome = dma.resolve(touch.iova(), 1, touch.access());
        } finally {
            dma.leave();
        }
        driver.turn();
        assertThat(outcome).isEqualTo(wanted);
        // The device looks for buffers when there is something new to tell.
        if (model.waitingFaults() > waiting) {
            deliver();
        }
        assertThat(driver.eventBytes()).as("no more events").isNull();
    }

    private void offer(Buffers buffers) {
        if (eventBuffers.size() + buffers.count() > Driver.QUEUE_SIZE) {
            return;
        }
        driver.addEventBuffers(buffers.count(), buffers.length());
        for (int i = 0; i < buffers.count(); i++) {
            eventBuffers.add(buffers.length());
        }
        if (buffers.isKicked()) {
            driver.kickEvents();
            isDriverReady = true;
            deliver();
        }
    }

    /** What the device must have told the driver by now, and nothing else. */
    private void deliver() {
        while (isDriverReady && model.waitingFaults() > 0 && !eventBuffers.isEmpty()) {
            byte[] told = driver.eventBytes();
            assertThat(told).as("an event").isNotNull();
            if (eventBuffers.remove() < FAULT_SIZE) {
                assertThat(told).as("D-64: a small buffer").isEmpty();
            } else {
                seen.events++;
                Fault fault = requireNonNull(model.nextFault());
                assertThat(told).isEqualTo(fault.bytes());
            }
        }
        assertThat(driver.eventBytes()).as("no more events").isNull();
    }

    // --- hostile rings

    private void hostile(Hostile hostile) {
        Buffer in = new Buffer(Driver.IN, 20, false);
        Buffer out = new Buffer(Driver.OUT, 4, true);
        boolean isBroken = hostile.kind() != 9;
        String before = StateText.of(driver.iommu);
        int head =
                driver.requests.add(
                        Layout.DIRECT,
                        hostile.kind() == 2
                                ? List.of(out, in)
                                : hostile.kind() == 9
                                        ? List.of(new Buffer(1L << 40, 20, false), out)
                                        : List.of(in, out));
        long table = driver.requests.tableAddress(head);
        if (life.ring() == RingFormat.PACKED) {
            hostilePacked(hostile, table);
        } else {
            hostileSplit(hostile, head, table);
        }
        driver.kick();
        assertThat(driver.answer()).isNull();
        assertThat(StateText.of(driver.iommu)).isEqualTo(before);
        assertThat(driver.device.brokenReason() != null).as("needs a reset").isEqualTo(isBroken);
        assertThat(driver.device.needsTick()).as("waits").isEqualTo(!isBroken);
        driver.kick();
        driver.device.memoryChanged();
        life = new Restart(life.features(), life.hasEventIdx(), life.ring(), false);
        restart();
    }

    private void hostileSplit(Hostile hostile, int head, long table) {
        int n = hostile.number();
        int next = SplitRing.VIRTQ_DESC_F_NEXT;
        int indirect = SplitRing.VIRTQ_DESC_F_INDIRECT;
        switch (hostile.kind()) {
            case 0 -> driver.requests.desc(head, Driver.IN, 20, next, Driver.QUEUE_SIZE + n);
            case 1 -> driver.requests.desc(head, Driver.IN, n, next, head);
            case 3 -> driver.requests.desc(head, table, 16, indirect | next, 0);
            case 4 -> driver.requests.desc(head, table, n % 16 == 0 ? 0 : n, indirect, 0);
            case 5 -> {
                driver.requests.desc(head, table, 16, indirect, 0);
                driver.requests.descAt(table, table, 16, indirect, 0);
            }
            case 6 -> driver.requests.desc(head, -8 - n, 2000, 0, 0);
            case 7 -> {
                driver.requests.desc(head, table, 32, indirect, 0);
                driver.requests.descAt(table, Driver.IN, 4, next, 2 + n);
            }
            case 8 -> driver.requests.desc(head, table, 16 * (Driver.QUEUE_SIZE + 1L), indirect, 0);
            default -> {}
        }
        driver.requests.expose();
        if (hostile.kind() == 10) {
            driver.requests.availIdx(driver.requests.usedIdx() + Driver.QUEUE_SIZE + 1 + n);
        } else if (hostile.kind() == 11) {
            driver.requests.availIdx(driver.requests.usedIdx() - 1 - n);
        }
    }

    /** The chain that was offered last, of two descriptors, becomes one that breaks a rule. */
    private void hostilePacked(Hostile hostile, long table) {
        int n = hostile.number();
        MockDriver ring = driver.requests;
        ring.expose();
        int first = ring.lastSlot();
        int second = (first + 1) % ring.size();
        int there = ring.packedFlags(first) & ~3;
        int thereToo = ring.packedFlags(second) & ~3;
        int next = PackedRing.VIRTQ_DESC_F_NEXT;
        int indirect = PackedRing.VIRTQ_DESC_F_INDIRECT;
        switch (hostile.kind()) {
            case 0 -> ring.packed(second, Driver.IN, n, n, thereToo ^ 0x8080);
            case 1 -> {
                for (int i = 0; i < ring.size(); i++) {
                    int slot = (first + i) % ring.size();
                    ring.packed(
                            slot, Driver.IN, n, n, next | (slot < first ? there ^ 0x8080 : there));
                }
            }
            case 3 -> ring.packed(first, table, 16, n, indirect | next | there);
            case 4 -> ring.packed(first, table, n % 16 == 0 ? 0 : n, n, indirect | there);
            case 5 -> ring.packed(second, table, 16, n, indirect | thereToo);
            case 6 -> ring.packed(first, -8 - n, 2000, n, there);
            case 7 -> ring.packed(first, -16L, 32, n, indirect | there);
            case 8 -> ring.packed(first, table, 16 * (ring.size() + 1L + n), n, indirect | there);
            case 10 -> ring.packed(second, Driver.IN, n, n, thereToo | 0x8080);
            case 11 -> {
                ring.packed(first, Driver.IN, 0xffff_ffffL, n, next | there);
                ring.packed(second, Driver.IN, 0xffff_ffffL, n, thereToo);
            }
            default -> {}
        }
    }

    // --- the end

    /** After a reset nothing is left of all that was. */
    Seen finish() {
        flush();
        driver.device.writeStatus(0);
        model.reset();
        driver.turn();
        driver.guards.poll();
        assertThat(StateText.of(driver.iommu)).isEqualTo(model.state());
        assertThat(driver.iommu.domainCount()).isZero();
        assertThat(driver.iommu.mappingCount()).isZero();
        assertThat(driver.guards.leaseCount()).isZero();
        assertThat(driver.faults.isEmpty()).isTrue();
        assertThat(driver.tasks).isEmpty();
        assertThat(driver.memory.regionCount()).isEqualTo(driver.regions.size());
        assertThat(driver.device.needsTick()).isFalse();
        assertThat(driver.type.counts().total())
                .as("requests since the device was exchanged")
                .isGreaterThanOrEqualTo(seen.requests - requestsBefore);
        return seen;
    }
}
