// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommu.HandedTable;
import org.ioasis.iommu.LpaeTables;
import org.ioasis.iommu.SmmuContexts;
import org.ioasis.iommu.VtdTable;

/**
 * What a read through ARM's tables and context descriptors finds, word by word, as far as it is
 * plain: four levels of 4 KiB for low addresses, descriptors in a row. One thread.
 */
final class ArmTableModel {
    /** Nothing is found. */
    static final long NONE = -1;

    /** Not as plain as that. */
    static final long UNKNOWN = -2;

    private static final long ADDRESS = 0x0000_ffff_ffff_f000L;
    private static final long CD = 1L << 41 | 5L << 32 | 1L << 31 | 16;

    /** Of a descriptor, what the model does not look at: the space, and that there is no TTB1. */
    private static final long CD_FREE = 0xffff_0000_4000_0000L;

    private static final long CD_EPD0 = 1 << 14;
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment memory;
    private final long base;

    /**
     * @param memory at {@code base}
     */
    ArmTableModel(MemorySegment memory, long base) {
        this.memory = memory;
        this.base = base;
    }

    /**
     * @param pasid -1 for none
     */
    long read(HandedTable table, int pasid, long iova) {
        return switch (table) {
            case VtdTable _ -> UNKNOWN;
            case LpaeTables lpae ->
                    pasid >= 0
                            ? NONE
                            : lpae.tcr() == GuestArmTable.LOW_ONLY
                                    ? walk(lpae.ttbr0(), iova)
                                    : UNKNOWN;
            case SmmuContexts contexts -> read(contexts, pasid, iova);
        };
    }

    private long read(SmmuContexts contexts, int pasid, long iova) {
        if (contexts.format() != 0) {
            return UNKNOWN;
        }
        boolean isZeroTaken = contexts.pasidBits() != 0 && contexts.withoutPasid() == 2;
        if (pasid >= 0) {
            return pasid >>> contexts.pasidBits() != 0
                            || contexts.pasidBits() == 0
                            || (pasid == 0 && isZeroTaken)
                    ? NONE
                    : readBy(contexts.contexts() + pasid * 64L, iova);
        }
        if (contexts.pasidBits() == 0 || isZeroTaken) {
            return readBy(contexts.contexts(), iova);
        }
        return contexts.withoutPasid() == 1 ? iova : NONE;
    }

    private long readBy(long descriptor, long iova) {
        if (!has(descriptor)) {
            return NONE;
        }
        long word0 = get(descriptor);
        long word1 = get(descriptor + 8);
        if ((word0 & 1L << 31) == 0) {
            return NONE;
        }
        if ((word0 & ~(CD_FREE | CD_EPD0)) != CD) {
            return UNKNOWN;
        }
        boolean isTable = (word0 & CD_EPD0) == 0 && (word1 & 0x000f_0000_0000_0000L) == 0;
        return isTable ? walk(word1 & ADDRESS, iova) : NONE;
    }

    private boolean has(long gpa) {
        return gpa >= base && gpa - base <= memory.byteSize() - 16;
    }

    private long get(long gpa) {
        return memory.get(LE64, gpa - base);
    }

    private long walk(long root, long iova) {
        if (iova >>> 48 != 0) {
            return NONE;
        }
        long table = root;
        boolean isUsers = true;
        for (int level = 3; ; level--) {
            int shift = 12 + 9 * level;
            long at = table + (iova >>> shift & 0x1ff) * 8;
            if (!has(at)) {
                return NONE;
            }
            long entry = get(at);
            boolean isTableOrPage = (entry & 2) != 0;
            if ((entry & 1) == 0 || (!isTableOrPage && (level == 3 || level == 0))) {
                return NONE;
            }
            if (isTableOrPage && level > 0) {
                isUsers &= (entry & 1L << 61) == 0;
                table = entry & ADDRESS;
                continue;
            }
            boolean isAllowed = isUsers && (entry & 1 << 10) != 0 && (entry & 1 << 6) != 0;
            long mask = (1L << shift) - 1;
            return isAllowed ? (entry & ADDRESS & ~mask) | (iova & mask) : NONE;
        }
    }
}
