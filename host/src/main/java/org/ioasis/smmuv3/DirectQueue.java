// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.ioasis.spec.Smmuv3Command.*;
import static org.ioasis.spec.Tegra241.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * One queue that a guest fills and rings by its own writes. Both are memory that the guest writes
 * whenever it likes: each register and each command is read once, how far we are we know ourselves,
 * and what is wrong stops this queue and no other, until the guest has said that it knows. Under
 * its context's lock; allocates nothing.
 */
final class DirectQueue {
    /** Most entries, as a power of two. */
    static final int ENTRIES_LG2_MAX = 19;

    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle REGISTER =
            ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    private final MemorySegment registers;
    private final MemorySegment entries;
    private final Smmuv3Commands commands;
    private final Runnable settle;

    /** Index with the bit above it that says how often the end was passed. */
    private final int positions;

    private boolean isEnabled;
    private int cons;
    private int gerror;
    private boolean hasFailed;

    /**
     * @param entries a power of two of them
     * @param settle returns when what was taken away is out of use
     */
    DirectQueue(
            MemorySegment registers,
            MemorySegment entries,
            Smmuv3Commands commands,
            Runnable settle) {
        this.registers = registers;
        this.entries = entries;
        this.commands = commands;
        this.settle = settle;
        positions = (int) (entries.byteSize() / SIZE) * 2 - 1;
        registers.fill((byte) 0);
    }

    private int load(long register) {
        return (int) REGISTER.getAcquire(registers, register);
    }

    private void store(long register, int value) {
        REGISTER.setRelease(registers, register, value);
    }

    /** Whether a command was refused since it was asked last. */
    boolean takeFailure() {
        boolean failed = hasFailed;
        hasFailed = false;
        return failed;
    }

    /**
     * Carries out what is there.
     *
     * @param most so many commands at most
     * @return how many it were
     */
    int poll(int most) {
        boolean wants = (load(CONFIG) & ENABLED) != 0;
        if (wants != isEnabled) {
            isEnabled = wants;
            cons = load(CONS) & positions;
            store(STATUS, wants ? ENABLED : 0);
        }
        if (!isEnabled || ((gerror ^ load(GERRORN)) & COMMAND_ERROR) != 0) {
            return 0;
        }
        int waiting = (load(PROD) - cons) & positions;
        if (waiting == 0) {
            return 0;
        }
        // More than the queue has entries: the guest has lost count.
        boolean isLost = waiting > (positions + 1) / 2;
        int done = 0;
        int limit = isLost ? 0 : Math.min(waiting, most);
        commands.begin();
        try {
            while (done < limit && isCarriedOut(cons)) {
                cons = (cons + 1) & positions;
                done++;
            }
        } finally {
            commands.end();
        }
        // What a guest sees as consumed has taken effect.
        settle.run();
        if (done < limit || isLost) {
            gerror ^= COMMAND_ERROR;
            hasFailed = true;
            store(CONS, cons | ERROR_ILLEGAL << CONS_ERROR_AT);
            store(GERROR, gerror);
        } else {
            store(CONS, cons);
        }
        return done;
    }

    private boolean isCarriedOut(int position) {
        long at = (long) (position & positions >>> 1) * SIZE;
        long word0 = entries.get(WORD, at);
        long word1 = entries.get(WORD, at + Long.BYTES);
        return switch (Smmuv3Commands.opcode(word0)) {
            case TLBI_NH_ASID, TLBI_NH_VA, ATC_INV -> commands.command(word0, word1) == null;
            case SYNC -> true;
            default -> false;
        };
    }
}
