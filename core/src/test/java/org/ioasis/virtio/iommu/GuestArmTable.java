// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.ioasis.spec.VirtioIommuTables;

/**
 * A page table of a guest's in its memory in ARM's 64-bit format, and the requests that hand such
 * tables over, alone or behind context descriptors. Tables are taken from a piece of memory one
 * after the other. One thread.
 */
final class GuestArmTable {
    static final long PAGE = 0x1000;

    /** A page that was accessed, a user's, of this space alone. */
    static final long READ_WRITE = 3 | 1 << 10 | 1 << 6 | 1 << 11;

    static final long READ_ONLY = READ_WRITE | 1 << 7;

    /** The same for all spaces. */
    static final long GLOBAL = READ_WRITE & ~(1 << 11);

    /** Four levels of 4 KiB for low addresses, and as many for high ones; outputs of 48 bits. */
    static final long TCR = 16 | 16 << 16 | 2L << 30 | 5L << 32;

    /** There is no table of high addresses. */
    static final long LOW_ONLY = TCR | 1 << 23;

    /** A descriptor: AA64, outputs of 48 bits, valid, four levels of 4 KiB, no table above. */
    private static final long CD = 1L << 41 | 5L << 32 | 1L << 31 | 1L << 30 | 16;

    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment memory;
    private final long base;
    private final int granuleLg2;
    private final int top;
    private final int bits;
    private long next;
    private final long root;

    /** Four levels of 4 KiB. */
    GuestArmTable(MemorySegment memory, long base, long from) {
        this(memory, base, from, 12, 48);
    }

    /**
     * @param memory at {@code base}
     * @param from where tables are taken from
     * @param bits of an address
     */
    GuestArmTable(MemorySegment memory, long base, long from, int granuleLg2, int bits) {
        this.memory = memory;
        this.base = base;
        this.granuleLg2 = granuleLg2;
        this.bits = bits;
        this.next = from;
        top = (bits - granuleLg2 - 1) / (granuleLg2 - 3);
        root = take();
    }

    long root() {
        return root;
    }

    /** A table of zeroes. */
    long take() {
        long size = 1L << granuleLg2;
        long table = next;
        next += size;
        memory.asSlice(table - base, size).fill((byte) 0);
        return table;
    }

    long get(long gpa) {
        return memory.get(LE64, gpa - base);
    }

    void set(long gpa, long word) {
        memory.set(LE64, gpa - base, word);
    }

    /** Where the entry of a level is, 0 the lowest; tables are made on the way. */
    long entry(long iova, int level) {
        long offset = iova & ((1L << bits) - 1);
        long table = root;
        for (int at = top; ; at--) {
            long index = offset >>> (granuleLg2 + (granuleLg2 - 3) * at);
            long entry = table + (index & ((1L << (granuleLg2 - 3)) - 1)) * 8;
            if (at == level) {
                return entry;
            }
            if (get(entry) == 0) {
                set(entry, take() | 3);
            }
            table = get(entry) & 0x0000_ffff_ffff_f000L;
        }
    }

    /** Leads a page somewhere, with these flags; flags of 0 lead nowhere. */
    void map(long iova, long output, long flags) {
        set(entry(iova, 0), flags == 0 ? 0 : output | flags);
    }

    // --- context descriptors

    /** Writes the descriptor of a PASID into a linear table. */
    void describe(long contexts, int pasid, int asid) {
        describe(contexts, pasid, CD | (long) asid << 48, root);
    }

    /** Writes the first two words of one. */
    void describe(long contexts, int pasid, long word0, long word1) {
        set(contexts + pasid * 64L + 8, word1);
        set(contexts + pasid * 64L, word0);
    }

    // --- requests

    /** As a space of low addresses alone. */
    byte[] attach(int endpoint, int domain, int asid) {
        return lpae(endpoint, domain, asid, LOW_ONLY, root, 0);
    }

    static byte[] lpae(int endpoint, int domain, int asid, long tcr, long ttbr0, long ttbr1) {
        byte[] request =
                Driver.request(
                        VirtioIommuTables.T_ATTACH_TABLE,
                        domain,
                        endpoint,
                        VirtioIommuTables.FORMAT_ARM_LPAE | asid << 16,
                        tcr,
                        ttbr0,
                        ttbr1,
                        0xff44_0c04L);
        return Arrays.copyOf(request, VirtioIommuTables.ATTACH_TAIL);
    }

    /**
     * @param pasidBits of PASIDs that have a descriptor
     */
    static byte[] contexts(
            int endpoint, int domain, int format, int withoutPasid, long contexts, long pasidBits) {
        byte[] request =
                Driver.request(
                        VirtioIommuTables.T_ATTACH_TABLE,
                        domain,
                        endpoint,
                        VirtioIommuTables.FORMAT_ARM_SMMUV3 | format << 16 | withoutPasid << 24,
                        contexts,
                        pasidBits);
        return Arrays.copyOf(request, VirtioIommuTables.ATTACH_TAIL);
    }

    /** INVALIDATE of all of a space. */
    static byte[] invalidateSpace(int domain, long asid) {
        return invalidate(2 | VirtioIommuTables.TYPE_IOTLB << 16, 2, domain, 0, asid, 0, 0, 0);
    }

    /** INVALIDATE of pages of 4 KiB of a space. */
    static byte[] invalidate(int domain, long asid, long first, long pages) {
        return invalidate(
                4 | VirtioIommuTables.TYPE_IOTLB << 16, 2, domain, 0, asid, first, pages, 12);
    }

    /** INVALIDATE of the descriptor of a PASID. */
    static byte[] invalidateContext(int domain, int pasid) {
        return invalidate(
                2 | VirtioIommuTables.TYPE_PASID_CACHE << 16, 1, domain, pasid, 0, 0, 0, 0);
    }

    static byte[] invalidate(
            int what,
            int flags,
            int domain,
            int pasid,
            long asid,
            long first,
            long pages,
            int granule) {
        byte[] request =
                Driver.request(
                        VirtioIommuTables.T_INVALIDATE,
                        what,
                        flags,
                        domain,
                        pasid,
                        0,
                        asid,
                        first,
                        pages,
                        granule);
        return Arrays.copyOf(request, VirtioIommuTables.INVALIDATE_TAIL);
    }
}
