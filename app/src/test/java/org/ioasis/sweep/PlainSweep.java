// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sweep;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.ioasis.iova.IovaAllocator;
import org.ioasis.record.Row;

/**
 * The same figures by a program that has no page tables, no walker and no IOTLB: pages and tables
 * are members of sets, and what was translated once is remembered until an invalidation, however
 * much it is. It reads the rows themselves. Addresses are within signed ones. One thread.
 */
final class PlainSweep {
    /** A page of a buffer: where it begins, how large it is. */
    private record Page(int life, long first, int lg2) {}

    private record Buffer(
            int life, long first, long last, long output, int rights, long iova, long bytes) {}

    private record Waiting(Buffer buffer, long since, boolean isCached) {}

    private static final class Life {
        final int number;
        final IovaAllocator iovas;
        final TreeMap<Long, Buffer> buffers = new TreeMap<>();
        final Set<Page> pages = new HashSet<>();
        final List<Waiting> waiting = new ArrayList<>();
        int unmapsWaiting;
        int tablesWaiting;

        Life(int number, long granule) {
            this.number = number;
            this.iovas = new IovaAllocator(granule, granule, (1L << 46) - 1);
        }
    }

    private final Design design;
    private final List<Integer> sizes;
    private final Map<Long, Life> lives = new HashMap<>();
    private final Set<Page> cached = new HashSet<>();
    private final List<Long> reached = new ArrayList<>();
    private int livesMade;
    private long translations;
    private long hits;
    private long pages;
    private long tableBytesMax;
    private long unmaps;
    private long invalidations;

    private PlainSweep(Design design, List<Integer> sizes) {
        this.design = design;
        this.sizes = sizes;
    }

    /**
     * @param sizes of pages that the format has, as powers of two, smallest first
     */
    static Figures run(Rows rows, Design design, List<Integer> sizes) {
        PlainSweep sweep = new PlainSweep(design, sizes);
        long time = 0;
        for (Row row : rows.all) {
            time = row.time();
            sweep.timers(time);
            switch (row.event()) {
                case ATTACH -> {}
                case DETACH -> sweep.end(row.domain(), time);
                case MAP -> sweep.map(row);
                case UNMAP -> sweep.unmap(row);
                default -> sweep.access(row);
            }
        }
        for (Life life : sweep.lives.values()) {
            for (Waiting waiting : life.waiting) {
                sweep.reached.add(waiting.isCached() ? time - waiting.since() : 0);
            }
        }
        return sweep.figures();
    }

    private Figures figures() {
        Collections.sort(reached);
        long reachable = reached.stream().filter(nanos -> nanos > 0).count();
        int count = reached.size();
        Figures.Reach reach =
                new Figures.Reach(
                        count,
                        reachable,
                        reached.get((int) Math.ceil(count * 0.5) - 1),
                        reached.get((int) Math.ceil(count * 0.99) - 1),
                        reached.getLast());
        return new Figures(
                translations, hits, 0, pages, tableBytesMax, unmaps, invalidations, 0, 0, reach, 0);
    }

    private void map(Row row) {
        Life life =
                lives.computeIfAbsent(row.domain(), _ -> new Life(livesMade++, design.granule()));
        long granule = design.granule();
        long from = row.output() / granule * granule;
        long to = (row.output() + row.last() - row.first()) / granule * granule + granule;
        long bytes = to - from;
        long lead = bytes >= 1L << 21 ? from % (1L << 21) : 0;
        long iova = life.iovas.allocate(lead + bytes, 0xffff_ffffL) + lead;
        Buffer buffer =
                new Buffer(
                        life.number,
                        row.first(),
                        row.last(),
                        row.output(),
                        row.flags() & 3,
                        iova,
                        bytes);
        life.buffers.put(row.first(), buffer);
        long at = iova;
        long output = from;
        while (at < iova + bytes) {
            int best = sizes.getFirst();
            for (int lg2 : sizes) {
                long size = 1L << lg2;
                if (at % size == 0 && output % size == 0 && iova + bytes - at >= size) {
                    best = lg2;
                }
            }
            life.pages.add(new Page(life.number, at, best));
            pages++;
            at += 1L << best;
            output += 1L << best;
        }
        countTables();
    }

