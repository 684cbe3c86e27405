// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable.format;

import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommu.pagetable.EntryKind;
import org.ioasis.iommu.pagetable.Half;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.spec.ArmTable;

/**
 * ARM's 64-bit tables, stage 1 and stage 2, with granules of 4, 16 and 64 KiB (Arm Architecture
 * Reference Manual for A-profile, D8). Any thread.
 *
 * <p>ARM counts levels from the top, 3 being the lowest. Neighbouring entries with the contiguous
 * bit are one page, each with its own part of the output. Stage 2 may begin with up to sixteen
 * tables side by side instead of one level more.
 */
public final class ArmFormat extends PageTableFormat {
    private static final int ENTRY_LG2 = 3;

    /** HD: hardware says what was written; without it read only is read only. */
    public static final int MARKS_DIRTY = 1;

    /** AFFD: the access flag is not looked at. */
    public static final int IGNORES_ACCESS_FLAG = 1 << 1;

    /** TBI: bits 63:56 of an address are anybody's. */
    public static final int IGNORES_TOP_BYTE = 1 << 2;

    private static final int TOP_BYTE_AT = 56;

    private final int granuleLg2;
    private final boolean isSecondStage;
    private final long addressMask;

    // What makes a page that is read only a clean one: nothing, where nobody marks pages dirty.
    private final long modifier;
    private final long accessFlag;

    private ArmFormat(
            String name,
            int granuleLg2,
            int bits,
            int outputBits,
            int top,
            Half half,
            boolean isSecondStage,
            int traits) {
        super(
                name,
                granuleLg2,
                granuleLg2,
                bits,
                outputBits,
                top,
                top,
                half,
                (traits & IGNORES_TOP_BYTE) == 0 ? Long.SIZE : TOP_BYTE_AT);
        this.granuleLg2 = granuleLg2;
        this.isSecondStage = isSecondStage;
        this.modifier = (traits & MARKS_DIRTY) == 0 ? 0 : ArmTable.DIRTY_BIT_MODIFIER;
        this.accessFlag = (traits & IGNORES_ACCESS_FLAG) == 0 ? ArmTable.ACCESSED : 0;
        this.addressMask = Bits.mask(ArmTable.ADDRESS_BITS) & ~Bits.mask(granuleLg2);
        if (outputBits > ArmTable.ADDRESS_BITS) {
            throw new IllegalArgumentException("output of %d bits".formatted(outputBits));
        }
    }

    /**
     * Stage 1 of {@code bits} (64 less TxSZ).
     *
     * @param half LOWER for TTBR0, UPPER for TTBR1
     */
    public static ArmFormat stage1(int granuleLg2, int bits, int outputBits, Half half) {
        return stage1(granuleLg2, bits, outputBits, half, MARKS_DIRTY);
    }

    /**
     * The same as a context says.
     *
     * @param traits {@link #MARKS_DIRTY} and its neighbours
     */
    public static ArmFormat stage1(
            int granuleLg2, int bits, int outputBits, Half half, int traits) {
        return new ArmFormat(
                "arm-stage1-%dk-%d%s"
                        .formatted(
                                1 << (granuleLg2 - 10), bits, half == Half.UPPER ? "-upper" : ""),
                granuleLg2,
                bits,
                outputBits,
                top(granuleLg2, bits),
                half,
                false,
                traits);
    }

    /** Stage 2 of {@code bits}, beginning as low as concatenated tables allow. */
    public static ArmFormat stage2(int granuleLg2, int bits, int outputBits) {
        int top = top(granuleLg2, bits - ArmTable.CONCATENATED_LG2_MAX);
        return stage2(granuleLg2, bits, outputBits, top, MARKS_DIRTY);
    }

    /**
     * Stage 2 that begins where its control register says.
     *
     * @param top one that {@link #canBegin}
     */
    public static ArmFormat stage2(int granuleLg2, int bits, int outputBits, int top, int traits) {
        return new ArmFormat(
                "arm-stage2-%dk-%d".formatted(1 << (granuleLg2 - 10), bits),
                granuleLg2,
                bits,
                outputBits,
                top,
                Half.LOWER,
                true,
                traits);
    }

