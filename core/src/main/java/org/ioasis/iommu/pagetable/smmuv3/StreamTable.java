// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.smmuv3;

import org.ioasis.iommu.pagetable.AddressSpace;
import org.ioasis.iommu.pagetable.BehindStage;
import org.ioasis.iommu.pagetable.ContextAnswer;
import org.ioasis.iommu.pagetable.EntryWords;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.Stage;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.SmmuTables;
import org.jspecify.annotations.Nullable;

/**
 * The stream table of an SMMUv3 (3.3), linear or of two levels, and the context descriptors behind
 * its entries. Whoever wrote them is not believed: each word is read once, every index is checked
 * against the size that was said before, and a look reads four entries at most. One thread.
 */
public final class StreamTable {
    /** A request without a substream. */
    public static final int NO_SSID = -1;

    private static final int STE_WORDS = 4;
    private static final int CD_WORDS = 2;

    private final TableAccess memory;
    private final long base;
    private final boolean isTwoLevel;
    private final int sizeLg2;
    private final int splitLg2;
    private final int outputBits;
    private final EntryWords words = new EntryWords();

    private StreamTable(
            TableAccess memory,
            long base,
            boolean isTwoLevel,
            int sizeLg2,
            int splitLg2,
            int outputBits) {
        this.memory = memory;
        this.base = base;
        this.isTwoLevel = isTwoLevel;
        this.sizeLg2 = sizeLg2;
        this.splitLg2 = splitLg2;
        this.outputBits = outputBits;
    }

    /**
     * The table that the SMMU's registers name (6.3.24, 6.3.25).
     *
     * @param strtabBase SMMU_STRTAB_BASE
     * @param strtabBaseCfg SMMU_STRTAB_BASE_CFG
     * @param outputBits that the SMMU has
     */
    public static StreamTable of(
            TableAccess memory, long strtabBase, long strtabBaseCfg, int outputBits) {
        int form = (int) (strtabBaseCfg >>> SmmuTables.CFG_FORMAT_AT & SmmuTables.CFG_FORMAT_MASK);
        int split = (int) (strtabBaseCfg >>> SmmuTables.CFG_SPLIT_AT & SmmuTables.CFG_SPLIT_MASK);
        boolean isTwoLevel = form == SmmuTables.FORMAT_TWO_LEVEL;
        // A reserved split is taken as the smallest.
        int splitLg2 =
                split == SmmuTables.SPLIT_16K || split == SmmuTables.SPLIT_64K
                        ? split
                        : SmmuTables.SPLIT_4K;
        int sizeLg2 =
                Math.min(
                        (int) (strtabBaseCfg & SmmuTables.CFG_LOG2SIZE), SmmuTables.STREAM_ID_BITS);
        // The base is aligned to the size of what lies there.
        int bytesLg2 =
                isTwoLevel
                        ? sizeLg2 - splitLg2 + SmmuTables.L1STD_LG2
                        : sizeLg2 + SmmuTables.STE_LG2;
        long base =
                strtabBase
                        & SmmuTables.BASE_ADDRESS
                        & -(1L << Math.max(bytesLg2, SmmuTables.STE_LG2));
        return new StreamTable(memory, base, isTwoLevel, sizeLg2, splitLg2, outputBits);
    }

    /**
     * What requests of a stream go through.
     *
     * @param sid 32-bit unsigned
     * @param ssid of a request with a substream, or {@link #NO_SSID}
     */
    public ContextAnswer<StreamRefusal> find(int sid, int ssid) {
        long stream = Integer.toUnsignedLong(sid);
        if (stream >>> sizeLg2 != 0) {
            return ContextAnswer.refused(StreamRefusal.BAD_STREAM_ID, base);
        }
        long at = base + (stream << SmmuTables.STE_LG2);
        if (isTwoLevel) {
            long above = base + (stream >>> splitLg2 << SmmuTables.L1STD_LG2);
            if (words.read(memory, above, 1) != Outcome.OK) {
                return ContextAnswer.refused(StreamRefusal.STE_FETCH, above);
            }
            // Span n: the first 2^(n-1) entries of the second level are there; 0: none.
            int span = (int) (words.word(0) & SmmuTables.L1STD_SPAN);
            long within = stream & ((1L << splitLg2) - 1);
            if (span == 0 || span > splitLg2 + 1 || within >>> (span - 1) != 0) {
                return ContextAnswer.refused(StreamRefusal.BAD_STREAM_ID, above);
            }
            int bytesLg2 = span - 1 + SmmuTables.STE_LG2;
            at =
                    (words.word(0) & SmmuTables.L1STD_L2PTR & -(1L << bytesLg2))
                            + (within << SmmuTables.STE_LG2);
        }
        if (words.read(memory, at, STE_WORDS) != Outcome.OK) {
            return ContextAnswer.refused(StreamRefusal.STE_FETCH, at);
        }
        StreamEntry entry =
                new StreamEntry(words.word(0), words.word(1), words.word(2), words.word(3));
        return find(entry, at, ssid);
    }

