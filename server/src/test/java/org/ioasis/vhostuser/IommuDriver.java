// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VhostUser.F_PROTOCOL_FEATURES;
import static org.ioasis.spec.VhostUser.SET_FEATURES;
import static org.ioasis.spec.VhostUser.SET_PROTOCOL_FEATURES;
import static org.ioasis.spec.VirtioIommu.T_ATTACH;
import static org.ioasis.spec.VirtioIommu.T_DETACH;
import static org.ioasis.spec.VirtioIommu.T_MAP;
import static org.ioasis.spec.VirtioIommu.T_UNMAP;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;

/** What a driver of an IOMMU does in tests: requests through rings, and their answers. */
final class IommuDriver {
    // By a chain's name, from there on: the request, and its answer.
    static final long SENT = 0x8000;
    static final long BACK = 0x9000;
    static final int SLOT = 64;
    static final int FLAGS = 3;

    private IommuDriver() {}

    static long features(RingFormat format) {
        return Virtio.F_VERSION_1
                | VirtioIommuDevice.FEATURES
                | (format == RingFormat.PACKED ? Virtio.F_RING_PACKED : 0);
    }

    static int start(RingFormat format) {
        return format == RingFormat.PACKED ? 0x8000_8000 : 0;
    }

    static FrontEnd ready(Path socket, RingFormat format) throws Exception {
        FrontEnd frontEnd = FrontEnd.ready(socket);
        for (int i = 0; i < FrontEnd.RINGS; i++) {
            frontEnd.newRing(i, format);
        }
        frontEnd.number(SET_FEATURES, features(format) | F_PROTOCOL_FEATURES);
        return frontEnd;
    }

    static FrontEnd again(Path socket, FrontEnd before) throws Exception {
        FrontEnd frontEnd = FrontEnd.again(socket, before);
        frontEnd.number(SET_PROTOCOL_FEATURES, Session.PROTOCOL_FEATURES);
        return frontEnd;
    }

    static void begin(FrontEnd frontEnd, RingFormat format, FrontEnd.Log log) throws Exception {
        frontEnd.number(SET_FEATURES, features(format) | F_PROTOCOL_FEATURES);
        frontEnd.log(log);
        frontEnd.start(features(format), start(format), start(format));
        frontEnd.settle();
    }

    // Requests.

    static byte[] request(int type, int domain, long... fields) {
        ByteBuffer bytes = ByteBuffer.allocate(SLOT).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(type).putInt(domain);
        for (long field : fields) {
            bytes.putLong(field);
        }
        bytes.putInt(type == T_MAP ? FLAGS : 0);
        return Arrays.copyOf(bytes.array(), bytes.position());
    }

    static byte[] attach(int endpoint, int domain) {
        byte[] bytes = request(T_ATTACH, domain, endpoint);
        return Arrays.copyOf(bytes, 20);
    }

    static byte[] detach(int endpoint, int domain) {
        byte[] bytes = request(T_DETACH, domain, endpoint);
        return Arrays.copyOf(bytes, 20);
    }

    static byte[] map(int domain, long first, long last, long output) {
        return request(T_MAP, domain, first, last, output);
    }

    static byte[] unmap(int domain, long first, long last) {
        return request(T_UNMAP, domain, first, last);
    }

    static int offer(FrontEnd frontEnd, byte[] request) {
        DriverQueue ring = frontEnd.rings[0];
        int head = ring.begin();
        MemorySegment memory = frontEnd.guest.segment();
        long in = SENT + (long) SLOT * head;
        MemorySegment.copy(request, 0, memory, ValueLayout.JAVA_BYTE, in, request.length);
        memory.set(ValueLayout.JAVA_INT, BACK + 8L * head, -1);
        ring.readable(in, request.length);
        ring.writable(BACK + 8L * head, 4);
        ring.offer();
        ring.expose();
        return head;
    }

    /** Sends one, and the answer. */
    static int ask(FrontEnd frontEnd, byte[] request) throws Exception {
        int head = offer(frontEnd, request);
        frontEnd.kicks[0].signal();
        DriverQueue ring = frontEnd.rings[0];
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        int back = ring.take();
        while (back == DriverQueue.NONE) {
            assertThat(System.nanoTime() - deadline).as("no answer").isNegative();
            LockSupport.parkNanos(100_000);
            back = ring.take();
        }
        assertThat(back).isEqualTo(head);
        return frontEnd.guest.segment().get(ValueLayout.JAVA_INT, BACK + 8L * head);
    }
}