    /**
     * True if a stage 2 of {@code bits} can begin with tables of level {@code top}: not with a part
     * of an entry, and with sixteen side by side at most.
     */
    public static boolean canBegin(int granuleLg2, int bits, int top) {
        int indexLg2 = granuleLg2 - ENTRY_LG2;
        int itemLg2 = granuleLg2 + indexLg2 * top;
        return top >= 0
                && bits > itemLg2
                && bits <= itemLg2 + indexLg2 + ArmTable.CONCATENATED_LG2_MAX;
    }

    private static int top(int granuleLg2, int bits) {
        return (bits - granuleLg2 - 1) / (granuleLg2 - ENTRY_LG2);
    }

    /** Largest level of blocks: 1 GiB with 4 KiB, else the one above pages. */
    private int blockLevel() {
        return granuleLg2 == 12 ? 2 : 1;
    }

    /** Items that the contiguous bit joins, as a power of two. */
    private int joinedLg2(int level) {
        return switch (granuleLg2) {
            case 12 -> 4;
            case 14 -> level == 0 ? 7 : 5;
            default -> 5;
        };
    }

    @Override
    public long pageSizes(int level) {
        if (level > blockLevel()) {
            return 0;
        }
        return (1L << itemLg2(level)) | (1L << (itemLg2(level) + joinedLg2(level)));
    }

    @Override
    public EntryKind kind(long entry, int level) {
        if ((entry & ArmTable.VALID) == 0) {
            return EntryKind.EMPTY;
        }
        boolean isTableOrPage = (entry & ArmTable.TYPE_MASK) == ArmTable.TABLE_OR_PAGE;
        if (level == 0) {
            return isTableOrPage ? EntryKind.LEAF : EntryKind.INVALID;
        }
        if (isTableOrPage) {
            return EntryKind.TABLE;
        }
        return level <= blockLevel() ? EntryKind.LEAF : EntryKind.INVALID;
    }

    @Override
    public long table(long entry, int level) {
        return entry & addressMask;
    }

    @Override
    public int leafLg2(long entry, int level) {
        return itemLg2(level) + ((entry & ArmTable.CONTIGUOUS) == 0 ? 0 : joinedLg2(level));
    }

    @Override
    public long output(long entry, int level) {
        return entry & addressMask & ~Bits.mask(leafLg2(entry, level));
    }

    @Override
    public int rights(long entry, int level) {
        boolean isTable = level > 0 && (entry & ArmTable.TYPE_MASK) == ArmTable.TABLE_OR_PAGE;
        if (isSecondStage) {
            return isTable ? Rights.ALL : secondStageRights(entry);
        }
        return isTable ? belowTable(entry) : firstStageRights(entry);
    }

    private static int belowTable(long entry) {
        return Rights.READ
                | ((entry & ArmTable.AP_TABLE_READ_ONLY) == 0 ? Rights.WRITE : 0)
                | ((entry & ArmTable.AP_TABLE_NO_UNPRIVILEGED) == 0 ? Rights.USER : 0)
                | ((entry & ArmTable.XN_TABLE) == 0 ? Rights.EXECUTE : 0);
    }

    private int firstStageRights(long entry) {
        // Read only with the modifier is writable and clean.
        boolean canWrite = (entry & ArmTable.AP_READ_ONLY) == 0 || (entry & modifier) != 0;
        return Rights.READ
                | (canWrite ? Rights.WRITE : 0)
                | ((entry & ArmTable.AP_UNPRIVILEGED) == 0 ? 0 : Rights.USER)
                | ((entry & ArmTable.EXECUTE_NEVER) == 0 ? Rights.EXECUTE : 0);
    }

    private int secondStageRights(long entry) {
        boolean canWrite = (entry & (ArmTable.S2AP_WRITE | modifier)) != 0;
        return Rights.USER
                | ((entry & ArmTable.S2AP_READ) == 0 ? 0 : Rights.READ)
                | (canWrite ? Rights.WRITE : 0)
                | ((entry & ArmTable.EXECUTE_NEVER) == 0 ? Rights.EXECUTE : 0);
    }

