// SPDX-License-Identifier: Apache-2.0
package org.ioasis.smmuv3;

import static org.ioasis.spec.Smmuv3Command.*;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.ioasis.iommu.iotlb.CachedTranslations;
import org.ioasis.iommu.pagetable.Bits;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.InvalidationRefusal;
import org.jspecify.annotations.Nullable;

/**
 * Commands of a guest for its virtual SMMUv3, carried out where they are. The VMID that one names
 * is the guest's and counts for nothing: all that a guest takes away is its own. What only its VMM
 * may do, by calls of other kinds, is refused. One thread at a time; allocates nothing.
 */
public final class Smmuv3Commands extends Entries {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private static final int PAGE_LG2 = 12;

    /** TTL of word 1: the level of the leaf, as Arm counts, in its low bits. */
    private static final int TTL_SHIFT = 8;

    /** How the SMMU calls the stream of a device that the guest calls otherwise. */
    public interface Streams {
        /** The guest has no such device. */
        long NONE = -1;

        /**
         * @param virtual what the guest says, 32 bits unsigned
         * @return 32 bits unsigned, or {@link #NONE}
         */
        long stream(long virtual);
    }

    private final CachedTranslations translations;
    private final DeviceCaches devices;
    private final Streams streams;
    private final int vmid;

    public Smmuv3Commands(
            CachedTranslations translations, DeviceCaches devices, Streams streams, int vmid) {
        super(SIZE);
        this.translations = translations;
        this.devices = devices;
        this.streams = streams;
        this.vmid = vmid;
    }

    /** What is carried out from here to {@link #end} is carried out together. */
    void begin() {
        translations.begin();
    }

    void end() {
        translations.end();
    }

    @Override
    protected @Nullable InvalidationRefusal entry(MemorySegment entries, long offset) {
        return command(entries.get(WORD, offset), entries.get(WORD, offset + Long.BYTES));
    }

    /** Opcode of a command, by its word 0. */
    static int opcode(long word0) {
        return (int) word0 & OPCODE_MASK;
    }

    /**
     * Carries out one command.
     *
     * @return why it was not
     */
    @Nullable InvalidationRefusal command(long word0, long word1) {
        switch (opcode(word0)) {
            case CFGI_CD, CFGI_CD_ALL, ATC_INV -> {
                long stream = streams.stream(word0 >>> SID_SHIFT);
                if (stream == Streams.NONE) {
                    return InvalidationRefusal.DEVICE;
                }
                ofStream((int) stream, word0, word1);
            }
            case TLBI_NH_ALL, TLBI_NSNH_ALL -> translations.firstStage(vmid);
            case TLBI_NH_ASID -> translations.space(vmid, asid(word0));
            case TLBI_NH_VA -> {
                long first = first(word1);
                translations.range(vmid, asid(word0), first, last(word0, word1), leafLg2(word1));
            }
            case TLBI_NH_VAA -> {
                long first = first(word1);
                translations.everySpace(vmid, first, last(word0, word1), leafLg2(word1));
            }
            default -> {
                return InvalidationRefusal.COMMAND;
            }
        }
        return null;
    }

    private void ofStream(int stream, long word0, long word1) {
        int space =
                (word0 & SSV) == 0
                        ? DeviceCaches.NO_SPACE
                        : (int) (word0 >>> SSID_SHIFT) & SSID_MASK;
        switch (opcode(word0)) {
            // SSID 0 is what the stream does without one, too: SSV says nothing here.
            case CFGI_CD -> devices.context(stream, (int) (word0 >>> SSID_SHIFT) & SSID_MASK);
            case CFGI_CD_ALL -> devices.contexts(stream);
            default -> {
                int sizeLg2 = PAGE_LG2 + Math.min((int) word1 & ATC_SIZE_MASK, ATC_SIZE_ALL);
                long mask = Bits.mask(sizeLg2);
                long first = word1 & ADDRESS_MASK & ~mask;
                if ((word0 & ATC_GLOBAL) != 0) {
                    devices.forget(stream, first, first | mask);
                } else {
                    devices.forget(stream, space, first, first | mask);
                }
            }
        }
    }

    private static int asid(long word0) {
        return (int) (word0 >>> ASID_SHIFT);
    }

    private static int granuleLg2(long word1) {
        return PAGE_LG2 + 2 * (((int) (word1 >>> TG_SHIFT) & TG_MASK) - 1);
    }

    private static boolean isRange(long word1) {
        return ((word1 >>> TG_SHIFT) & TG_MASK) != 0;
    }

    private static long first(long word1) {
        long address = word1 & ADDRESS_MASK;
        return isRange(word1) ? address & -(1L << granuleLg2(word1)) : address;
    }

    /**
     * The last address: of one page, or of a range that ends with the address space at the latest.
     */
    private static long last(long word0, long word1) {
        long first = first(word1);
        if (!isRange(word1)) {
            return first;
        }
        long pages = ((word0 >>> NUM_SHIFT) & RANGE_MASK) + 1;
        int scale = (int) (word0 >>> SCALE_SHIFT) & RANGE_MASK;
        long last = first + (pages << (scale + granuleLg2(word1))) - 1;
        return Long.compareUnsigned(last, first) < 0 ? -1 : last;
    }

    /** Size of the leaf that the guest says it has changed; 0: it does not say. */
    private static int leafLg2(long word1) {
        int level = (int) (word1 >>> TTL_SHIFT) & 3;
        if (level == 0 || !isRange(word1)) {
            return 0;
        }
        int granuleLg2 = granuleLg2(word1);
        return granuleLg2 + (3 - level) * (granuleLg2 - 3);
    }
}
