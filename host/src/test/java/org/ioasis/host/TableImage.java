// SPDX-License-Identifier: Apache-2.0
package org.ioasis.host;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommu.pagetable.Cell;
import org.ioasis.iommu.pagetable.Gather;
import org.ioasis.iommu.pagetable.PageTable;
import org.ioasis.iommu.pagetable.PageTableFormat;
import org.ioasis.iommu.pagetable.PageTableStatus;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.iommu.pagetable.TableAccess;
import org.ioasis.iommu.pagetable.TableArena;
import org.ioasis.memory.Outcome;

/**
 * Memory with tables of any kind: words that a test writes, absent where it has written none, and
 * page tables that the engine builds. Counts what is read.
 */
public final class TableImage implements TableAccess {
    /** Where page tables are. */
    public static final long TABLES = 0x4000_0000L;

    private static final int TABLE_BYTES = 1 << 20;

    private final Map<Long, Long> words = new HashMap<>();
    private final TableArena arena =
            new TableArena(new long[TABLE_BYTES / Long.BYTES], TABLES, TABLE_BYTES);
    private int loads;

    public void write(long at, long... values) {
        for (int i = 0; i < values.length; i++) {
            words.put(at + (long) i * Long.BYTES, values[i]);
        }
    }

    public void remove(long at) {
        words.remove(at);
    }

    /** A table with one page, for reading and writing. */
    public long tableOf(PageTableFormat format, long first, long output) {
        PageTable table = PageTable.create(format, arena);
        long last = first + (1L << format.pageLg2()) - 1;
        int rights = Rights.READ | Rights.WRITE;
        Gather gather = new Gather();
        if (format.attributes(rights | Rights.USER) != PageTableFormat.NO_ATTRIBUTES) {
            rights |= Rights.USER;
        }
        assertThat(table.map(first, last, output, rights, gather)).isEqualTo(PageTableStatus.OK);
        return table.root() & ~7L;
    }

    /** Adds pages to see other memory through. */
    public PageTable table(PageTableFormat format) {
        return PageTable.create(format, arena);
    }

    public int loads() {
        return loads;
    }

    @Override
    public Outcome load(long address, Cell into) {
        loads++;
        if (arena.load(address, into) == Outcome.OK) {
            return Outcome.OK;
        }
        Long word = words.get(address);
        if (word == null) {
            return Outcome.ABSENT;
        }
        into.set(word);
        return Outcome.OK;
    }

    @Override
    public Outcome exchange(long address, long expected, long word, Cell witness) {
        if (arena.exchange(address, expected, word, witness) == Outcome.OK) {
            return Outcome.OK;
        }
        Long there = words.get(address);
        if (there == null) {
            return Outcome.ABSENT;
        }
        witness.set(there);
        words.put(address, there == expected ? word : there);
        return Outcome.OK;
    }
}
