// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.peer.ServerWait;
import org.ioasis.sys.ErrnoException;

/**
 * As much of a driver for an NVM Express controller (1.4) as reads and writes a sector: one queue,
 * one command at a time, looked at and not waited for. A controller that has lost what it was told
 * is set up anew, and asked again. One thread.
 */
final class NvmeDriver {
    static final int SECTOR = 512;

    // Registers (3.1).
    private static final int CC = 0x14;
    private static final int CSTS = 0x1c;
    private static final int AQA = 0x24;
    private static final int ASQ = 0x28;
    private static final int ACQ = 0x30;
    private static final int DOORBELLS = 0x1000;
    private static final int CC_ENABLE = 1 | 6 << 16 | 4 << 20;
    private static final int READY = 1;

    private static final int ENTRIES = 64;
    private static final int SQE_BYTES = 64;
    private static final int CQE_BYTES = 16;
    private static final int CREATE_SQ = 1;
    private static final int CREATE_CQ = 5;
    private static final int WRITE = 1;
    private static final int READ = 2;

    // Where what lies in memory.
    private static final int PAGE = 4096;
    private static final int DATA = 4 * PAGE;

    /** One submission queue and its completion queue. */
    private static final class Queue {
        private final int id;
        private int tail;
        private int head;
        private int phase = 1;

        Queue(int id) {
            this.id = id;
        }

        int submissions() {
            return 2 * id * PAGE;
        }

        int completions() {
            return submissions() + PAGE;
        }
    }

    /** The controller has lost what it was told. */
    private static final class Lost extends Exception {
        private static final long serialVersionUID = 1;
    }

    private final MockVfioUserClient client;
    private final MemorySegment memory;
    private final long iova;
    private Queue admin = new Queue(0);
    private Queue io = new Queue(1);
    private int beginnings;

    /**
     * @param memory what the device sees from {@code iova} on: eight pages
     */
    NvmeDriver(MockVfioUserClient client, MemorySegment memory, long iova) {
        this.client = client;
        this.memory = memory;
        this.iova = iova;
    }

    /** How often the controller was set up. */
    int beginnings() {
        return beginnings;
    }

    private void begin() throws ErrnoException, Lost {
        beginnings++;
        register(CC, 0);
        awaitReady(0);
        memory.asSlice(0, DATA).fill((byte) 0);
        admin = new Queue(0);
        io = new Queue(1);
        register(AQA, ((ENTRIES - 1) << 16) | (ENTRIES - 1));
        address(ASQ, iova + admin.submissions());
        address(ACQ, iova + admin.completions());
        register(CC, CC_ENABLE);
        awaitReady(READY);
        int sizeAndId = ((ENTRIES - 1) << 16) | io.id;
        command(admin, CREATE_CQ, 0, iova + io.completions(), sizeAndId, 1);
        command(admin, CREATE_SQ, 0, iova + io.submissions(), sizeAndId, io.id << 16 | 1);
    }

    private void register(int at, int value) throws ErrnoException {
        client.post(0, at, 4, value);
    }

    private void address(int at, long value) throws ErrnoException {
        register(at, (int) value);
        register(at + 4, (int) (value >>> 32));
    }

    private void awaitReady(int wanted) throws ErrnoException, Lost {
        for (int i = 0; i < 1000; i++) {
            if ((client.read(0, CSTS, 4) & READY) == wanted) {
                return;
            }
            if (wanted == READY && (client.read(0, CC, 4) & 1) == 0) {
                throw new Lost(); // again, between the one and the other
            }
            ServerWait.pause();
        }
        throw new IllegalStateException("the controller does not become %d".formatted(wanted));
    }

    private void command(Queue queue, int opcode, int namespace, long prp, int c10, int c11)
            throws ErrnoException, Lost {
        long at = queue.submissions() + (long) queue.tail * SQE_BYTES;
        memory.asSlice(at, SQE_BYTES).fill((byte) 0);
        put(at, opcode | queue.tail << 16);
        put(at + 4, namespace);
        memory.set(ValueLayout.JAVA_LONG_UNALIGNED, at + 24, prp);
        put(at + 40, c10);
        put(at + 44, c11);
        queue.tail = (queue.tail + 1) % ENTRIES;
        register(DOORBELLS + 8 * queue.id, queue.tail);
        while (true) {
            // Read before the entry: one that was ready then and has not answered now has time.
            boolean isReady = (client.read(0, CSTS, 4) & READY) != 0;
            int status = memory.get(ValueLayout.JAVA_INT, completion(queue) + 12) >>> 16;
            if ((status & 1) == queue.phase) {
                queue.head = (queue.head + 1) % ENTRIES;
                queue.phase ^= queue.head == 0 ? 1 : 0;
                if (status >>> 1 != 0) {
                    throw new IllegalStateException(
                            "command %d: status 0x%x".formatted(opcode, status >>> 1));
                }
                return;
            }
            if (!isReady) {
                throw new Lost();
            }
        }
    }

    private void put(long at, int value) {
        memory.set(ValueLayout.JAVA_INT, at, value);
    }

    private static long completion(Queue queue) {
        return queue.completions() + (long) queue.head * CQE_BYTES;
    }

    private void transfer(int opcode, int sector) throws ErrnoException {
        while (true) {
            try {
                if (beginnings == 0) {
                    begin();
                }
                command(io, opcode, 1, iova + DATA, sector, 0);
                return;
            } catch (Lost e) {
                beginAgain();
            }
        }
    }

    private void beginAgain() throws ErrnoException {
        while (true) {
            try {
                begin();
                return;
            } catch (Lost e) {
                // It has gone once more.
            }
        }
    }

    void write(int sector, byte[] data) throws ErrnoException {
        MemorySegment.copy(data, 0, memory, ValueLayout.JAVA_BYTE, DATA, SECTOR);
        transfer(WRITE, sector);
    }

    byte[] read(int sector) throws ErrnoException {
        memory.asSlice(DATA, SECTOR).fill((byte) 0);
        transfer(READ, sector);
        return memory.asSlice(DATA, SECTOR).toArray(ValueLayout.JAVA_BYTE);
    }
}
