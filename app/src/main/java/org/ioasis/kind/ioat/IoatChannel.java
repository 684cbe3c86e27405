// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.ioat;

import static org.ioasis.spec.Ioat.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.memory.Outcome;

/**
 * One channel of an I/OAT function: a chain of descriptors in the guest's memory, of which as many
 * are carried out as the driver has said. A chain may be a loop; what ends it is that number, of 16
 * bits. Loop thread only.
 *
 * <p>CHAINADDR begins a chain and its count at 0; DMACOUNT is how far the count may go, and lets a
 * channel go that is suspended. An error halts a channel until CHANERR is cleared, which no reset
 * does, and it is given a chain.
 */
final class IoatChannel {
    /** What a channel has of the function that it is part of. */
    interface Bus {
        Outcome read(long address, MemorySegment target, long length);

        Outcome write(long address, MemorySegment source, long length);

        void interrupt();

        /** Runs {@link IoatChannel#turn} later. */
        void later();
    }

    /** The most that one descriptor copies, as a power of two: what XFERCAP says. */
    static final int COPY_SHIFT = 14;

    /** Descriptors that are carried out before the loop's other work has its turn. */
    static final int TURN_DESCRIPTORS = 64;

    private static final int COPY_BYTES = 1 << COPY_SHIFT;
    private static final int COUNT_MASK = 0xffff;
    private static final long COMPLETION_MASK = -8L;

    private static final ValueLayout.OfInt LE32 =
            ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Bus bus;
    private final IoatCounters counters;
    private final MemorySegment descriptor = Arena.ofAuto().allocate(DESCRIPTOR_SIZE, Long.BYTES);
    private final MemorySegment data = Arena.ofAuto().allocate(COPY_BYTES, Long.BYTES);
    private final MemorySegment completion = Arena.ofAuto().allocate(Long.BYTES, Long.BYTES);

    private int control;
    private int errorMask;
    private int errors;
    private int state;
    private long chain;
    private long next;
    private long completionAddress;
    private long lastDone;
    private int countWanted;
    private int countDone;
    private boolean hasChain;
    private boolean isArmed;
    private boolean isInterruptPending;
    private boolean isTurnPosted;

    IoatChannel(Bus bus, IoatCounters counters) {
        this.bus = bus;
        this.counters = counters;
        powerOn();
    }

    /** As it is when nobody has touched it. */
    void powerOn() {
        control = 0;
        errorMask = 0;
        errors = 0;
        completionAddress = 0;
        isArmed = false;
        isInterruptPending = false;
        halt();
    }

    /** Nothing of the chain is carried out any more. */
    private void halt() {
        state = STATUS_HALTED;
        hasChain = false;
        chain = 0;
        next = 0;
        lastDone = 0;
        countWanted = 0;
        countDone = 0;
    }

    /** The aligned eight bytes of registers at {@code offset}. */
    long read(int offset) {
        return switch (offset) {
            case 0 ->
                    control
                            | ((long) COMPATIBILITY_V2 << (8 * COMPATIBILITY))
                            | ((long) countWanted << (8 * DMACOUNT));
            case CHANSTS -> status();
            case CHAINADDR -> chain;
            case CHANCMP -> completionAddress;
            case CHANERR ->
                    Integer.toUnsignedLong(errors)
                            | ((long) errorMask << (8 * (CHANERR_MASK - CHANERR)));
            default -> 0;
        };
    }

    private long status() {
        return lastDone | state;
    }

    /** Registers are as wide as their names say; a part of an address may be written by itself. */
    void write(int offset, int size, long value) {
        switch (offset) {
            case CHANCTRL -> setControl((int) value & 0xffff);
            case CHANCMD -> command((int) value & 0xff);
            case DMACOUNT -> setCount((int) value & COUNT_MASK);
            case CHAINADDR, CHAINADDR + 4 -> {
                chain = replaced(chain, offset - CHAINADDR, size, value);
                begin();
            }
            case CHANCMP, CHANCMP + 4 ->
                    completionAddress =
                            replaced(completionAddress, offset - CHANCMP, size, value)
                                    & COMPLETION_MASK;
            case CHANERR -> errors &= ~(int) value;
            case CHANERR_MASK -> errorMask = (int) value;
            default -> {}
        }
    }

    private static long replaced(long whole, int at, int size, long value) {
        long mask = size == Long.BYTES ? -1 : (1L << (8 * size)) - 1;
        int shift = 8 * at;
        return (whole & ~(mask << shift)) | ((value & mask) << shift);
    }

    private void setControl(int value) {
        control = value & ~CHANCTRL_INT_REARM;
        if ((value & CHANCTRL_INT_REARM) != 0) {
            isArmed = true;
            if (isInterruptPending) {
                interrupt();
            }
        }
    }

    /** Once, until the driver is ready for another one. */
    private void interrupt() {
        isInterruptPending = !isArmed;
        if (isArmed) {
            isArmed = false;
            IoatCounters.count(counters.interrupts);
            bus.interrupt();
        }
    }

