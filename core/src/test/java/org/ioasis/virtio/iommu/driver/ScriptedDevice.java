// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioIommu.CONFIG_BYPASS;
import static org.ioasis.spec.VirtioIommu.CONFIG_DOMAIN_END;
import static org.ioasis.spec.VirtioIommu.CONFIG_INPUT_END;
import static org.ioasis.spec.VirtioIommu.CONFIG_PAGE_SIZE_MASK;
import static org.ioasis.spec.VirtioIommu.CONFIG_PROBE_SIZE;
import static org.ioasis.spec.VirtioIommu.CONFIG_SIZE;
import static org.ioasis.spec.VirtioIommu.EVENTQ;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;
import static org.ioasis.spec.VirtioIommu.T_PROBE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.ioasis.spec.SplitRing;
import org.ioasis.spec.Virtio;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.driver.Transport;

/**
 * A device that does what a test says: it keeps each request as bytes, answers with any bytes or
 * none, and writes whatever it likes into its used rings. Reads split rings as they lie in memory.
 * One thread.
 */
public final class ScriptedDevice implements Transport {
    public static final long BASE = 0x10_0000;
    private static final long MEMORY = 1 << 20;
    private static final ValueLayout.OfShort LE16 =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);

    /** A write of the driver's to the configuration. */
    public record ConfigWrite(int offset, int size, long value) {}

    /** A chain that the device has: its name, what can be read, and where it may write. */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    public record Taken(int name, byte[] readable, List<MemorySegment> writable) {
        public int room() {
            return (int) writable.stream().mapToLong(MemorySegment::byteSize).sum();
        }
    }

    private static final class Queue {
        private int size;
        private long desc;
        private long avail;
        private long used;
        private int seen;
        private int given;
    }

    public final MemorySegment memory = Arena.ofAuto().allocate(MEMORY, 4096);
    public final ByteBuffer config = ByteBuffer.allocate(CONFIG_SIZE).order(LITTLE_ENDIAN);
    public final List<byte[]> requests = new ArrayList<>();
    public final List<Taken> taken = new ArrayList<>();
    public final List<ConfigWrite> configWrites = new ArrayList<>();
    public final List<Integer> statusWrites = new ArrayList<>();
    public final int[] kicks = new int[2];
    public final int[] queueSizeMax = {256, 256};
    public int deviceId = VirtioIommu.DEVICE_ID_IOMMU;
    public long offered = DriverOptions.FEATURES | Virtio.F_VERSION_1;
    public long accepted;
    public int status;
    public int statusBitsRefused;
    public boolean staysInReset;
    public boolean refusesQueues;

    /** So many looks at the generation find another one. */
    public int changes;

    /** Keeps requests and answers none of them. */
    public boolean isSilent;

    /** What is written for a request; nothing is an answer of no bytes. */
    public Function<Taken, byte[]> answers = ScriptedDevice::ok;

    private final Queue[] queues = {new Queue(), new Queue()};
    private int generation;

    public ScriptedDevice() {
        config.putLong(CONFIG_PAGE_SIZE_MASK, -4096);
        config.putLong(CONFIG_INPUT_END, -1);
        config.putInt(CONFIG_DOMAIN_END, -1);
        config.putInt(CONFIG_PROBE_SIZE, 128);
        config.put(CONFIG_BYPASS, (byte) 1);
    }

    /** A driver of it that looks three times. */
    public IommuDriver driver(DriverOptions options) throws DriverException {
        return new IommuDriver(
                this, new DriverMemory(memory, BASE), Patience.looks(3, () -> {}), options);
    }

    public IommuDriver driver() throws DriverException {
        return driver(DriverOptions.DEFAULT);
    }

    // --- answers

    /** OK, with properties all zero. */
    public static byte[] ok(Taken request) {
        return status(request, VirtioIommu.S_OK);
    }

    public static byte[] status(Taken request, int status) {
        byte[] answer = new byte[request.room()];
        answer[answer.length - TAIL_SIZE] = (byte) status;
        return answer;
    }

    /** OK, and for PROBE these properties. */
    public static Function<Taken, byte[]> properties(byte[] list) {
        return request -> {
            byte[] answer = ok(request);
            if (request.readable[0] == T_PROBE) {
                System.arraycopy(list, 0, answer, 0, list.length);
            }
            return answer;
        };
    }

    /** A property: its header as given, and a body. */
    public static byte[] property(int type, int length, byte[] body) {
        ByteBuffer bytes = ByteBuffer.allocate(4 + body.length).order(LITTLE_ENDIAN);
        return bytes.putShort((short) type).putShort((short) length).put(body).array();
    }

    public static byte[] region(int subtype, int reserved, long first, long last) {
        ByteBuffer body = ByteBuffer.allocate(20).order(LITTLE_ENDIAN);
        body.put((byte) subtype).put((byte) reserved).put((byte) reserved).put((byte) reserved);
        body.putLong(first).putLong(last);
        return property(VirtioIommu.PROBE_T_RESV_MEM, 20, body.array());
    }

    public static byte[] join(byte[]... parts) {
        ByteBuffer all = ByteBuffer.allocate(Arrays.stream(parts).mapToInt(p -> p.length).sum());
        for (byte[] part : parts) {
            all.put(part);
        }
        return all.array();
    }

    /** Types of the requests so far, without PROBEs. */
    public List<Integer> types() {
        return requests.stream().map(each -> (int) each[0]).filter(t -> t != T_PROBE).toList();
    }

    /** The requests of a type, to be read little-endian. */
    public List<ByteBuffer> of(int type) {
        return requests.stream()
                .filter(each -> each[0] == type)
                .map(each -> ByteBuffer.wrap(each).order(LITTLE_ENDIAN))
                .toList();
    }

    // --- rings

    /** Takes what is new in a ring. */
    public List<Taken> take(int q) {
        Queue queue = queues[q];
        List<Taken> found = new ArrayList<>();
        int idx = Short.toUnsignedInt(memory.get(LE16, at(queue.avail) + SplitRing.AVAIL_IDX));
        while (queue.size > 0 && queue.seen != idx) {
            long entry = at(queue.avail) + SplitRing.AVAIL_RING + 2L * (queue.seen % queue.size);
            found.add(chain(queue, Short.toUnsignedInt(memory.get(LE16, entry))));
            queue.seen = (queue.seen + 1) & 0xffff;
        }
        return found;
    }

    private Taken chain(Queue queue, int head) {
        byte[] readable = new byte[0];
        List<MemorySegment> writable = new ArrayList<>();
        long table = at(queue.desc);
        int index = head;
        int flags;
        do {
            long entry = table + (long) SplitRing.DESC_SIZE * index;
            long address = at(memory.get(LE64, entry + SplitRing.DESC_ADDR));
            int length = memory.get(LE32, entry + SplitRing.DESC_LEN);
            flags = memory.get(LE16, entry + SplitRing.DESC_FLAGS);
            index = memory.get(LE16, entry + SplitRing.DESC_NEXT);
            if ((flags & SplitRing.VIRTQ_DESC_F_INDIRECT) != 0) {
                table = address;
                index = 0;
                flags = SplitRing.VIRTQ_DESC_F_NEXT;
            } else if ((flags & SplitRing.VIRTQ_DESC_F_WRITE) != 0) {
                writable.add(memory.asSlice(address, length));
            } else {
                readable =
                        join(
                                readable,
                                memory.asSlice(address, length).toArray(ValueLayout.JAVA_BYTE));
            }
        } while ((flags & SplitRing.VIRTQ_DESC_F_NEXT) != 0);
        return new Taken(head, readable, writable);
    }

    private static long at(long address) {
        return address - BASE;
    }

    /** Answers what is kept. */
    public void answerAll() {
        List<Taken> now = List.copyOf(taken);
        taken.clear();
        now.forEach(each -> answer(each, answers.apply(each)));
    }

    public void answer(Taken request, byte[] bytes) {
        write(request, bytes);
        used(REQUESTQ, request.name, bytes.length);
    }

    private static void write(Taken chain, byte[] bytes) {
        int done = 0;
        for (MemorySegment part : chain.writable) {
            int length = (int) Math.min(part.byteSize(), bytes.length - done);
            MemorySegment.copy(MemorySegment.ofArray(bytes), done, part, 0, length);
            done += length;
        }
    }

    /** Writes an event into the next buffer, and says it was so long. */
    public void event(byte[] bytes, int length) {
        taken(EVENTQ);
        Taken buffer = events.removeFirst();
        write(buffer, bytes);
        used(EVENTQ, buffer.name, length);
    }

    /** Event buffers that the device has. */
    public int eventBuffers() {
        taken(EVENTQ);
        return events.size();
    }

    private final List<Taken> events = new ArrayList<>();

    private void taken(int q) {
        events.addAll(take(q));
    }

    /** Puts anything at all into a used ring. */
    public void used(int q, int id, long length) {
        Queue queue = queues[q];
        long entry = at(queue.used) + SplitRing.USED_RING + 8L * (queue.given % queue.size);
        memory.set(LE32, entry, id);
        memory.set(LE32, entry + 4, (int) length);
        queue.given = (queue.given + 1) & 0xffff;
        memory.set(LE16, at(queue.used) + SplitRing.USED_IDX, (short) queue.given);
    }

    // --- registers

    @Override
    public int deviceId() {
        return deviceId;
    }

    @Override
    public int status() {
        return staysInReset ? Virtio.STATUS_ACKNOWLEDGE : status;
    }

    @Override
    public void writeStatus(int value) {
        statusWrites.add(value);
        status = value & ~statusBitsRefused;
        if (value == 0) {
            taken.clear();
            events.clear();
            for (Queue queue : queues) {
                queue.size = 0;
            }
        }
    }

    @Override
    public long deviceFeatures() {
        return offered;
    }

    @Override
    public void writeDriverFeatures(long features) {
        accepted = features;
    }

    @Override
    public int queueSizeMax(int queue) {
        return queueSizeMax[queue];
    }

    @Override
    public void enableQueue(int q, int size, long desc, long driver, long device) {
        if (refusesQueues) {
            return;
        }
        Queue queue = queues[q];
        queue.size = size;
        queue.desc = desc;
        queue.avail = driver;
        queue.used = device;
        queue.seen = 0;
        queue.given = 0;
    }

    @Override
    public boolean isQueueEnabled(int queue) {
        return queues[queue].size > 0;
    }

    @Override
    public void kick(int queue) {
        kicks[queue]++;
        if (queue == REQUESTQ) {
            List<Taken> found = take(REQUESTQ);
            found.forEach(each -> requests.add(each.readable));
            taken.addAll(found);
            if (!isSilent) {
                answerAll();
            }
        }
    }

    @Override
    public int configGeneration() {
        if (changes > 0) {
            changes--;
            generation++;
        }
        return generation;
    }

    @Override
    public long readConfig(int offset, int size) {
        return switch (size) {
            case 8 -> config.getLong(offset);
            case 4 -> Integer.toUnsignedLong(config.getInt(offset));
            default -> Byte.toUnsignedLong(config.get(offset));
        };
    }

    @Override
    public void writeConfig(int offset, int size, long value) {
        configWrites.add(new ConfigWrite(offset, size, value));
        if (offset == CONFIG_BYPASS) {
            config.put(offset, (byte) value);
        }
    }
}
