// SPDX-License-Identifier: Apache-2.0
package org.ioasis.demo;

import static java.nio.ByteOrder.LITTLE_ENDIAN;
import static org.ioasis.spec.VirtioIommuTables.CODE_INVALID;
import static org.ioasis.spec.VirtioIommuTables.CODE_SUCCESS;

import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.DriverTable;
import org.ioasis.virtio.iommu.driver.DriverTables;
import org.ioasis.virtio.iommu.driver.PageRequestReport;

/**
 * What a kernel does for a process whose address space a device shares: it keeps the page table,
 * has fewer frames than the process has pages, brings in what is asked for and takes out what came
 * first, after it has said so. One thread.
 */
final class SharedProcess {
    static final long PAGE = 4096;
    private static final long BASE = 0x7f12_3456_0000L;
    private static final int TOP_SHIFT = 39;
    private static final int PAGE_SHIFT = 12;
    private static final int INDEX_BITS = 9;
    private static final long INDEX_MASK = 0x1ff;
    private static final long GONE = 0xdead_dead_dead_deadL;
    private static final ValueLayout.OfLong LE64 = ValueLayout.JAVA_LONG.withOrder(LITTLE_ENDIAN);

    private final DemoMemory memory;
    private final HandoverFormat format;
    private final DriverTables tables;
    private final DriverTable table;
    private final HandoverFigures figures;
    private final long root;
    private final int pages;
    private final Deque<Long> frames = new ArrayDeque<>();
    private final Map<Integer, Long> present = new LinkedHashMap<>();
    private final Map<Integer, Long> swapped = new HashMap<>();

    /**
     * @param pasid that its address space is known by, where there are PASIDs
     */
    SharedProcess(
            DemoMemory memory,
            HandoverFormat format,
            DriverTables tables,
            int pasid,
            int pages,
            int frames,
            HandoverFigures figures)
            throws DriverException {
        this.memory = memory;
        this.format = format;
        this.tables = tables;
        this.pages = pages;
        this.figures = figures;
        root = memory.zeroed();
        table = format.table(memory, tables, root, pasid);
        for (int i = 0; i < frames; i++) {
            this.frames.add(memory.zeroed());
        }
    }

    DriverTable table() {
        return table;
    }

    int pages() {
        return pages;
    }

    static long address(int page) {
        return BASE + page * PAGE;
    }

    private long get(long at) {
        return memory.bytes().get(LE64, at);
    }

    private void set(long at, long word) {
        memory.bytes().set(LE64, at, word);
    }

    /** Writes the lowest entry of an address; tables are made on the way. */
    private void map(long address, long entry) {
        long at = root;
        for (int shift = TOP_SHIFT; shift > PAGE_SHIFT; shift -= INDEX_BITS) {
            long slot = at + (address >>> shift & INDEX_MASK) * Long.BYTES;
            if (get(slot) == 0) {
                set(slot, format.entry(memory.zeroed()));
            }
            at = HandoverFormat.address(get(slot));
        }
        set(at + (address >>> PAGE_SHIFT & INDEX_MASK) * Long.BYTES, entry);
    }

    /** Brings in the page that a device asks for, and answers. */
    void serve(PageRequestReport request) throws DriverException {
        int page = (int) Math.floorDiv(request.address() - BASE, PAGE);
        boolean isOurs = page >= 0 && page < pages;
        if (isOurs && !present.containsKey(page)) {
            if (frames.isEmpty()) {
                takeOut(present.keySet().iterator().next());
            }
            long frame = frames.remove();
            set(frame, swapped.getOrDefault(page, 0L));
            map(address(page), format.entry(frame));
            present.put(page, frame);
        }
        tables.respond(request, isOurs ? CODE_SUCCESS : CODE_INVALID);
        figures.answers++;
    }

    /** A page that is in memory, or -1. */
    int oldest() {
        return present.isEmpty() ? -1 : present.keySet().iterator().next();
    }

    /** Takes a page away; when it is said, its frame is another's. */
    void takeOut(int page) throws DriverException {
        Long frame = present.remove(page);
        if (frame == null) {
            throw new IllegalStateException("page " + page + " is not in memory");
        }
        map(address(page), 0);
        format.invalidate(tables, table, address(page), address(page) + PAGE - 1);
        figures.invalidations++;
        swapped.put(page, get(frame));
        set(frame, GONE);
        frames.add(frame);
    }
}