    /** Four levels of 4 KiB; each but the top one is there while it leads to a page. */
    private static Set<Page> tables(Life life) {
        Set<Page> tables = new HashSet<>();
        for (Page page : life.pages) {
            for (int reach = 21; reach < 48; reach += 9) {
                if (page.lg2() < reach) {
                    tables.add(new Page(life.number, page.first() >> reach, reach));
                }
            }
        }
        return tables;
    }

    private void countTables() {
        long tables = 0;
        for (Life life : lives.values()) {
            tables += 1 + tables(life).size() + life.tablesWaiting;
        }
        tableBytesMax = Math.max(tableBytesMax, tables * 4096);
    }

    private void unmap(Row row) {
        Life life = requireNonNull(lives.get(row.domain()));
        List<Buffer> gone = new ArrayList<>(life.buffers.subMap(row.first(), row.last()).values());
        int tablesBefore = tables(life).size();
        for (Buffer buffer : gone) {
            life.buffers.remove(buffer.first());
            long last = buffer.iova() + buffer.bytes() - 1;
            boolean isCached =
                    cached.stream().anyMatch(page -> isIn(page, life, buffer.iova(), last));
            life.pages.removeIf(page -> isIn(page, life, buffer.iova(), last));
            if (design.flush().isStrict()) {
                cached.removeIf(page -> isIn(page, life, buffer.iova(), last));
                free(life, buffer);
                reached.add(0L);
            } else {
                life.waiting.add(new Waiting(buffer, row.time(), isCached));
            }
        }
        unmaps++;
        if (design.flush().isStrict()) {
            invalidations++;
            return;
        }
        life.tablesWaiting += tablesBefore - tables(life).size();
        life.unmapsWaiting++;
        if (life.unmapsWaiting == design.flush().batch()) {
            flush(life, row.time());
        }
    }

    private static boolean isIn(Page page, Life life, long first, long last) {
        return page.life() == life.number && page.first() >= first && page.first() <= last;
    }

    private void free(Life life, Buffer buffer) {
        long from = buffer.output() / design.granule() * design.granule();
        long lead = buffer.bytes() >= 1L << 21 ? from % (1L << 21) : 0;
        life.iovas.free(buffer.iova() - lead, lead + buffer.bytes());
    }

    private void flush(Life life, long time) {
        invalidations++;
        cached.removeIf(page -> page.life() == life.number);
        for (Waiting waiting : life.waiting) {
            reached.add(waiting.isCached() ? time - waiting.since() : 0);
            free(life, waiting.buffer());
        }
        life.waiting.clear();
        life.unmapsWaiting = 0;
        life.tablesWaiting = 0;
    }

    private void timers(long time) {
        long timer = design.flush().timerNanos();
        for (Life life : lives.values()) {
            if (timer > 0 && !life.waiting.isEmpty()) {
                long due = life.waiting.getFirst().since() + timer;
                if (due <= time) {
                    flush(life, due);
                }
            }
        }
    }

    private void end(long domain, long time) {
        Life life = lives.remove(domain);
        if (life != null) {
            flush(life, time);
        }
    }

    private void access(Row row) {
        Life life = requireNonNull(lives.get(row.domain()));
        long from = row.first();
        while (from <= row.last()) {
            Buffer buffer = life.buffers.floorEntry(from).getValue();
            long to = Math.min(buffer.last(), row.last());
            if ((buffer.rights() & row.flags()) != 0) {
                long shift = buffer.iova() + buffer.output() % design.granule() - buffer.first();
                translate(life, from + shift, to + shift);
            }
            from = to + 1;
        }
    }

    private void translate(Life life, long first, long last) {
        long at = first;
        while (at <= last) {
            Page page = null;
            for (int lg2 : sizes) {
                Page candidate = new Page(life.number, at >> lg2 << lg2, lg2);
                page = life.pages.contains(candidate) ? candidate : page;
            }
            translations++;
            if (design.iotlb() > 0 && !cached.add(page)) {
                hits++;
            }
            at = requireNonNull(page).first() + (1L << page.lg2());
        }
    }
}