    private void command(int value) {
        if ((value & CHANCMD_RESET) != 0) {
            IoatCounters.count(counters.resets);
            halt();
        } else if ((value & CHANCMD_SUSPEND) != 0) {
            if (state == STATUS_ACTIVE || state == STATUS_DONE) {
                state = STATUS_SUSPENDED;
            }
        } else if ((value & CHANCMD_RESUME) != 0 && state == STATUS_SUSPENDED) {
            go();
        }
    }

    /** A new chain; what is under way of another one ends here. */
    private void begin() {
        next = chain;
        countWanted = 0;
        countDone = 0;
        hasChain = true;
        if (state == STATUS_ACTIVE) {
            state = STATUS_DONE;
        }
    }

    private void setCount(int value) {
        countWanted = value;
        boolean mayGo = state != STATUS_HALTED || errors == 0;
        if (hasChain && mayGo) {
            go();
        }
    }

    private void go() {
        state = left() == 0 ? STATUS_DONE : STATUS_ACTIVE;
        if (state == STATUS_ACTIVE && !isTurnPosted) {
            isTurnPosted = true;
            bus.later();
        }
    }

    private int left() {
        return (countWanted - countDone) & COUNT_MASK;
    }

    /** Carries out what is wanted, some of it at a time. */
    void turn() {
        isTurnPosted = false;
        for (int i = 0; i < TURN_DESCRIPTORS && state == STATUS_ACTIVE; i++) {
            carryOut();
        }
        if (state == STATUS_ACTIVE) {
            IoatCounters.count(counters.postponed);
            isTurnPosted = true;
            bus.later();
        }
    }

    private void carryOut() {
        long at = next;
        if (at % DESCRIPTOR_SIZE != 0) {
            fail(ERROR_ALIGNMENT);
            return;
        }
        int unread = read(at, descriptor, DESCRIPTOR_SIZE, ERROR_NEXT_ADDRESS);
        if (unread != 0) {
            fail(unread);
            return;
        }
        int flags = descriptor.get(LE32, DESCRIPTOR_CONTROL);
        int failed = copy(flags);
        if (failed != 0) {
            fail(failed);
            return;
        }
        IoatCounters.count(counters.descriptors);
        lastDone = at;
        next = descriptor.get(LE64, DESCRIPTOR_NEXT);
        countDone = (countDone + 1) & COUNT_MASK;
        if (left() == 0) {
            state = STATUS_DONE;
        }
        if ((flags & CONTROL_COMPLETION) != 0 && !complete()) {
            fail(ERROR_COMPLETION_ADDRESS);
            return;
        }
        if ((flags & CONTROL_INTERRUPT) != 0) {
            interrupt();
        }
    }

    /** What the descriptor asks for; 0, or what is wrong. */
    private int copy(int flags) {
        if (flags >>> CONTROL_OPERATION_SHIFT != OPERATION_COPY) {
            return ERROR_CONTROL;
        }
        if ((flags & CONTROL_NULL) != 0) {
            return 0;
        }
        int length = descriptor.get(LE32, DESCRIPTOR_LENGTH);
        if (length <= 0 || length > COPY_BYTES) {
            return ERROR_LENGTH;
        }
        int unread =
                read(descriptor.get(LE64, DESCRIPTOR_SOURCE), data, length, ERROR_SOURCE_ADDRESS);
        if (unread != 0) {
            return unread;
        }
        Outcome written = bus.write(descriptor.get(LE64, DESCRIPTOR_DESTINATION), data, length);
        if (written != Outcome.OK) {
            return written == Outcome.FAULT ? ERROR_DESTINATION_ADDRESS : ERROR_WRITE_DATA;
        }
        IoatCounters.add(counters.bytes, length);
        return 0;
    }

    /** 0, or what is wrong: the IOMMU refuses the address, or there is no memory to read. */
    private int read(long address, MemorySegment target, long length, int refused) {
        return switch (bus.read(address, target, length)) {
            case OK -> 0;
            case FAULT -> refused;
            case ABSENT, REFUSED -> ERROR_READ_DATA;
        };
    }

    /** Writes the status where the driver looks for it. */
    private boolean complete() {
        completion.set(LE64, 0, status());
        boolean isWritten = bus.write(completionAddress, completion, Long.BYTES) == Outcome.OK;
        if (isWritten) {
            IoatCounters.count(counters.completions);
        }
        return isWritten;
    }

    private void fail(int error) {
        IoatCounters.count(counters.errors);
        errors |= error;
        state = STATUS_HALTED;
        hasChain = false;
        if ((control & CHANCTRL_ERR_COMPLETION_EN) != 0 && error != ERROR_COMPLETION_ADDRESS) {
            boolean _ = complete();
        }
        if ((control & CHANCTRL_ERR_INT_EN) != 0) {
            interrupt();
        }
    }
}
