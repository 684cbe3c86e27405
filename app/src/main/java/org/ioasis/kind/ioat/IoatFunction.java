// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.ioat;

import static org.ioasis.spec.Ioat.*;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.concurrent.Executor;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.pci.DmaFunction;
import org.ioasis.pci.FunctionLayout;
import org.ioasis.spec.Pci;

/**
 * A DMA engine that a driver can aim: Intel's I/OAT of version 3.2 with one channel, which copies
 * and does nothing else. Loop thread only, but for {@link #counters}.
 */
final class IoatFunction extends DmaFunction {
    private static final int REGISTER_BYTES = 0x4000;
    private static final int MSIX_BAR = 2;
    private static final int CHANNELS = 1;
    private static final FunctionLayout LAYOUT =
            FunctionLayout.builder(VENDOR_ID, DEVICE_ID)
                    .classCode(Pci.CLASS_SYSTEM_OTHER)
                    .bar(REGISTER_BAR, REGISTER_BYTES)
                    .msix(MSIX_BAR, CHANNELS)
                    .express()
                    .build();

    private final IoatCounters counters = new IoatCounters();
    private final Executor tasks;
    private final IoatChannel channel;
    private int generalControl;
    private int interruptControl;
    private int attention;

    /**
     * @param tasks runs things later on the loop's thread, never at once
     */
    IoatFunction(Dma dma, Executor tasks) {
        super(LAYOUT, dma);
        this.tasks = tasks;
        channel = new IoatChannel(new ChannelBus(), counters);
    }

    private final class ChannelBus implements IoatChannel.Bus {
        @Override
        public Outcome read(long address, MemorySegment target, long length) {
            return readMemory(address, target, 0, length);
        }

        @Override
        public Outcome write(long address, MemorySegment source, long length) {
            return writeMemory(address, source, 0, length);
        }

        @Override
        public void interrupt() {
            attention = 1;
            if ((interruptControl & (INTRCTRL_MASTER_INT_EN | INTRCTRL_MSIX_VECTOR_CONTROL)) != 0) {
                raise(0);
            }
        }

        @Override
        public void later() {
            tasks.execute(channel::turn);
        }
    }

    @Override
    protected long readRegister(int bar, long offset, int size) {
        int at = (int) offset & -Long.BYTES;
        long eight = 0;
        if (at < CHANNEL_SIZE) {
            eight = general(at);
        } else if (at < CHANNEL_SIZE * (1 + CHANNELS)) {
            eight = channel.read(at - CHANNEL_SIZE);
        }
        if (offset <= ATTNSTATUS && offset + size > ATTNSTATUS) {
            attention = 0;
        }
        return eight >>> (8 * (offset - at));
    }

    /** Eight bytes of the function's own registers. */
    private long general(int at) {
        return switch (at) {
            case 0 ->
                    CHANNELS
                            | ((long) IoatChannel.COPY_SHIFT << (8 * XFERCAP))
                            | ((long) generalControl << (8 * GENCTRL))
                            | ((long) interruptControl << (8 * INTRCTRL))
                            | ((long) attention << (8 * ATTNSTATUS));
            case VERSION -> VERSION_3_2;
            default -> 0;
        };
    }

    @Override
    protected void writeRegister(int bar, long offset, int size, long value) {
        int at = (int) offset;
        if (at >= CHANNEL_SIZE && at < CHANNEL_SIZE * (1 + CHANNELS)) {
            channel.write(at - CHANNEL_SIZE, size, value);
        } else if (at == GENCTRL) {
            generalControl = (int) value & 0xff;
        } else if (at == INTRCTRL) {
            interruptControl = (int) value & 0xff;
        }
    }

    @Override
    protected void restart() {
        generalControl = 0;
        interruptControl = 0;
        attention = 0;
        channel.powerOn();
    }

    @Override
    public Map<String, Long> counters() {
        return counters.byName();
    }
}