    /**
     * What requests of a stream go through whose entry came by a call: its stage 1, at addresses
     * that somebody else translates.
     *
     * @param memory at those addresses
     * @param entry with stage 1
     * @param outputBits of those addresses
     */
    public static ContextAnswer<StreamRefusal> findStage1(
            TableAccess memory, StreamEntry entry, int ssid, int outputBits) {
        return new StreamTable(memory, 0, false, 0, 0, outputBits)
                .findContext(entry, 0, ssid, null);
    }

    private ContextAnswer<StreamRefusal> find(StreamEntry entry, long at, int ssid) {
        if (!entry.isLegal()) {
            return ContextAnswer.refused(StreamRefusal.BAD_STE, at);
        }
        if (entry.config() == SmmuTables.CONFIG_ABORT) {
            return ContextAnswer.refused(StreamRefusal.ABORT, at);
        }
        Stage second = null;
        if (entry.hasStage2()) {
            second = entry.stage2(outputBits);
            if (second == null) {
                return ContextAnswer.refused(StreamRefusal.BAD_STE, at);
            }
        }
        if (!entry.hasStage1()) {
            return ssid == NO_SSID
                    ? ContextAnswer.of(space(null, second, entry, 0), at)
                    : ContextAnswer.refused(StreamRefusal.BAD_SUBSTREAM_ID, at);
        }
        return findContext(entry, at, ssid, second);
    }

    /** Which descriptor, if any (5.2, S1DSS). */
    private ContextAnswer<StreamRefusal> findContext(
            StreamEntry entry, long at, int ssid, @Nullable Stage second) {
        int contextsLg2 = entry.contextsLg2();
        int index = ssid;
        if (ssid != NO_SSID) {
            if (contextsLg2 == 0 || ssid >>> contextsLg2 != 0) {
                return ContextAnswer.refused(StreamRefusal.BAD_SUBSTREAM_ID, at);
            }
            if (ssid == 0 && entry.withoutSubstream() == SmmuTables.S1DSS_SUBSTREAM0) {
                return ContextAnswer.refused(StreamRefusal.STREAM_DISABLED, at);
            }
        } else {
            index = 0;
            if (contextsLg2 != 0 && entry.withoutSubstream() == SmmuTables.S1DSS_TERMINATE) {
                return ContextAnswer.refused(StreamRefusal.STREAM_DISABLED, at);
            }
            if (contextsLg2 != 0 && entry.withoutSubstream() == SmmuTables.S1DSS_BYPASS) {
                return ContextAnswer.of(space(null, second, entry, 0), at);
            }
        }
        BehindStage behind = second == null ? null : new BehindStage(second, memory);
        TableAccess tables = behind == null ? memory : behind;
        long cd = entry.contexts();
        if (contextsLg2 == 0 || entry.contextFormat() == SmmuTables.S1FMT_LINEAR) {
            cd += (long) index << SmmuTables.CD_LG2;
        } else {
            int leafLg2 =
                    entry.contextFormat() == SmmuTables.S1FMT_4K
                            ? SmmuTables.CDS_4K
                            : SmmuTables.CDS_64K;
            long above = cd + ((long) (index >>> leafLg2) << SmmuTables.L1CD_LG2);
            if (words.read(tables, above, 1) != Outcome.OK) {
                return ContextAnswer.refused(unreadable(behind), above);
            }
            if ((words.word(0) & SmmuTables.L1CD_VALID) == 0) {
                return ContextAnswer.refused(StreamRefusal.BAD_SUBSTREAM_ID, above);
            }
            long within = index & ((1L << leafLg2) - 1);
            cd = (words.word(0) & SmmuTables.L1CD_L2PTR) + (within << SmmuTables.CD_LG2);
        }
        if (words.read(tables, cd, CD_WORDS) != Outcome.OK) {
            return ContextAnswer.refused(unreadable(behind), cd);
        }
        ContextDescriptor context = new ContextDescriptor(words.word(0), words.word(1));
        // An address between the stages has as many bits as the second takes.
        int bits = second == null ? outputBits : second.format().inputBits();
        Stage first = context.stage1(bits);
        if (first == null) {
            return ContextAnswer.refused(StreamRefusal.BAD_CD, cd);
        }
        return context.isDisabled()
                ? ContextAnswer.refused(StreamRefusal.TRANSLATION, cd)
                : ContextAnswer.of(space(first, second, entry, context.asid()), cd);
    }

    private static StreamRefusal unreadable(@Nullable BehindStage behind) {
        return behind != null && behind.isRefused()
                ? StreamRefusal.CD_BEHIND_STAGE2
                : StreamRefusal.CD_FETCH;
    }

    private static AddressSpace space(
            @Nullable Stage first, @Nullable Stage second, StreamEntry entry, int asid) {
        int vmid = second == null ? 0 : entry.vmid();
        return new AddressSpace(first, second, vmid, asid, Rights.ALL);
    }
}
