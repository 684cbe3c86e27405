// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.ioasis.spec.VirtioIommuTables;

/**
 * A page table of a guest's in its memory, four levels of a VT-d first level, and the requests that
 * hand it over. Tables are taken from a piece of memory one after the other. One thread.
 */
final class GuestTable {
    static final long PAGE = 0x1000;

    /** Present, for writing too, a user's. */
    static final long READ_WRITE = 7;

    static final long READ_ONLY = 5;
    static final long ACCESSED = 1 << 5;
    static final long DIRTY = 1 << 6;
    static final int LEVELS = 4;
    private static final long ADDRESS = 0x000f_ffff_ffff_f000L;
    private static final ValueLayout.OfLong LE64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment memory;
    private final long base;
    private long next;
    private final long root;

    /**
     * @param memory at {@code base}
     * @param from where tables are taken from
     */
    GuestTable(MemorySegment memory, long base, long from) {
        this.memory = memory;
        this.base = base;
        this.next = from;
        root = take();
    }

    long root() {
        return root;
    }

    /** A page of zeroes. */
    long take() {
        long page = next;
        next += PAGE;
        memory.asSlice(page - base, PAGE).fill((byte) 0);
        return page;
    }

    long get(long gpa) {
        return memory.get(LE64, gpa - base);
    }

    void set(long gpa, long word) {
        memory.set(LE64, gpa - base, word);
    }

    /** Where the entry of a level is, 0 the lowest; tables are made on the way. */
    long entry(long iova, int level) {
        long table = root;
        for (int at = LEVELS - 1; ; at--) {
            long entry = table + (iova >>> (12 + 9 * at) & 0x1ff) * 8;
            if (at == level) {
                return entry;
            }
            if (get(entry) == 0) {
                set(entry, take() | READ_WRITE);
            }
            table = get(entry) & ADDRESS;
        }
    }

    /** Leads a page somewhere, with these flags; flags of 0 lead nowhere. */
    void map(long iova, long output, long flags) {
        set(entry(iova, 0), flags == 0 ? 0 : output | flags);
    }

    // --- requests

    byte[] attach(int endpoint, int domain) {
        return attach(endpoint, domain, -1);
    }

    byte[] attach(int endpoint, int domain, int pasid) {
        return attach(endpoint, domain, pasid, root, 0, 48);
    }

    static byte[] attach(int endpoint, int domain, int pasid, long root, long flags, int width) {
        byte[] request =
                Driver.request(
                        VirtioIommuTables.T_ATTACH_TABLE,
                        domain,
                        endpoint,
                        pasid < 0 ? 0 : VirtioIommuTables.ATTACH_HAS_PASID,
                        VirtioIommuTables.FORMAT_VTD_FIRST_LEVEL,
                        Math.max(0, pasid),
                        root,
                        flags,
                        width);
        return Arrays.copyOf(request, VirtioIommuTables.ATTACH_TAIL);
    }

    /** Of pages of 4 KiB. */
    static byte[] invalidate(int domain, long first, long pages) {
        return invalidate(
                VirtioIommuTables.GRANULARITY_VA | VirtioIommuTables.TYPE_IOTLB << 16,
                0,
                domain,
                0,
                first,
                pages,
                12);
    }

    /** Of a whole domain. */
    static byte[] invalidate(int domain) {
        return invalidate(
                VirtioIommuTables.GRANULARITY_DOMAIN | VirtioIommuTables.TYPE_IOTLB << 16,
                0,
                domain,
                0,
                0,
                0,
                0);
    }

    static byte[] invalidate(
            int what, int flags, int domain, int pasid, long first, long pages, int granule) {
        byte[] request =
                Driver.request(
                        VirtioIommuTables.T_INVALIDATE,
                        what,
                        flags,
                        domain,
                        pasid,
                        0,
                        0L,
                        first,
                        pages,
                        granule);
        return Arrays.copyOf(request, VirtioIommuTables.INVALIDATE_TAIL);
    }

    static byte[] respond(int endpoint, int pasid, int group, int code) {
        byte[] request =
                Driver.request(
                        VirtioIommuTables.T_PAGE_RESPONSE,
                        0,
                        endpoint,
                        pasid < 0 ? 0 : VirtioIommuTables.RESPONSE_PASID_VALID,
                        Math.max(0, pasid),
                        group,
                        code);
        return Arrays.copyOf(request, VirtioIommuTables.RESPONSE_TAIL);
    }
}
