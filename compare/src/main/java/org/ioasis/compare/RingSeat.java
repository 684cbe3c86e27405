// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.Negotiation;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.driver.Transport;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * A seat at a device's rings, in memory that both see. The requests lie in slots, each with room
 * for all that one may write. One thread.
 */
final class RingSeat implements Seat {
    /** Each request may need so many descriptors. */
    private static final int QUEUE_SIZE = BATCH * Request.BUFFERS;

    /** A device is reset when its status reads 0 (2.4.2), which takes no more reads than this. */
    private static final int RESET_READS = 1000;

    // Guest memory. Hostile mappings may lead anywhere, but no access is made through them.
    private static final long REQUEST_RING = 0x10_0000;
    private static final long EVENT_RING = 0x10_8000;
    private static final long EVENTS = 0x18_0000;
    private static final long SLOTS = 0x20_0000;
    private static final long SLOT = 0x400;
    private static final long SLOT_TABLE = 0x80;
    private static final long SLOT_WRITABLE = 0x100;
    private static final int EVENT_BUFFERS = 8;

    private static final long SPIN_NANOS = 50_000;
    private static final long PAUSE_NANOS = 20_000;
    private static final long STATUS_NANOS = 2_000_000;

    private final String name;
    private final Transport device;
    private final MemorySegment ram;
    private final long patienceNanos;
    private final Runnable pump;
    private final Supplier<String> said;

    /** In which slot of memory the request of a chain lies, in which buffer its event. */
    private final int[] slotOf = new int[QUEUE_SIZE];

    private final int[] bufferOf = new int[QUEUE_SIZE];
    private DriverQueue requests;
    private DriverQueue events;
    private List<Request> sent = List.of();

    /**
     * @param name of the device, for messages
     * @param ram guest memory from address 0 on
     * @param patienceNanos how long the device may take for an answer
     * @param pump lets a device of this thread work
     * @param said what the device's program has said, for messages
     */
    RingSeat(
            String name,
            Transport device,
            MemorySegment ram,
            long patienceNanos,
            Runnable pump,
            Supplier<String> said) {
        this.name = name;
        this.device = device;
        this.ram = ram;
        this.patienceNanos = patienceNanos;
        this.pump = pump;
        this.said = said;
        requests = queue(REQUEST_RING);
        events = queue(EVENT_RING);
    }

    /** An empty queue, for whose chains no interrupt is asked. */
    private DriverQueue queue(long at) {
        MemorySegment rings = ram.asSlice(at, RingFormat.SPLIT.driverBytes(QUEUE_SIZE));
        DriverQueue queue = RingFormat.SPLIT.newDriver(rings, at, QUEUE_SIZE, false);
        queue.suppressInterrupts();
        return queue;
    }

    /** Of a transport whose other end may be gone. */
    private static <T> T talk(Supplier<T> words) throws IOException {
        try {
            return words.get();
        } catch (UncheckedIOException gone) {
            throw new IOException(gone.getMessage(), gone);
        }
    }

    private void kick(int queue) throws IOException {
        boolean _ =
                talk(() -> {
                    device.kick(queue);
                    return true;
                });
    }

    @Override
    public void start(long features) throws IOException {
        requests = queue(REQUEST_RING);
        events = queue(EVENT_RING);
        String refusal =
                talk(() -> {
                    try {
                        startDriver(features);
                        return "";
                    } catch (DriverException refused) {
                        return String.valueOf(refused.getMessage());
                    }
                });
        if (!refusal.isEmpty()) {
            throw new IOException(
                    "%s is not running with features 0x%x: %s".formatted(name, features, refusal));
        }
        for (int i = 0; i < EVENT_BUFFERS; i++) {
            offerEvent(i);
        }
        tellOfEvents();
        // A kick is posted, and what is read behind it is not answered before it has arrived.
        boolean _ = needsReset();
    }

    private void startDriver(long features) throws DriverException {
        long _ =
                Negotiation.features(
                        device, Patience.looks(RESET_READS, pump), DEVICE_ID_IOMMU, features, 0);
        for (DriverQueue queue : List.of(requests, events)) {
            Negotiation.enable(
                    device,
                    queue == requests ? REQUESTQ : EVENTQ,
                    QUEUE_SIZE,
                    queue.descAddress(),
                    queue.driverAddress(),
                    queue.deviceAddress());
        }
        Negotiation.ready(device);
    }

    @Override
    public long offered() throws IOException {
        return talk(device::deviceFeatures);
    }

