// SPDX-License-Identifier: Apache-2.0
package org.ioasis.serve;

import static org.ioasis.spec.VirtioIommu.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.spec.Virtio;
import org.ioasis.sys.Mapping;

/** A driver of the IOMMU over {@link SocketVmm}: one request at a time. One thread. */
final class IommuDriver {
    static final int NO_ANSWER = -1;
    static final long REQUESTS = 0x10000;
    private static final long EVENTS = 0x14000;
    private static final long REQUEST = 0x18000;
    private static final long ANSWER = 0x19000;
    private static final long EVENT = 0x1a000;
    private static final int PROPERTIES = 512;

    private final SocketVmm vmm;
    private final Mapping ram;
    private final MemorySegment memory;
    private int requests;
    private int events;

    IommuDriver(SocketVmm vmm, Mapping ram) {
        this.vmm = vmm;
        this.ram = ram;
        memory = ram.segment();
    }

    SocketVmm vmm() {
        return vmm;
    }

    void start() throws Exception {
        vmm.negotiate(
                Virtio.F_VERSION_1
                        | F_INPUT_RANGE
                        | F_DOMAIN_RANGE
                        | F_MAP_UNMAP
                        | F_PROBE
                        | F_BYPASS_CONFIG);
        vmm.queue(REQUESTQ, ram, REQUESTS);
        vmm.queue(EVENTQ, ram, EVENTS);
        vmm.driverOk();
    }

    private MemorySegment request(int type) {
        MemorySegment request = memory.asSlice(REQUEST, 256);
        request.fill((byte) 0);
        request.set(ValueLayout.JAVA_BYTE, 0, (byte) type);
        memory.asSlice(ANSWER, 1024).fill((byte) 0xff);
        return request;
    }

    /** Sends what is in the request buffer; does not wait. */
    private void send(int readable, int writable) throws Exception {
        vmm.offer(REQUESTQ, REQUEST, readable, ANSWER, writable);
        requests++;
    }

    private int answer(int readable, int writable) throws Exception {
        send(readable, writable);
        return await(writable);
    }

    private int await(int writable) throws InterruptedException {
        vmm.awaitUsed(REQUESTQ, requests);
        return vmm.usedLength(REQUESTQ) < writable
                ? NO_ANSWER
                : memory.get(ValueLayout.JAVA_BYTE, ANSWER + writable - TAIL_SIZE);
    }

    int attach(int endpoint, int domain, int flags) throws Exception {
        MemorySegment request = request(T_ATTACH);
        request.set(ValueLayout.JAVA_INT, ATTACH_DOMAIN, domain);
        request.set(ValueLayout.JAVA_INT, ATTACH_ENDPOINT, endpoint);
        request.set(ValueLayout.JAVA_INT, ATTACH_FLAGS, flags);
        return answer(ATTACH_SIZE, TAIL_SIZE);
    }

    int map(int domain, long first, long last, long output) throws Exception {
        MemorySegment request = request(T_MAP);
        request.set(ValueLayout.JAVA_INT, MAP_DOMAIN, domain);
        request.set(ValueLayout.JAVA_LONG, MAP_VIRT_START, first);
        request.set(ValueLayout.JAVA_LONG, MAP_VIRT_END, last);
        request.set(ValueLayout.JAVA_LONG, MAP_PHYS_START, output);
        request.set(ValueLayout.JAVA_INT_UNALIGNED, MAP_FLAGS, MAP_F_READ | MAP_F_WRITE);
        return answer(MAP_SIZE, TAIL_SIZE);
    }

    void sendUnmap(int domain, long first, long last) throws Exception {
        MemorySegment request = request(T_UNMAP);
        request.set(ValueLayout.JAVA_INT, UNMAP_DOMAIN, domain);
        request.set(ValueLayout.JAVA_LONG, UNMAP_VIRT_START, first);
        request.set(ValueLayout.JAVA_LONG, UNMAP_VIRT_END, last);
        send(UNMAP_SIZE, TAIL_SIZE);
    }

    int unmap(int domain, long first, long last) throws Exception {
        sendUnmap(domain, first, last);
        return await(TAIL_SIZE);
    }

    int probe(int endpoint) throws Exception {
        MemorySegment request = request(T_PROBE);
        request.set(ValueLayout.JAVA_INT, PROBE_ENDPOINT, endpoint);
        return answer(PROBE_SIZE, PROPERTIES + TAIL_SIZE);
    }

    /** Used length of the last request. */
    long usedLength() {
        return vmm.usedLength(REQUESTQ);
    }

    /** Gives the device a buffer for an event. */
    void offerEvent() throws Exception {
        vmm.offer(EVENTQ, 0, 0, EVENT + 32L * (events++ % 8), FAULT_SIZE);
    }

    void awaitEvents(int count) throws InterruptedException {
        vmm.awaitUsed(EVENTQ, count);
    }

    /** Address that the i-th event names. */
    long eventAddress(int i) {
        return memory.get(ValueLayout.JAVA_LONG, EVENT + 32L * i + FAULT_ADDRESS);
    }
}
