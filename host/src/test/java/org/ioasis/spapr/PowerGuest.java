// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.ioasis.spapr.StubProcess.AT;
import static org.ioasis.spapr.StubProcess.BYTES;

import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.spec.SpaprTce;

/**
 * A guest with 64 MiB from address 0 on, in slots of which the last lies apart, and a table of 64
 * KiB pages that two groups of different containers show, one in pages of 4 KiB. One thread.
 */
final class PowerGuest {
    static final long LIOBN = 0x8000_0001L;
    static final int PAGE_LG2 = 16;
    static final long PAGE = 1L << PAGE_LG2;
    static final int ENTRIES = 64;
    static final long SLOT = BYTES / 2;

    /** Guest address of the second slot. */
    static final long APART = 1L << 34;

    final IommufdNode node;
    final SpaprHost host;
    final StubProcess process = new StubProcess();
    final Task task = process.task();
    final FailureInjector kernel = new FailureInjector();
    final GuestTables tables;
    final GuestMemory memory = new GuestMemory();
    final SpaprGroup small = SpaprGroup.builder().build();
    final SpaprGroup equal = SpaprGroup.builder().build();
    final SpaprV2 first;
    final SpaprV2 second;
    final TceTable table;
    final UserTier user;
    final Hypercalls calls;

    PowerGuest(boolean isAccelerated) throws IommufdException {
        this(isAccelerated, 1L << 30);
    }

    PowerGuest(boolean isAccelerated, long tableLimit) throws IommufdException {
        node = IommufdNode.builder().tableLimit(tableLimit).build();
        host = new SpaprHost(node);
        first = new SpaprV2(host);
        second = new SpaprV2(host);
        tables = new GuestTables(host, task);
        memory.add(0, SLOT, AT);
        memory.add(APART, SLOT, AT + SLOT);
        first.attach(small, process.failures());
        second.attach(equal, process.failures());
        // The last mebibyte of each slot is not registered.
        for (SpaprV2 container : List.of(first, second)) {
            container.register(task, AT, SLOT - (1 << 20));
            container.register(task, AT + SLOT, SLOT - (1 << 20));
        }
        first.unmap(task, 0, 0);
        second.removeWindow(task, 0);
        second.createWindow(task, PAGE_LG2, 1L << 30, 1);
        table = tables.create(task, LIOBN, PAGE_LG2, 0, ENTRIES);
        if (isAccelerated) {
            tables.attach(table, small);
            tables.attach(table, equal);
        }
        user = new UserTier(tables, memory, task);
        user.connect(table, first);
        user.connect(table, second);
        calls =
                isAccelerated
                        ? Hypercalls.accelerated(tables, memory, kernel, user)
                        : Hypercalls.plain(user);
    }

    HardwareTable smallTable() {
        return Objects.requireNonNull(small.window(0));
    }

    HardwareTable equalTable() {
        return Objects.requireNonNull(equal.window(0));
    }

    HcallResult put(long index, long tce) {
        return calls.put(LIOBN, index << PAGE_LG2, tce);
    }

    /** Writes a list into the guest's memory, as the guest does. */
    void list(long guest, long... tces) {
        for (int i = 0; i < tces.length; i++) {
            process.bytes()
                    .set(
                            JAVA_LONG.withOrder(ByteOrder.BIG_ENDIAN),
                            memory.toUser(guest, 8) - AT + i * 8L,
                            tces[i]);
        }
    }

    HcallResult indirect(long index, long list, long count) {
        return calls.putIndirect(LIOBN, index << PAGE_LG2, list, count);
    }

    HcallResult stuff(long index, long tce, long count) {
        return calls.stuff(LIOBN, index << PAGE_LG2, tce, count);
    }

    long get(long index) {
        TceValue value = new TceValue();
        if (calls.get(LIOBN, index << PAGE_LG2, value) != HcallResult.SUCCESS) {
            throw new AssertionError("entry " + index);
        }
        return value.value();
    }

    /** What an access comes to, as an offset of the process's memory; -1: it is refused. */
    long offset(SpaprGroup group, long iova, boolean isWrite) {
        long found = group.lookUp(iova, isWrite);
        return found == HardwareTable.NOWHERE ? -1 : found - node.addressOf(process.source, 0);
    }

    /** All that calls can change, as words. */
    List<Long> state() {
        List<Long> words = new ArrayList<>();
        for (int i = 0; i < ENTRIES; i++) {
            words.add(table.get(i));
            for (long at = 0; at < PAGE; at += 4096) {
                for (SpaprGroup group : List.of(small, equal)) {
                    words.add(offset(group, i * PAGE + at, true));
                    words.add(offset(group, i * PAGE + at, false));
                }
            }
        }
        words.add(smallTable().mapped());
        words.add(equalTable().mapped());
        words.add(tables.memory().entriesInto(AT));
        words.add(tables.memory().entriesInto(AT + SLOT));
        words.add(node.heldPages());
        return words;
    }

    /** The same as {@link #state} of a guest whose entries are these. */
    static List<Long> stateOf(Map<Long, Long> entries, long held) {
        List<Long> words = new ArrayList<>();
        Map<Boolean, Long> into = new HashMap<>(Map.of(false, 0L, true, 0L));
        for (long i = 0; i < ENTRIES; i++) {
            long tce = entries.getOrDefault(i, 0L);
            words.add(tce);
            long guest = tce & -4096;
            boolean isApart = guest >= APART;
            long offset = isApart ? guest - APART + SLOT : guest;
            for (long at = 0; at < PAGE; at += 4096) {
                for (int group = 0; group < 2; group++) {
                    words.add((tce & SpaprTce.WRITE) != 0 ? offset + at : -1);
                    words.add((tce & SpaprTce.READ) != 0 ? offset + at : -1);
                }
            }
            if ((tce & 3) != 0) {
                into.merge(isApart, 17L, Long::sum);
            }
        }
        long mapped = into.getOrDefault(false, 0L) + into.getOrDefault(true, 0L);
        words.add(mapped / 17 * 16);
        words.add(mapped / 17);
        words.add(into.getOrDefault(false, 0L));
        words.add(into.getOrDefault(true, 0L));
        words.add(held);
        return words;
    }

    /** Everything goes, in the order in which a VMM ends. */
    void close() {
        user.disconnect(table, first);
        user.disconnect(table, second);
        tables.close();
        tables.close();
        first.close();
        second.close();
        if (node.heldPages() != 0
                || node.tables().held() != 0
                || process.locked().locked() != 0
                || host.processes() != 0) {
            throw new AssertionError(
                    "left: %d pages, %d bytes of tables, %d charged, %d processes"
                            .formatted(
                                    node.heldPages(),
                                    node.tables().held(),
                                    process.locked().locked(),
                                    host.processes()));
        }
    }
}
