// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * The ring in the guest's memory in which Linux writes its commands, at the moment at which all of
 * them have been carried out. Immutable; any thread.
 *
 * @param address of its first entry
 * @param entries of the ring, a power of two
 * @param entryBytes of a command
 * @param next index of the entry that is written next
 */
record CommandQueue(long address, int entries, int entryBytes, int next) {
    /** VT-d, 11.4.9.3: entries of twice the size. */
    private static final long WIDE = 1L << 11;

    private static final long VTD_ADDRESS = ~0xfffL;
    private static final int VTD_SIZE = 7;

    /** VT-d, 11.4.9.1: head and tail are offsets. */
    private static final int OFFSET_AT = 4;

    private static final int VTD_PAGE_LG2 = 8;

    /** AMD, 3.4.2: address and size. */
    private static final long AMD_ADDRESS = 0x000f_ffff_ffff_f000L;

    private static final int AMD_SIZE_AT = 56;
    private static final int AMD_SIZE = 0xf;

    /** SMMUv3, 6.3.25: address and size. */
    private static final long SMMU_ADDRESS = 0x000f_ffff_ffff_ffe0L;

    private static final int SMMU_SIZE = 0x1f;

    /** The queue that a recording's registers speak of. */
    static CommandQueue of(Recording recording) throws IOException {
        return switch (recording.subject().family()) {
            case VTD -> vtd(recording);
            case AMD -> amd(recording);
            case SMMUV3 -> smmuv3(recording);
        };
    }

    private static CommandQueue vtd(Recording recording) throws IOException {
        long base = recording.register(Subject.Register.IQA);
        int wide = (base & WIDE) == 0 ? 0 : 1;
        int offset = (int) recording.register(Subject.Register.IQT);
        return made(
                recording,
                recording.register(Subject.Register.IQH) == offset,
                new CommandQueue(
                        base & VTD_ADDRESS,
                        1 << (VTD_PAGE_LG2 + (base & VTD_SIZE) - wide),
                        16 << wide,
                        offset >> (OFFSET_AT + wide)));
    }

    private static CommandQueue amd(Recording recording) throws IOException {
        long base = recording.register(Subject.Register.COMMANDS);
        long tail = recording.register(Subject.Register.COMMAND_TAIL);
        return made(
                recording,
                recording.register(Subject.Register.COMMAND_HEAD) == tail,
                new CommandQueue(
                        base & AMD_ADDRESS,
                        1 << ((base >>> AMD_SIZE_AT) & AMD_SIZE),
                        16,
                        (int) tail >> OFFSET_AT));
    }

    private static CommandQueue smmuv3(Recording recording) throws IOException {
        long base = recording.register(Subject.Register.CMDQ_BASE);
        int entries = 1 << (base & SMMU_SIZE);
        long produced = recording.register(Subject.Register.CMDQ_PROD);
        // One bit above the index says how often it has come round, modulo two.
        long consumed = recording.register(Subject.Register.CMDQ_CONS) & (2L * entries - 1);
        return made(
                recording,
                consumed == produced,
                new CommandQueue(base & SMMU_ADDRESS, entries, 16, (int) produced & (entries - 1)));
    }

    private static CommandQueue made(Recording recording, boolean isEmpty, CommandQueue queue)
            throws IOException {
        if (!isEmpty) {
            throw new IOException(
                    "%s stopped with commands that are not carried out: %s"
                            .formatted(recording.subject().label(), recording.registers()));
        }
        return queue;
    }

    /** The commands that are still there, the oldest first. */
    List<TraceEvent.Command> commands(GuestPages pages) throws IOException {
        List<TraceEvent.Command> commands = new ArrayList<>();
        for (int i = 0; i < entries; i++) {
            long at = address + (long) ((next + i) & (entries - 1)) * entryBytes;
            TraceEvent.Command command =
                    new TraceEvent.Command(pages.word(at), pages.word(at + Long.BYTES));
            // Before the ring has come round, the rest of it is as it was made: zeros. No command
            // of any of these IOMMUs is all zeros.
            if (command.low() != 0 || command.high() != 0) {
                commands.add(command);
            }
        }
        return commands;
    }
}
