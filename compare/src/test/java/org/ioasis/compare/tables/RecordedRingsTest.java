// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import org.ioasis.amd.AmdCommands;
import org.ioasis.iommu.iotlb.Iotlb;
import org.ioasis.iommufd.DeviceCaches;
import org.ioasis.iommufd.Entries;
import org.ioasis.iommufd.Handled;
import org.ioasis.iommufd.InvalidationRefusal;
import org.ioasis.smmuv3.Smmuv3Commands;
import org.ioasis.spec.AmdCommand;
import org.ioasis.spec.Smmuv3Command;
import org.junit.jupiter.api.Test;

/**
 * All commands that Linux has left in the ring of QEMU's SMMUv3 and AMD IOMMU, carried out by our
 * decoders where they are, each at the moment at which QEMU says that it took something out of its
 * cache: ours then has what a plain model has.
 */
class RecordedRingsTest {
    private static final ValueLayout.OfLong WORD =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Nothing is kept here of devices; commands about that are only understood. */
    private static final DeviceCaches DEVICES =
            new DeviceCaches() {
                @Override
                public void context(int device, int space) {}

                @Override
                public void contexts(int device) {}

                @Override
                public void forget(int device, int space, long first, long last) {
                    throw new AssertionError("no device here keeps translations");
                }

                @Override
                public void forget(int device, long first, long last) {
                    throw new AssertionError("no device here keeps translations");
                }
            };

    /** Number of commands by opcode, of those that were carried out and of those for the VMM. */
    private final TreeMap<Integer, Integer> done = new TreeMap<>();

    private final TreeMap<Integer, Integer> forVmm = new TreeMap<>();

    @Test
    void commandsOfTheSmmuTakeOutOfTheCacheWhatQemuTookOut() throws Exception {
        Recording recording = RecordedTablesTest.recording(Subject.SMMUV3);
        CacheBesideModel caches = new CacheBesideModel(asid -> Iotlb.tag(0, asid, Iotlb.FIRST));
        Smmuv3Commands decoder = new Smmuv3Commands(caches.cache(), DEVICES, sid -> sid, 0);
        Ring ring = new Ring(recording, decoder, 0, Smmuv3Command.OPCODE_MASK);
        Set<Integer> invalidations =
                Set.of(
                        Smmuv3Command.TLBI_NH_ALL,
                        Smmuv3Command.TLBI_NH_ASID,
                        Smmuv3Command.TLBI_NH_VA,
                        Smmuv3Command.TLBI_NH_VAA,
                        Smmuv3Command.TLBI_NSNH_ALL);
        long differences = 0;
        boolean isWhole = true;
        for (TraceEvent event : recording.events()) {
            caches.take(event);
            if (event instanceof TraceEvent.Dropped dropped) {
                if (isWhole) {
                    ring.runUntil(invalidations);
                }
                // QEMU takes out a range in pieces, each a power of two.
                isWhole = dropped.last() == smmuLast(ring);
                differences += isWhole ? caches.differences() : 0;
            }
        }
        assertThat(isWhole).isTrue();
        ring.runToTheEnd();

        report(Subject.SMMUV3, caches, differences);
        assertThat(differences).isZero();
        assertThat(done.keySet())
                .isEqualTo(
                        Set.of(
                                Smmuv3Command.CFGI_CD,
                                Smmuv3Command.TLBI_NH_ASID,
                                Smmuv3Command.TLBI_NH_VA,
                                Smmuv3Command.TLBI_NSNH_ALL));
        assertThat(done.get(Smmuv3Command.TLBI_NH_VA)).isGreaterThan(2000);
        assertThat(forVmm.keySet())
                .isSubsetOf(
                        Smmuv3Command.PREFETCH_CONFIG,
                        Smmuv3Command.CFGI_STE,
                        Smmuv3Command.CFGI_ALL,
                        Smmuv3Command.SYNC)
                .contains(Smmuv3Command.SYNC);
    }

    /** SMMUv3, 4.4.1.1: the last address of the command that was carried out last. */
    private static long smmuLast(Ring ring) {
        if (ring.opcode(ring.at - 1) != Smmuv3Command.TLBI_NH_VA) {
            return -1;
        }
        long word0 = ring.word(ring.at - 1, 0);
        long word1 = ring.word(ring.at - 1, 1);
        long first = word1 & ~0xfffL;
        int granule = (int) (word1 >>> 10) & 3;
        if (granule == 0) {
            return first | 0xfff;
        }
        long pages = ((word0 >>> 12 & 0x1f) + 1) << (word0 >>> 20 & 0x1f);
        return first + (pages << (10 + 2 * granule)) - 1;
    }