    @Override
    protected long addressBits() {
        return addressMask;
    }

    @Override
    protected long tableBits(int level) {
        long forbidding =
                isSecondStage
                        ? 0
                        : ArmTable.AP_TABLE_READ_ONLY
                                | ArmTable.AP_TABLE_NO_UNPRIVILEGED
                                | ArmTable.XN_TABLE;
        return ArmTable.TYPE_MASK | forbidding | reserved();
    }

    @Override
    protected long pageBits(int level) {
        return level <= blockLevel()
                ? ArmTable.TYPE_MASK | ArmTable.CONTIGUOUS | accessFlag | reserved()
                : 0;
    }

    private long reserved() {
        return addressMask & ~Bits.mask(outputBits());
    }

    @Override
    public long tableEntry(long address, int level) {
        return ArmTable.TABLE_OR_PAGE | address;
    }

    @Override
    public long leafEntry(long output, int level, int sizeLg2, long attributes, int item) {
        long entry =
                output
                        | ((long) item << itemLg2(level))
                        | attributes
                        | (level == 0 ? ArmTable.TABLE_OR_PAGE : ArmTable.VALID);
        return sizeLg2 == itemLg2(level) ? entry : entry | ArmTable.CONTIGUOUS;
    }

    @Override
    public long attributes(int rights) {
        long common = ArmTable.ACCESSED | ArmTable.SHARE_INNER;
        boolean canWrite = (rights & Rights.WRITE) != 0;
        long dirty = canWrite ? ArmTable.DIRTY_BIT_MODIFIER : 0;
        long never = (rights & Rights.EXECUTE) == 0 ? ArmTable.EXECUTE_NEVER : 0;
        if (isSecondStage) {
            return common
                    | ArmTable.MEM_ATTR_WRITE_BACK
                    | never
                    | dirty
                    | ((rights & Rights.READ) == 0 ? 0 : ArmTable.S2AP_READ);
        }
        // A page of stage 1 can always be read; one that may be written begins clean.
        return common
                | ArmTable.ATTR_INDEX_WRITE_BACK
                | ArmTable.NOT_GLOBAL
                | ArmTable.AP_READ_ONLY
                | never
                | dirty
                | ((rights & Rights.USER) == 0 ? 0 : ArmTable.AP_UNPRIVILEGED);
    }

    @Override
    public long attributesOf(long entry, int level) {
        return entry & ~(addressMask | ArmTable.TYPE_MASK | ArmTable.CONTIGUOUS);
    }

    @Override
    public long marked(long entry, EntryKind kind, boolean isWrite) {
        if (kind != EntryKind.LEAF) {
            return entry;
        }
        long marked = entry | ArmTable.ACCESSED;
        // Where nobody marks pages dirty, one that is written was writable as it is.
        if (!isWrite || modifier == 0) {
            return marked;
        }
        return isSecondStage ? marked | ArmTable.S2AP_WRITE : marked & ~ArmTable.AP_READ_ONLY;
    }

    @Override
    public boolean isUnaccessed(long entry) {
        return (entry & accessFlag) != accessFlag;
    }

    @Override
    public boolean isGlobal(long entry) {
        return !isSecondStage && (entry & ArmTable.NOT_GLOBAL) == 0;
    }

    @Override
    public boolean tracksDirty() {
        return true;
    }

    @Override
    public boolean isDirty(long entry) {
        return (entry & ArmTable.DIRTY_BIT_MODIFIER) != 0
                && (isSecondStage
                        ? (entry & ArmTable.S2AP_WRITE) != 0
                        : (entry & ArmTable.AP_READ_ONLY) == 0);
    }

    @Override
    public long clean(long entry) {
        return isSecondStage ? entry & ~ArmTable.S2AP_WRITE : entry | ArmTable.AP_READ_ONLY;
    }
}