    @Override
    public byte[] config() throws IOException {
        return talk(() -> {
            byte[] bytes = new byte[CONFIG_SIZE];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) device.readConfig(i, 1);
            }
            return bytes;
        });
    }

    @Override
    public boolean configure(Step.Configure step) throws IOException {
        boolean _ =
                talk(() -> {
                    device.writeConfig(step.offset(), step.size(), step.value());
                    return true;
                });
        return needsReset();
    }

    private boolean needsReset() throws IOException {
        return talk(() -> (device.status() & Virtio.STATUS_DEVICE_NEEDS_RESET) != 0);
    }

    // --- requests

    @Override
    public void send(List<Request> batch) throws IOException {
        sent = batch;
        for (int i = 0; i < batch.size(); i++) {
            add(i, batch.get(i));
        }
        requests.expose();
        kick(REQUESTQ);
    }

    private void add(int slot, Request request) {
        long at = SLOTS + slot * SLOT;
        MemorySegment.copy(request.bytes(), 0, ram, ValueLayout.JAVA_BYTE, at, request.length());
        ram.asSlice(at + SLOT_WRITABLE, request.writable()).fill(Answer.UNTOUCHED);
        slotOf[requests.begin()] = slot;
        if (request.layout() == Request.Layout.INDIRECT) {
            long table = at + SLOT_TABLE;
            requests.intoTable(ram.asSlice(table, SLOT_WRITABLE - SLOT_TABLE), table);
        }
        boolean isCut = request.layout() == Request.Layout.CUT;
        pieces(at, request.length(), isCut, false);
        pieces(at + SLOT_WRITABLE, request.writable(), isCut, true);
        requests.offer();
    }

    private void pieces(long at, int length, boolean isCut, boolean isWritable) {
        int first = isCut ? length / 2 : length;
        piece(at, first, isWritable);
        piece(at + first, length - first, isWritable);
    }

    private void piece(long at, int length, boolean isWritable) {
        if (length > 0 && isWritable) {
            requests.writable(at, length);
        } else if (length > 0) {
            requests.readable(at, length);
        }
    }

    @Override
    public List<Answer> collect() throws IOException {
        await();
        @Nullable Answer[] answers = new @Nullable Answer[sent.size()];
        while (requests.usedCount() > 0) {
            int slot = slotOf[take(requests)];
            byte[] written = new byte[sent.get(slot).writable()];
            MemorySegment.copy(
                    ram,
                    ValueLayout.JAVA_BYTE,
                    SLOTS + slot * SLOT + SLOT_WRITABLE,
                    written,
                    0,
                    written.length);
            answers[slot] = new Answer((int) requests.written(), written);
        }
        List<Answer> inOrder = new ArrayList<>();
        for (Answer answer : answers) {
            if (answer == null) {
                inOrder.add(Answer.NEEDS_RESET);
                return inOrder;
            }
            inOrder.add(answer);
        }
        return inOrder;
    }

    private int take(DriverQueue queue) throws IOException {
        int chain = queue.take();
        if (chain == DriverQueue.BROKEN) {
            throw new IOException(name + ": " + queue.brokenReason());
        }
        return chain;
    }

    /** Returns when all answers are there, or the device asks for a reset. */
    private void await() throws IOException {
        long start = System.nanoTime();
        long nextLook = start + STATUS_NANOS;
        while (requests.usedCount() < sent.size()) {
            pump.run();
            long now = System.nanoTime();
            if (now - nextLook > 0) {
                if (needsReset()) {
                    return;
                }
                nextLook = now + STATUS_NANOS;
            }
            if (now - start > patienceNanos) {
                throw new IOException(
                        "%s: %d of %d requests answered%s"
                                .formatted(name, requests.usedCount(), sent.size(), said.get()));
            }
            if (now - start < SPIN_NANOS) {
                Thread.onSpinWait();
            } else {
                LockSupport.parkNanos(PAUSE_NANOS);
            }
        }
    }

    // --- events

    /**
     * Shows the device the buffers that were offered, and tells it as a driver must (2.7.13): ours
     * sends no event to a driver of which it has heard nothing yet.
     */
    private void tellOfEvents() throws IOException {
        events.expose();
        kick(EVENTQ);
    }

    private void offerEvent(int index) {
        bufferOf[events.begin()] = index;
        events.writable(EVENTS + index * 32L, FAULT_SIZE);
        events.offer();
    }

    @Override
    public Effect.@Nullable Event event() throws IOException {
        if (events.usedCount() == 0) {
            return null;
        }
        int index = bufferOf[take(events)];
        Effect.Event event =
                Effect.Event.of(
                        ram.asSlice(EVENTS + index * 32L, FAULT_SIZE), (int) events.written());
        offerEvent(index);
        tellOfEvents();
        return event;
    }
}
