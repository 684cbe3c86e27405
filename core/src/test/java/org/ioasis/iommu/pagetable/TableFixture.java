// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu.pagetable;

import static org.assertj.core.api.Assertions.assertThat;

/** A page table in memory of its own, with the checks that tests repeat. */
final class TableFixture {
    static final long ADDRESS = 0x4000_0000L;
    private static final int SPARE = 1 << 16;

    final PageTableFormat format;
    final TableArena arena;
    final PageTable table;
    final Gather gather = new Gather();
    final Walk walk = new Walk();

    /** With {@code bytes} of tables at most. */
    TableFixture(PageTableFormat format, int bytes) {
        this.format = format;
        // More memory than may be taken: it is the limit that ends it.
        long[] memory = new long[(bytes + SPARE) / Long.BYTES];
        this.arena = new TableArena(memory, ADDRESS, bytes);
        this.table = PageTable.create(format, arena);
    }

    /** With room for any of the tests. */
    TableFixture(PageTableFormat format) {
        this(format, 16 << 20);
    }

    /** First address of the table's lower half, or of its only one. */
    long start() {
        return format.half() == Half.UPPER ? ~Bits.mask(format.inputBits()) : 0;
    }

    /** Last address of that half. */
    long end() {
        return switch (format.half()) {
            case LOWER -> Bits.mask(format.inputBits());
            case UPPER -> -1L;
            case BOTH -> Bits.mask(format.inputBits() - 1);
        };
    }

    long page() {
        return 1L << format.pageLg2();
    }

    /** Page sizes that leave room for others. */
    long safeSizes() {
        return table.pageSizes() & Bits.mask(format.inputBits() - 1);
    }

    PageTableStatus map(long first, long length, long output) {
        return table.map(first, first + length - 1, output, Rights.READ | Rights.WRITE, gather);
    }

    void mapped(long first, long length, long output) {
        assertThat(map(first, length, output))
                .as("map 0x%x + 0x%x", first, length)
                .isEqualTo(PageTableStatus.OK);
        gather.release(arena);
    }

    /** Unmaps, gives the tables back at once, and says how many bytes went. */
    long unmapped(long first, long length) {
        assertThat(table.unmap(first, first + length - 1, gather))
                .as("unmap 0x%x + 0x%x", first, length)
                .isEqualTo(PageTableStatus.OK);
        long bytes = gather.bytes();
        gather.release(arena);
        return bytes;
    }

    boolean walks(long iova) {
        return table.walk(iova, Rights.READ, false, walk);
    }

    void leadsTo(long iova, long output) {
        assertThat(walks(iova)).as("0x%x is mapped: %s", iova, walk.fault()).isTrue();
        assertThat(walk.output()).as("0x%x", iova).isEqualTo(output);
    }

    /** Every page, each a line. */
    int leafCount() {
        return leafCount(-1L);
    }

    /** Pages of one of {@code sizes}. */
    int leafCount(long sizes) {
        int[] count = new int[1];
        LeafVisitor visitor =
                (iova, sizeLg2, output, level, entry) -> {
                    count[0] += (sizes >>> sizeLg2 & 1) != 0 ? 1 : 0;
                    return true;
                };
        assertThat(table.leaves(start(), end(), visitor)).isTrue();
        if (format.half() == Half.BOTH) {
            assertThat(table.leaves(~end(), -1L, visitor)).isTrue();
        }
        return count[0];
    }

    /** At the end of a test: nothing but the top table is left, and that goes too. */
    void isGivenBackWhole() {
        assertThat(arena.heldBytes()).isEqualTo(1L << format.topLg2(Root.level(table.root())));
        table.close(gather);
        gather.release(arena);
        assertThat(arena.heldBytes()).isZero();
    }
}
