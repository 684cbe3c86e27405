// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.HandedTable;
import org.ioasis.iommu.TableDomain;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.iommu.Driver.Answer;

/**
 * A driver of the profile that is any bytes: it hands over what it likes, writes into its tables
 * what it likes, answers what nobody asked, while devices access and ask. Whatever comes: a request
 * that is refused has changed nothing; after an INVALIDATE is answered an access finds what a plain
 * walk finds; each group has one answer. One thread.
 */
final class TableFuzz {
    private static final int ENDPOINTS = 2;
    private static final int PASIDS = 3;
    private static final int STEPS = 200;
    private static final long TABLES = Driver.DMA;
    private static final int TABLE_PAGES = 4;
    private static final long PAGES = Driver.DMA + 0x20000;
    private static final long ADDRESS = 0x000f_ffff_ffff_f000L;

    /** How often something happened, so that a corpus can be asked whether it reaches it. */
    static final class Seen {
        int attached;
        int refused;
        int walked;
        int answered;
        int invalidated;
    }

    private final Choices c;
    private final Driver d;
    private final Seen seen = new Seen();
    private final List<Endpoint> endpoints = new ArrayList<>();
    private final List<Attachment> spaces = new ArrayList<>();
    private final List<Dma> ways = new ArrayList<>();
    private Attachment last;
    private int lastGroup;
    private int asked;
    private int answers;

    private TableFuzz(byte[] bytes, Arena ram) {
        c = Choices.of(bytes);
        d = Driver.of(Driver.OPTIONS, Profile.TABLES_2023, ram);
        for (int id = 0; id < ENDPOINTS; id++) {
            d.plug(id);
            Endpoint endpoint = Objects.requireNonNull(d.iommu.endpoint(id));
            endpoints.add(endpoint);
            add(endpoint.attachment());
            for (int pasid = 0; pasid < PASIDS; pasid++) {
                add(Objects.requireNonNull(endpoint.open(pasid)));
            }
        }
        last = spaces.getFirst();
        for (int i = 0; i < TABLE_PAGES; i++) {
            boolean isLast = i == TABLE_PAGES - 1;
            long target = isLast ? PAGES : TABLES + (i + 1) * 0x1000L;
            ram().set(Wire.LE64, TABLES - Driver.DMA + i * 0x1000L, target | 7);
        }
        d.start(d.type.features());
        d.addEventBuffers(32, VirtioIommuTables.FAULT_SIZE);
    }

    private void add(Attachment space) {
        spaces.add(space);
        ways.add(d.iommu.dma(space, d.memory, d.guard));
    }

    static Seen run(byte[] bytes) {
        try (Arena ram = Arena.ofConfined()) {
            TableFuzz fuzz = new TableFuzz(bytes, ram);
            for (int i = 0; i < STEPS && !fuzz.c.isExhausted(); i++) {
                fuzz.step();
            }
            fuzz.end();
            return fuzz.seen;
        }
    }

    private void step() {
        switch (c.next(8)) {
            case 0 -> attach();
            case 1 -> write();
            case 2 -> invalidate();
            case 3 -> access();
            case 4 -> ask();
            case 5 -> respond();
            case 6 -> {
                if (c.next(4) == 0) {
                    reset();
                } else {
                    send(Driver.detach(c.next(ENDPOINTS + 1), c.next(4)));
                }
            }
            default -> bytes();
        }
    }

    // Requests
    // -------------------------------------------------------------------------------------------------------

    /** What a refused request must leave as it was. */
    private String state() {
        StringBuilder text = new StringBuilder();
        text.append(d.iommu.domainCount()).append(' ').append(d.iommu.pageRequests().open());
        for (Endpoint endpoint : endpoints) {
            text.append(' ').append(endpoint.pasidCount());
        }
        for (Attachment space : spaces) {
            Domain domain = space.domain();
            text.append(' ').append(domain == null ? "-" : Integer.toString(domain.id()));
        }
        return text.toString();
    }

    /** Status, or -1 without an answer. */
    private int send(byte[] request) {
        String before = state();
        int already = answers;
        Answer answer = d.ask(request, TAIL_SIZE);
        assertThat(answer.written()).isIn(0L, (long) TAIL_SIZE);
        int status = answer.written() == 0 ? -1 : answer.status();
        if (status != S_OK) {
            seen.refused++;
            assertThat(state()).isEqualTo(before);
            assertThat(answers).isEqualTo(already);
        }
        return status;
    }

    private void attach() {
        long root = TABLES + c.next(TABLE_PAGES) * 0x1000L;
        boolean isWild = c.next(8) == 0;
        int status =
                send(
                        GuestTable.attach(
                                c.next(ENDPOINTS + 1),
                                c.next(4),
                                c.next(PASIDS + 2) - 1,
                                isWild ? c.nextLong() : root,
                                isWild ? c.nextLong() : 0,
                                isWild ? c.next(80) : 48));
        seen.attached += status == S_OK ? 1 : 0;
    }

    private void invalidate() {
        int domain = c.next(4);
        if (c.next(2) == 0) {
            send(
                    GuestTable.invalidate(
                            c.next(8) | c.next(16) << 16,
                            c.next(16),
                            domain,
                            c.next(8),
                            c.nextLong(),
                            c.nextLong(),
                            c.next(80)));
            return;
        }
        if (send(GuestTable.invalidate(domain)) == S_OK) {
            seen.invalidated++;
            compare(domain);
        }
    }

