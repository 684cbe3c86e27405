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
import org.ioasis.iommu.VtdTable;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommuTables;
import org.ioasis.virtio.iommu.Driver.Answer;
import org.jspecify.annotations.Nullable;

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
    private static final long ARM_ADDRESS = 0x0000_ffff_ffff_f000L;

    // Of ARM: descriptors of the PASIDs behind the tables.
    private static final long CONTEXTS = TABLES + TABLE_PAGES * 0x1000L;
    private static final long CD = 1L << 41 | 5L << 32 | 1L << 31 | 1L << 30 | 16;

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
    private final boolean isArm;

    /** Of an entry that leads on, or to a page that all is allowed to. */
    private final long entry;

    private final Seen seen = new Seen();
    private final List<Endpoint> endpoints = new ArrayList<>();
    private final List<Attachment> spaces = new ArrayList<>();
    private final List<Dma> ways = new ArrayList<>();
    private Attachment last;
    private int lastGroup;
    private int asked;
    private int answers;

    private TableFuzz(Profile profile, byte[] bytes, Arena ram) {
        c = Choices.of(bytes);
        d = Driver.of(Driver.OPTIONS, profile, ram);
        isArm = profile == Profile.TABLES_2021;
        entry = isArm ? GuestArmTable.READ_WRITE : 7;
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
            ram().set(Wire.LE64, TABLES - Driver.DMA + i * 0x1000L, target | entry);
        }
        if (isArm) {
            for (int pasid = 0; pasid < PASIDS; pasid++) {
                describe(pasid, CD | (pasid + 1L) << 48, TABLES);
            }
        }
        d.start(d.type.features());
        d.addEventBuffers(32, VirtioIommuTables.FAULT_SIZE);
    }

    private void add(Attachment space) {
        spaces.add(space);
        ways.add(d.iommu.dma(space, d.memory, d.guard));
    }

    static Seen run(Profile profile, byte[] bytes) {
        try (Arena ram = Arena.ofConfined()) {
            TableFuzz fuzz = new TableFuzz(profile, bytes, ram);
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
        if (isArm) {
            attachArm();
            return;
        }
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

    private void attachArm() {
        long root = TABLES + c.next(TABLE_PAGES) * 0x1000L;
        boolean isWild = c.next(8) == 0;
        int endpoint = c.next(ENDPOINTS + 1);
        int domain = c.next(4);
        byte[] request =
                c.next(2) == 0
                        ? GuestArmTable.lpae(
                                endpoint,
                                domain,
                                c.next(4),
                                isWild ? c.nextLong() : GuestArmTable.LOW_ONLY,
                                isWild ? c.nextLong() : root,
                                isWild ? c.nextLong() : 0)
                        : GuestArmTable.contexts(
                                endpoint,
                                domain,
                                isWild ? c.next(4) : 0,
                                c.next(4),
                                isWild ? c.nextLong() : CONTEXTS,
                                isWild ? c.next(32) : 2);
        seen.attached += send(request) == S_OK ? 1 : 0;
    }

    private void invalidate() {
        int domain = c.next(4);
        if (c.next(2) == 0) {
            int what = c.next(8) | c.next(16) << 16;
            int flags = c.next(16);
            int pasid = c.next(8);
            send(
                    GuestArmTable.invalidate(
                            what,
                            flags,
                            domain,
                            pasid,
                            isArm ? c.next(8) : 0,
                            c.nextLong(),
                            c.nextLong(),
                            c.next(80)));
            return;
        }
        byte[] all = GuestTable.invalidate(7 << 16 | 1, 0, domain, 0, 0, 0, 0);
        if (send(isArm ? all : GuestTable.invalidate(domain)) == S_OK) {
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

    private void describe(int pasid, long word0, long word1) {
        long at = CONTEXTS - Driver.DMA + pasid * 64L;
        ram().set(Wire.LE64, at, word0);
        ram().set(Wire.LE64, at + 8, word1);
    }

    private void writeContext() {
        long asid = c.next(4);
        long word0 =
                switch (c.next(4)) {
                    case 0 -> 0;
                    case 1 -> CD | 1 << 14;
                    case 2 -> c.nextLong() | 1L << 31;
                    default -> CD;
                };
        long root = TABLES + c.next(TABLE_PAGES) * 0x1000L;
        describe(c.next(PASIDS), word0 | asid << 48, c.next(8) == 0 ? c.nextLong() : root);
    }

    private void write() {
        if (isArm && c.next(4) == 0) {
            writeContext();
            return;
        }
        long at = TABLES + c.next(TABLE_PAGES) * 0x1000L + c.next(2) * 8L;
        long target =
                c.next(4) == 0
                        ? c.nextLong() & (isArm ? ARM_ADDRESS : ADDRESS)
                        : c.next(2) == 0
                                ? PAGES + c.next(8) * 0x1000L
                                : TABLES + c.next(TABLE_PAGES) * 0x1000L;
        long flags = c.next(4) == 0 ? flags() : entry;
        ram().set(Wire.LE64, at - Driver.DMA, target | flags);
    }

    /** Any that do not say how large something is. */
    private long flags() {
        int low = c.next(0x1000);
        return isArm ? low | (long) c.next(2) << 61 : low & 0x1e7;
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
        for (int i = 0; i < ways.size() && domain(spaces.get(ways.indexOf(way))) == null; i++) {
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
            if (!(domain(spaces.get(i)) instanceof TableDomain domain) || domain.id() != id) {
                continue;
            }
            long iova = address();
            long expected = expected(domain.table(), spaces.get(i).pasid(), iova);
            if (expected == ArmTableModel.UNKNOWN) {
                continue;
            }
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

    /** Where what an address space does goes to, by its own or by its endpoint's contexts. */
    private @Nullable Domain domain(Attachment space) {
        Domain shared = space.endpoint().attachment().domain();
        Domain own = space.domain();
        return own == null && shared != null && shared.hasContexts() ? shared : own;
    }

    private long expected(HandedTable table, int pasid, long iova) {
        if (table instanceof VtdTable vtd) {
            return vtd.width() == 48 ? walk(vtd.root(), iova) : ArmTableModel.UNKNOWN;
        }
        return new ArmTableModel(ram(), Driver.DMA).read(table, pasid, iova);
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
