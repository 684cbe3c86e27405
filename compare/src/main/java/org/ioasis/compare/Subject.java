// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.ioasis.spec.VirtioIommu.*;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.jspecify.annotations.Nullable;

/**
 * One of the two devices that are compared, in its machine: what a driver and an endpoint can do
 * with it and can see of it. One thread.
 */
final class Subject implements AutoCloseable {
    private static final int QUEUE_SIZE = 256;

    /** Requests in the queue at a time: each may need so many descriptors. */
    static final int BATCH = QUEUE_SIZE / Request.BUFFERS;

    /** The IOMMU's place on the bus, 00:01.0. */
    private static final int BDF = 0x08;

    private static final int BARS = 0xe000_0000;

    // Guest memory. Hostile mappings may lead anywhere, but no access is made through them.
    private static final long REQUEST_RING = 0x10_0000;
    private static final long EVENT_RING = 0x10_8000;
    private static final long EVENTS = 0x18_0000;
    private static final long SLOTS = 0x20_0000;
    private static final long SLOT = 0x400;
    private static final long SLOT_TABLE = 0x80;
    private static final long SLOT_WRITABLE = 0x100;
    private static final int EVENT_BUFFERS = 8;
    private static final byte CLEAN = (byte) 0xcc;

    /** Reset Control Register of the chipset; this value resets the whole machine. */
    private static final int RESET_PORT = 0xcf9;

    private static final int RESET_MACHINE = 6;

    private static final long SPIN_NANOS = 50_000;
    private static final long PAUSE_NANOS = 20_000;
    private static final long STATUS_NANOS = 2_000_000;

    /** Memory that an access may change. */
    record Window(long first, long bytes) {
        boolean contains(long address, int length) {
            return address >= first && address + length <= first + bytes;
        }
    }

    /** What identity leads to, and what mappings lead to with a page before it. */
    static final List<Window> WINDOWS =
            List.of(
                    new Window(0, Requests.INPUT_PAGES * Requests.PAGE),
                    new Window(
                            Requests.TARGET - Requests.PAGE,
                            (Requests.TARGET_PAGES + Requests.INPUT_PAGES + 1) * Requests.PAGE));

    private final String name;
    private final QtestVmm vmm;
    private final DmaEngine dma;
    private final long patienceNanos;
    private final MemorySegment ram;
    private final PciDevice function;
    private final VirtioPciDriver driver;

    /** In which slot of memory the request of a chain lies, in which buffer its event. */
    private final int[] slotOf = new int[QUEUE_SIZE];

    private final int[] bufferOf = new int[QUEUE_SIZE];
    private DriverQueue requests;
    private DriverQueue events;
    private List<Request> sent = List.of();

    /**
     * @param patience how long the device may take for an answer
     */
    Subject(String name, QtestVmm vmm, DmaEngine dma, Duration patience) {
        patienceNanos = patience.toNanos();
        this.name = name;
        this.vmm = vmm;
        this.dma = dma;
        ram = vmm.ram();
        function = new PciDevice(vmm.qtest(), BDF);
        driver = new VirtioPciDriver(vmm.qtest(), function);
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

    String name() {
        return name;
    }

    /** What QEMU wrote to its error output, for a message. */
    String said() {
        return vmm.said();
    }

    /** Does what firmware does. */
    void boot() throws IOException {
        function.enable(BARS);
        driver.locate();
        dma.enable();
    }

    /** Resets the device and starts it with these features. */
    void start(long features) throws IOException {
        requests = queue(REQUEST_RING);
        events = queue(EVENT_RING);
        driver.start(features, List.of(requests, events));
        for (int i = 0; i < EVENT_BUFFERS; i++) {
            offerEvent(i);
        }
        tellOfEvents();
        // A kick is posted, and what is read behind it is not answered before it has arrived.
        boolean _ = driver.needsReset();
    }

    /** Resets the machine and boots it; the device is not started. */
    void reboot() throws IOException {
        vmm.qtest().out8(RESET_PORT, RESET_MACHINE);
        // It is done by QEMU's main loop, after the answer.
        long deadline = System.nanoTime() + patienceNanos;
        while (function.isEnabled()) {
            if (System.nanoTime() - deadline > 0) {
                throw new IOException(name + ": the machine is not reset" + vmm.said());
            }
            LockSupport.parkNanos(PAUSE_NANOS);
        }
        boot();
    }

    long offered() throws IOException {
        return driver.offered();
    }

    byte[] config() throws IOException {
        return driver.config(CONFIG_SIZE);
    }

    /** Returns whether the device asks for a reset now. */
    boolean configure(Step.Configure step) throws IOException {
        driver.writeConfig(step.offset(), step.size(), step.value());
        return driver.needsReset();
    }

    // --- requests

    /** Puts up to {@link #BATCH} requests into the queue and tells the device. */
    void send(List<Request> batch) throws IOException {
        sent = batch;
        for (int i = 0; i < batch.size(); i++) {
            add(i, batch.get(i));
        }
        requests.expose();
        driver.kick(REQUESTQ);
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

    /**
     * Waits for the answers to what was sent, in its order. If the device asks for a reset instead
     * of an answer, that is the last one, and there may be fewer.
     */
    List<Answer> collect() throws IOException {
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
            long now = System.nanoTime();
            if (now - nextLook > 0) {
                if (driver.needsReset()) {
                    return;
                }
                nextLook = now + STATUS_NANOS;
            }
            if (now - start > patienceNanos) {
                throw new IOException(
                        "%s: %d of %d requests answered%s"
                                .formatted(name, requests.usedCount(), sent.size(), vmm.said()));
            }
            if (now - start < SPIN_NANOS) {
                Thread.onSpinWait();
            } else {
                LockSupport.parkNanos(PAUSE_NANOS);
            }
        }
    }

    // --- accesses

    /**
     * Shows the device the buffers that were offered, and tells it as a driver must (2.7.13): ours
     * sends no event to a driver of which it has heard nothing yet.
     */
    private void tellOfEvents() throws IOException {
        events.expose();
        driver.kick(EVENTQ);
    }

    private void offerEvent(int index) {
        bufferOf[events.begin()] = index;
        events.writable(EVENTS + index * 32L, FAULT_SIZE);
        events.offer();
    }

    /** Lets the endpoint access memory, and looks what is different then. */
    Effect access(Step.Access access) throws IOException, InterruptedException {
        for (Window window : WINDOWS) {
            ram.asSlice(window.first, window.bytes).fill(CLEAN);
        }
        dma.access(access);
        return new Effect(changed(), event());
    }

    private String changed() {
        StringBuilder text = new StringBuilder();
        for (Window window : WINDOWS) {
            MemorySegment bytes = ram.asSlice(window.first, window.bytes);
            for (long at = firstChange(bytes, 0); at >= 0; at = firstChange(bytes, at + 1)) {
                text.append(text.isEmpty() ? "" : " ").append("0x%x".formatted(window.first + at));
            }
        }
        return text.isEmpty() ? Effect.NOTHING : text.toString();
    }

    private static long firstChange(MemorySegment bytes, long from) {
        for (long at = from; at < bytes.byteSize(); at++) {
            if (bytes.get(ValueLayout.JAVA_BYTE, at) != CLEAN) {
                return at;
            }
        }
        return -1;
    }

    private Effect.@Nullable Event event() throws IOException {
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

    @Override
    public void close() throws IOException {
        vmm.close();
    }
}
