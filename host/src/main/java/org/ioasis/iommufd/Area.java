// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import org.jspecify.annotations.Nullable;

/** One range of IOVAs of an address space and the pages it shows. Under its context's lock. */
final class Area {
    final IoPageTable space;
    final long first;
    final long last;
    final Pages pages;

    /** Index of the page that {@link #first} lies in. */
    final long firstPage;

    /** Where in that page. */
    final int pageOffset;

    final boolean isReadable;
    final boolean isWritable;

    /** The page table that the pages can be read back from; null: no page table has them. */
    @Nullable HwPagingDomain storage;

    /** Its neighbours among the areas of the same pages. */
    @Nullable Area preceding;

    @Nullable Area following;

    /** Accesses that hold pages of it. */
    int accesses;

    /** Accesses that forbid to unmap it. */
    int locks;

    /** It is being unmapped: no new access may hold its pages. */
    boolean isLeaving;

    Area(
            IoPageTable space,
            long first,
            long last,
            Pages pages,
            long startByte,
            boolean isReadable,
            boolean isWritable) {
        this.space = space;
        this.first = first;
        this.last = last;
        this.pages = pages;
        this.firstPage = startByte >>> PhysicalMemory.PAGE_LG2;
        this.pageOffset = (int) (startByte & (PhysicalMemory.PAGE - 1));
        this.isReadable = isReadable;
        this.isWritable = isWritable;
    }

    long length() {
        return last - first + 1;
    }

    /** Where it begins in its pages, in bytes. */
    long startByte() {
        return (firstPage << PhysicalMemory.PAGE_LG2) + pageOffset;
    }

    long lastPage() {
        return (startByte() + (last - first)) >>> PhysicalMemory.PAGE_LG2;
    }

    /** Index of the page that an IOVA of it lies in. */
    long pageOf(long iova) {
        return (startByte() + (iova - first)) >>> PhysicalMemory.PAGE_LG2;
    }

    /** Where a page of it begins as IOVA; for the first page, where the area does. */
    long iovaOf(long page) {
        return page == firstPage
                ? first
                : first + ((page - firstPage) << PhysicalMemory.PAGE_LG2) - pageOffset;
    }

    /** The last IOVA of it that shows a page. */
    long lastIovaOf(long page) {
        return page == lastPage() ? last : iovaOf(page + 1) - 1;
    }
}