    /** To what was asked last, or to anything. */
    private void respond() {
        boolean isLast = c.next(4) != 0;
        int status =
                send(
                        GuestTable.respond(
                                isLast ? last.endpoint().id() : c.next(ENDPOINTS + 1),
                                isLast ? last.pasid() : c.next(PASIDS + 1) - 1,
                                isLast ? lastGroup : c.next(4),
                                isLast ? c.next(3) : c.next(5)));
        seen.answered += status == S_OK ? 1 : 0;
    }

    /** Any bytes of any length behind a type of the profile. */
    private void bytes() {
        byte[] request = new byte[c.next(96)];
        for (int i = 0; i < request.length; i++) {
            request[i] = (byte) (c.next(4) == 0 ? c.next(256) : 0);
        }
        if (request.length > 0) {
            request[0] = (byte) (VirtioIommuTables.T_ATTACH_TABLE + c.next(3));
        }
        if (request.length > 0) {
            send(request);
        }
    }

    private void reset() {
        d.device.writeStatus(0);
        d.turn();
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(answers).as("all that was asked").isEqualTo(asked);
        d.start(d.type.features());
        d.addEventBuffers(32, VirtioIommuTables.FAULT_SIZE);
    }

    // Tables and devices
    // ----------------------------------------------------------------------------------------------

    private MemorySegment ram() {
        return d.bytes(Driver.DMA);
    }

    private void write() {
        long at = TABLES + c.next(TABLE_PAGES) * 0x1000L + c.next(2) * 8L;
        long target =
                c.next(4) == 0
                        ? c.nextLong() & ADDRESS
                        : c.next(2) == 0
                                ? PAGES + c.next(8) * 0x1000L
                                : TABLES + c.next(TABLE_PAGES) * 0x1000L;
        long flags = c.next(4) == 0 ? (c.next(0x1000) & 0x1e7) : 7;
        ram().set(Wire.LE64, at - Driver.DMA, target | flags);
    }

    /** Addresses that meet the few entries which are written. */
    private long address() {
        int path = c.next(4) == 0 ? c.next(16) : 0;
        return (path & 1L) << 39
                | (path >> 1 & 1L) << 30
                | (path >> 2 & 1L) << 21
                | (path >> 3 & 1L) << 12
                | c.next(0x1000);
    }

    private void access() {
        int first = c.next(ways.size());
        Dma way = ways.get(first);
        // Rather one that is attached.
        for (int i = 0; i < ways.size() && spaces.get(ways.indexOf(way)).domain() == null; i++) {
            way = ways.get((first + i) % ways.size());
        }
        way.enter();
        Outcome outcome = way.resolve(address(), 1, c.next(2) == 0 ? Access.READ : Access.WRITE);
        if (outcome == Outcome.OK) {
            seen.walked++;
            assertThat(way.offset()).isBetween(0L, way.segment().byteSize() - 1);
        }
        way.leave();
        d.turn();
    }

    /** Nothing is kept of the domain: what is found now is what stands there. */
    private void compare(int id) {
        for (int i = 0; i < spaces.size(); i++) {
            if (!(spaces.get(i).domain() instanceof TableDomain domain) || domain.id() != id) {
                continue;
            }
            HandedTable table = domain.table();
            if (table.width() != 48) {
                continue;
            }
            long iova = address();
            long expected = walk(table.root(), iova);
            Dma way = ways.get(i);
            way.enter();
            if (way.resolve(iova, 1, Access.READ) == Outcome.OK) {
                assertThat(expected).as("0x%x leads nowhere", iova).isNotEqualTo(-1);
                assertThat(way.offset()).isEqualTo(offset(expected));
            } else {
                assertThat(expected == -1 || offset(expected) < 0)
                        .as("0x%x leads to 0x%x", iova, expected)
                        .isTrue();
            }
            way.leave();
        }
    }

    /** Where an address of memory lies in its region, or -1. */
    private long offset(long gpa) {
        for (long start : d.regions.keySet()) {
            if (Long.compareUnsigned(gpa - start, d.bytes(start).byteSize()) < 0) {
                return gpa - start;
            }
        }
        return -1;
    }

    /** What an address leads a reader of a user's to, word by word; -1 for nothing. */
    private long walk(long root, long iova) {
        long table = root;
        for (int level = 3; ; level--) {
            int shift = 12 + 9 * level;
            long at = table + (iova >>> shift & 0x1ff) * 8 - Driver.DMA;
            if (at < 0 || at > ram().byteSize() - 8) {
                return -1;
            }
            long entry = ram().get(Wire.LE64, at);
            boolean isPage = level == 0 || (entry & 0x80) != 0;
            if ((entry & 5) != 5 || (isPage && level == 3)) {
                return -1;
            }
            if (isPage) {
                long mask = (1L << shift) - 1;
                return (entry & ADDRESS & ~mask) | (iova & mask);
            }
            table = entry & ADDRESS;
        }
    }

    private void ask() {
        asked++;
        int[] times = {0};
        last = spaces.get(c.next(spaces.size()));
        lastGroup = c.next(4);
        d.iommu.requestPage(
                last,
                lastGroup,
                c.next(16),
                true,
                c.nextLong(),
                (_, _, _) -> {
                    answers++;
                    times[0]++;
                    assertThat(times[0]).isEqualTo(1);
                });
        d.turn();
        if (c.next(2) == 0) {
            d.addEventBuffers(1, VirtioIommuTables.FAULT_SIZE);
            d.kickEvents();
        }
    }

    private void end() {
        assertThat(answers + d.iommu.pageRequests().open()).isEqualTo(asked);
        d.device.writeStatus(0);
        d.turn();
        assertThat(answers).isEqualTo(asked);
        assertThat(d.iommu.pageRequests().held()).isZero();
        assertThat(Objects.requireNonNull(d.type.cached()).size()).isZero();
    }
}
