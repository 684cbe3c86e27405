// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Which system calls of a program come to us before the kernel carries them out: a seccomp(2)
 * filter in classic BPF. It sees numbers and never what a pointer points to. Immutable; any thread.
 *
 * <p>A call of another architecture (a 32-bit program, or the x32 numbers) is let pass: its numbers
 * mean something else, and the kernel answers it as it would without us.
 */
public final class CallFilter {
    // struct seccomp_data (linux/seccomp.h): where the filter loads from.
    static final int DATA_NUMBER = 0;
    static final int DATA_ARCHITECTURE = 4;
    static final int DATA_ARGUMENTS = 16;

    /** AUDIT_ARCH_X86_64 (linux/audit.h). */
    static final int ARCHITECTURE = 0xc000_003e;

    static final int RET_ALLOW = 0x7fff_0000;
    static final int RET_USER_NOTIF = 0x7fc0_0000;

    // linux/bpf_common.h and linux/filter.h: class, size, mode and operation together.
    static final int LOAD = 0x20;
    static final int AND = 0x54;
    static final int IF_EQUAL = 0x15;
    static final int IF_GREATER = 0x25;
    static final int IF_AT_LEAST = 0x35;
    static final int RETURN = 0x06;

    private static final int ARGUMENTS = 6;
    private static final int SIZEOF_SOCK_FILTER = 8;
    private static final int SIZEOF_SOCK_FPROG = 16;

    /** BPF_MAXINSNS (linux/bpf_common.h). */
    private static final int INSTRUCTIONS_MAX = 4096;

    /** {@code struct sock_filter}: jumps count the instructions that are left out. */
    record Instruction(int code, int ifTrue, int ifFalse, int operand) {}

    private final List<Instruction> instructions;

    private CallFilter(List<Instruction> instructions) {
        this.instructions = List.copyOf(instructions);
    }

    /** Begins with a filter that lets everything pass. */
    public static Builder builder() {
        return new Builder();
    }

    List<Instruction> instructions() {
        return instructions;
    }

    /** As {@code struct sock_fprog}, both parts in memory of {@code arena}. */
    MemorySegment program(Arena arena) {
        MemorySegment code =
                arena.allocate((long) SIZEOF_SOCK_FILTER * instructions.size(), Long.BYTES);
        for (int i = 0; i < instructions.size(); i++) {
            Instruction instruction = instructions.get(i);
            long at = (long) SIZEOF_SOCK_FILTER * i;
            code.set(JAVA_SHORT, at, (short) instruction.code());
            code.set(JAVA_BYTE, at + 2, (byte) instruction.ifTrue());
            code.set(JAVA_BYTE, at + 3, (byte) instruction.ifFalse());
            code.set(JAVA_INT, at + 4, instruction.operand());
        }
        MemorySegment program = arena.allocate(SIZEOF_SOCK_FPROG, Long.BYTES);
        program.set(JAVA_SHORT, 0, (short) instructions.size());
        program.set(ADDRESS, 8, code);
        return program;
    }

    /** Collects the calls. One thread. */
    public static final class Builder {
        private final List<Instruction> instructions = new ArrayList<>();
        private final Set<Integer> calls = new HashSet<>();

        private Builder() {
            add(LOAD, 0, 0, DATA_ARCHITECTURE);
            add(IF_EQUAL, 1, 0, ARCHITECTURE);
            add(RETURN, 0, 0, RET_ALLOW);
            add(LOAD, 0, 0, DATA_NUMBER);
        }

        /** Every such call comes to us. */
        public Builder always(int call) {
            begin(call, 1);
            add(RETURN, 0, 0, RET_USER_NOTIF);
            return this;
        }

        /** Those come whose argument, taken as 32 bits without sign, is in {@code first..last}. */
        public Builder inRange(int call, int argument, int first, int last) {
            if (Integer.compareUnsigned(first, last) > 0) {
                throw new IllegalArgumentException("range " + first + ".." + last);
            }
            begin(call, 5);
            add(LOAD, 0, 0, argument(argument));
            add(IF_AT_LEAST, 0, 2, first);
            add(IF_GREATER, 1, 0, last);
            add(RETURN, 0, 0, RET_USER_NOTIF);
            add(RETURN, 0, 0, RET_ALLOW);
            return this;
        }

        /**
         * Those come whose argument has {@code value} in the bits of {@code mask} (32 bits), or is
         * {@code other}.
         */
        public Builder maskedOr(int call, int argument, int mask, int value, int other) {
            begin(call, 6);
            add(LOAD, 0, 0, argument(argument));
            add(IF_EQUAL, 2, 0, other);
            add(AND, 0, 0, mask);
            add(IF_EQUAL, 0, 1, value);
            add(RETURN, 0, 0, RET_USER_NOTIF);
            add(RETURN, 0, 0, RET_ALLOW);
            return this;
        }

        public CallFilter build() {
            List<Instruction> whole = new ArrayList<>(instructions);
            whole.add(new Instruction(RETURN, 0, 0, RET_ALLOW));
            if (whole.size() > INSTRUCTIONS_MAX) {
                throw new IllegalStateException("a filter of " + whole.size() + " instructions");
            }
            return new CallFilter(whole);
        }

        /** The number is loaded; the rule's own instructions are left out for other calls. */
        private void begin(int call, int length) {
            if (!calls.add(call)) {
                throw new IllegalArgumentException("call " + call + " has a rule already");
            }
            add(IF_EQUAL, 0, length, call);
        }

        /** The low half of an argument, which comes first on this machine. */
        private static int argument(int index) {
            if (index < 0 || index >= ARGUMENTS) {
                throw new IllegalArgumentException("argument " + index);
            }
            return DATA_ARGUMENTS + Long.BYTES * index;
        }

        private void add(int code, int ifTrue, int ifFalse, int operand) {
            instructions.add(new Instruction(code, ifTrue, ifFalse, operand));
        }
    }
}