    @Test
    void commandsOfTheAmdIommuTakeOutOfTheCacheWhatQemuTookOut() throws Exception {
        Recording recording = RecordedTablesTest.recording(Subject.AMD);
        CacheBesideModel caches = new CacheBesideModel(id -> Iotlb.tag(id, 0, Iotlb.FIRST));
        AmdCommands decoder =
                new AmdCommands(
                        caches.cache(),
                        DEVICES,
                        new AmdCommands.Names() {
                            @Override
                            public int domain(int ofGuest) {
                                return ofGuest;
                            }

                            @Override
                            public int device(int ofGuest) {
                                return ofGuest;
                            }

                            @Override
                            public void forgetDomains() {
                                caches.cache().all();
                            }

                            @Override
                            public void table(int ofGuest, int space) {}
                        });
        Ring ring = new Ring(recording, decoder, AmdCommand.OPCODE_SHIFT, -1);
        Set<Integer> invalidations = Set.of(AmdCommand.INV_PAGES);
        long commands = ring.count(invalidations);
        List<TraceEvent> events = recording.events();
        long before = events.stream().filter(RecordedRingsTest::isOfDomain).count() - commands;
        assertThat(before).isPositive();
        long differences = 0;
        for (TraceEvent event : events) {
            caches.take(event);
            if (event instanceof TraceEvent.Dropped(int domain, long _, long _)) {
                if (domain == TraceEvent.UNTOLD) {
                    caches.cache().all();
                } else if (before-- > 0) {
                    // The ring has come round since: only the domain is known.
                    caches.cache().domain(domain);
                } else {
                    ring.runUntil(invalidations);
                }
                differences += caches.differences();
            }
        }
        ring.runToTheEnd();

        report(Subject.AMD, caches, differences);
        assertThat(differences).isZero();
        assertThat(done.keySet()).isEqualTo(Set.of(AmdCommand.INV_PAGES));
        assertThat(done.get(AmdCommand.INV_PAGES)).isGreaterThan(200);
        assertThat(forVmm.keySet())
                .isSubsetOf(AmdCommand.COMPLETION_WAIT, AmdCommand.INV_DTE, AmdCommand.INV_IRT)
                .contains(AmdCommand.COMPLETION_WAIT);
    }

    private static boolean isOfDomain(TraceEvent event) {
        return event instanceof TraceEvent.Dropped dropped && dropped.domain() != TraceEvent.UNTOLD;
    }

    private void report(Subject subject, CacheBesideModel caches, long differences) {
        System.out.printf(
                "%s: commands decoded by opcode: %s, and for the VMM %s; %d translations cached, %d differences%n",
                subject.label(), done, forVmm, caches.filled(), differences);
    }

    /** The ring where it stands, read from its oldest command on. */
    private final class Ring {
        private final MemorySegment memory;
        private final CommandQueue queue;
        private final Entries decoder;
        private final int opcodeAt;
        private final int opcodeMask;
        private int at;

        Ring(Recording recording, Entries decoder, int opcodeAt, int opcodeMask) throws Exception {
            this.decoder = decoder;
            this.opcodeAt = opcodeAt;
            this.opcodeMask = opcodeMask;
            queue = CommandQueue.of(recording);
            memory = MemorySegment.ofArray(new byte[queue.entries() * queue.entryBytes()]);
            for (long offset = 0; offset < memory.byteSize(); offset += Long.BYTES) {
                memory.set(WORD, offset, recording.pages().word(queue.address() + offset));
            }
            // Before the ring has come round, what is behind the newest command is as it was made.
            while (at < queue.entries() && memory.get(WORD, offset(at)) == 0) {
                at++;
            }
        }

        private long offset(int index) {
            return (long) ((queue.next() + index) & (queue.entries() - 1)) * queue.entryBytes();
        }

        long word(int index, int word) {
            return memory.get(WORD, offset(index) + (long) word * Long.BYTES);
        }

        int opcode(int index) {
            return (int) (word(index, 0) >>> opcodeAt) & opcodeMask;
        }

        long count(Set<Integer> opcodes) {
            long count = 0;
            for (int i = at; i < queue.entries(); i++) {
                count += opcodes.contains(opcode(i)) ? 1 : 0;
            }
            return count;
        }

        /** Up to one of these. */
        void runUntil(Set<Integer> opcodes) {
            boolean isFound = false;
            while (!isFound) {
                assertThat(at).isLessThan(queue.entries());
                isFound = opcodes.contains(opcode(at));
                run();
            }
        }

        void runToTheEnd() {
            while (at < queue.entries()) {
                run();
            }
        }

        private void run() {
            int opcode = opcode(at);
            long handled = decoder.run(memory, offset(at), queue.entryBytes(), 1);
            InvalidationRefusal refusal = Handled.refusal(handled);
            if (refusal == null) {
                done.merge(opcode, 1, Integer::sum);
            } else {
                assertThat(refusal).isEqualTo(InvalidationRefusal.COMMAND);
                forVmm.merge(opcode, 1, Integer::sum);
            }
            at++;
        }
    }
}
