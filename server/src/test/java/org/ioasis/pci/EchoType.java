// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Outcome;
import org.ioasis.virtio.DeviceType;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.DeviceQueue;
import org.ioasis.virtqueue.Pop;
import org.jspecify.annotations.Nullable;

/** A device with two queues that writes into each chain what it reads from it, plus one. */
public final class EchoType implements DeviceType {
    static final int CONFIG_SIZE = 12;

    private final MemorySegment config = Arena.ofAuto().allocate(CONFIG_SIZE);
    private final MemorySegment bounce = Arena.ofAuto().allocate(64);
    private final Chain chain = new Chain(8);
    private @Nullable VirtioDevice device;
    int resets;
    int queueResets;
    int systemResets;
    int kicks;
    int memoryChanges;

    @Override
    public int id() {
        return 0x3f;
    }

    @Override
    public long features() {
        return 5;
    }

    @Override
    public int queueCount() {
        return 2;
    }

    @Override
    public int queueSizeMax() {
        return 8;
    }

    @Override
    public int configSize() {
        return CONFIG_SIZE;
    }

    @Override
    public long readConfig(int offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = (value << 8) | (config.get(ValueLayout.JAVA_BYTE, offset + i) & 0xffL);
        }
        return value;
    }

    @Override
    public void writeConfig(int offset, int size, long value) {
        for (int i = 0; i < size; i++) {
            config.set(ValueLayout.JAVA_BYTE, offset + i, (byte) (value >>> (8 * i)));
        }
    }

    @Override
    public void start(long negotiated, VirtioDevice started) {
        device = started;
    }

    @Override
    public void kick(int index) {
        kicks++;
        VirtioDevice running = device;
        if (running == null) {
            return;
        }
        DeviceQueue queue = running.queue(index);
        boolean interrupt = false;
        running.dma().enter();
        try {
            while (queue.pop(chain) == Pop.GOT) {
                long n = Math.min(chain.readableLength(), chain.writableLength());
                if (chain.copyIn(0, bounce, 0, n) == Outcome.OK) {
                    for (long i = 0; i < n; i++) {
                        byte b = bounce.get(ValueLayout.JAVA_BYTE, i);
                        bounce.set(ValueLayout.JAVA_BYTE, i, (byte) (b + 1));
                    }
                    n = chain.copyOut(0, bounce, 0, n) == Outcome.OK ? n : 0;
                }
                queue.push(chain, n);
            }
            queue.publish();
            interrupt = queue.shouldInterrupt();
        } finally {
            running.dma().leave();
        }
        if (interrupt) {
            running.interrupt(index);
        }
    }

    @Override
    public void memoryChanged() {
        memoryChanges++;
        kick(0);
    }

    @Override
    public void resetQueue(int queue) {
        queueResets++;
    }

    @Override
    public void reset() {
        resets++;
        device = null;
    }

    @Override
    public void systemReset() {
        systemResets++;
        device = null;
        config.fill((byte) 0);
    }
}
