// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.rogue;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.StateText;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.HandClock;
import org.ioasis.memory.Ram;
import org.ioasis.memory.Region;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.Test;

/**
 * A device that lies, before the engine. Guest memory: 4 MiB from 0; what the driver lets the
 * device use lies in the second MiB, so nothing outside it may ever change.
 */
class RogueTest {
    private static final int ENDPOINT = 0x20;
    private static final int DOMAIN = 1;
    private static final int PAGE = 0x1000;
    private static final long RAM = 4 << 20;
    private static final long ALLOWED = 1 << 20;
    private static final long IOVA = 0x4000_0000L;
    private static final int CAPACITY = 64;
    private static final long TABLE_BYTES = 1 << 20;

    private final HandClock clock = new HandClock();
    private final Guards guards = new Guards(clock, _ -> {});
    private final FaultQueue faults = new FaultQueue(CAPACITY, 256, clock);
    private final Iommu iommu =
            new Iommu(
                    withoutBootBypass(),
                    guards,
                    faults,
                    MappingStores.forPageSizes(PAGE, SegmentTables.pool(TABLE_BYTES, guards)));
    private final DomainTable requests = new DomainTable(iommu);
    private final Endpoint endpoint = iommu.plug(ENDPOINT, EndpointProperties.UNLIMITED);
    private final GuestMemory memory = new GuestMemory(guards, 8);
    private final Region ram = Ram.ram(0, RAM);
    private final MemorySegment bytes = Objects.requireNonNull(ram.segment());
    private final Deque<Runnable> loop = new ArrayDeque<>();
    private final Rogue rogue = new Rogue(dma(guards.open()), loop::add);

    RogueTest() {
        assertThat(memory.add(ram)).isEqualTo(GuestMemory.Change.DONE);
        SplittableRandom random = new SplittableRandom(1);
        for (long i = 0; i < RAM; i++) {
            bytes.set(JAVA_BYTE, i, (byte) random.nextInt());
        }
    }

    private static IommuOptions withoutBootBypass() {
        return IommuOptions.builder().bypassAtStart(false).build();
    }

    private Dma dma(Guard guard) {
        return iommu.dma(endpoint, memory, guard);
    }

    private void attach() {
        assertThat(answer(done -> requests.attach(ENDPOINT, DOMAIN, false, done)))
                .isEqualTo(Status.OK);
        assertThat(StateText.of(iommu)).contains("endpoint 0x20: domain 0x1");
    }

    private void map(long iova, long gpa, long length, int flags) {
        assertThat(answer(done -> requests.map(DOMAIN, iova, iova + length - 1, gpa, flags, done)))
                .isEqualTo(Status.OK);
    }

    private void unmap(long iova, long length) {
        assertThat(answer(done -> requests.unmap(DOMAIN, iova, iova + length - 1, done)))
                .isEqualTo(Status.OK);
    }

    private interface Call {
        void with(org.ioasis.iommu.Completion done);
    }

    /** The answer, for which other threads' sections may have to end. */
    private Status answer(Call call) {
        Status[] status = new Status[1];
        call.with(s -> status[0] = s);
        while (status[0] == null) {
            guards.poll();
            Thread.onSpinWait();
        }
        return status[0];
    }

    private Tally shoot(Volley volley) {
        CompletableFuture<Tally> result = rogue.fire(volley);
        while (!result.isDone()) {
            loop.remove().run();
        }
        return result.join();
    }

    private Tally shoot(Access access, long address, int length) {
        return shoot(new Volley(access, new Aim.Stride(address, 0), length, 1));
    }

    private static String sha256(byte[] data) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
    }

    /** Digest of guest memory outside {@code first..last}. */
    private String outside(long first, long last) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        digest.update(bytes.asSlice(0, first).toArray(JAVA_BYTE));
        digest.update(bytes.asSlice(last + 1).toArray(JAVA_BYTE));
        return HexFormat.of().formatHex(digest.digest());
    }

    // --- what is refused

    @Test
    void endpointWithoutADomainReachesNothing() throws Exception {
        String before = sha256(bytes.toArray(JAVA_BYTE));
        for (Access access : Access.values()) {
            Tally tally = shoot(new Volley(access, new Aim.Stride(0, PAGE), 16, 1024));
            assertThat(tally.faults()).isEqualTo(1024);
            assertThat(tally.total()).isEqualTo(1024);
        }
        assertThat(sha256(bytes.toArray(JAVA_BYTE))).isEqualTo(before);
        assertThat(endpoint.counts().faults()).isEqualTo(2048);
    }

    @Test
    void hundredThousandForbiddenAccessesAreAllRefusedAndChangeNothing() throws Exception {
        attach();
        map(IOVA, ALLOWED, 0x10000, MapFlags.READ | MapFlags.WRITE);
        String outside = outside(ALLOWED, ALLOWED + 0xffff);
        String inside = sha256(bytes.asSlice(ALLOWED, 0x10000).toArray(JAVA_BYTE));

        // All of the address space below and above what is mapped; guest-physical addresses too.
        List<Volley> volleys = new ArrayList<>();
        for (Access access : Access.values()) {
            volleys.add(new Volley(access, new Aim.Scatter(0, RAM - 1, 1), 8, 30_000));
            volleys.add(new Volley(access, new Aim.Scatter(IOVA + 0x10000, -1L, 2), 64, 20_000));
            volleys.add(new Volley(access, new Aim.Stride(0, PAGE), PAGE, 2_000));
        }
        long refused = 0;
        for (Volley volley : volleys) {
            Tally tally = shoot(volley);
            assertThat(tally.ok()).as(volley.toString()).isZero();
            assertThat(tally.faults()).as(volley.toString()).isEqualTo(volley.count());
            refused += tally.faults();
        }

        assertThat(refused).isEqualTo(104_000);
        assertThat(endpoint.counts().faults()).isEqualTo(refused);
        assertThat(faults.reported()).isEqualTo(refused);
        assertThat(outside(ALLOWED, ALLOWED + 0xffff)).isEqualTo(outside);
        assertThat(sha256(bytes.asSlice(ALLOWED, 0x10000).toArray(JAVA_BYTE))).isEqualTo(inside);
    }

    @Test
    void permissionsAreExact() throws Exception {
        attach();
        map(IOVA, ALLOWED, PAGE, MapFlags.READ);
        map(IOVA + PAGE, ALLOWED + PAGE, PAGE, MapFlags.WRITE);
        byte[] readable = bytes.asSlice(ALLOWED, PAGE).toArray(JAVA_BYTE);

        assertThat(shoot(Access.WRITE, IOVA, 16).faults()).isEqualTo(1);
        assertThat(shoot(Access.READ, IOVA + PAGE, 16).faults()).isEqualTo(1);
        Tally read = shoot(Access.READ, IOVA, PAGE);
        assertThat(read.ok()).isEqualTo(1);
        assertThat(read.readSha256()).isEqualTo(sha256(readable));
        assertThat(shoot(Access.WRITE, IOVA + PAGE, 16).ok()).isEqualTo(1);
        assertThat(bytes.asSlice(ALLOWED, PAGE).toArray(JAVA_BYTE)).isEqualTo(readable);
        for (int i = 0; i < 16; i++) {
            assertThat(bytes.get(JAVA_BYTE, ALLOWED + PAGE + i)).isEqualTo(Rogue.pattern(i));
        }
    }

    @Test
    void accessThatRunsOverTheEndOfItsMappingTouchesNothingBeyond() throws Exception {
        attach();
        map(IOVA, ALLOWED, PAGE, MapFlags.READ | MapFlags.WRITE);
        // The guest-physical neighbour is memory; the device must not get there by running on.
        String outside = outside(ALLOWED, ALLOWED + PAGE - 1);

        assertThat(shoot(Access.WRITE, IOVA + PAGE - 8, 16).faults()).isEqualTo(1);
        assertThat(shoot(Access.WRITE, IOVA - 8, 16).faults()).isEqualTo(1);
        assertThat(shoot(Access.WRITE, IOVA, Volley.LENGTH_LIMIT).faults()).isEqualTo(1);
        assertThat(shoot(Access.READ, IOVA, PAGE + 1).faults()).isEqualTo(1);
        assertThat(shoot(Access.WRITE, -8L, 16).faults()).isEqualTo(1);

        assertThat(outside(ALLOWED, ALLOWED + PAGE - 1)).isEqualTo(outside);
    }

    @Test
    void accessAcrossTwoMappingsFollowsBoth() throws Exception {
        attach();
        map(IOVA, ALLOWED + 8 * PAGE, PAGE, MapFlags.READ | MapFlags.WRITE);
        map(IOVA + PAGE, ALLOWED, PAGE, MapFlags.READ | MapFlags.WRITE);

        assertThat(shoot(Access.WRITE, IOVA + PAGE - 4, 8).ok()).isEqualTo(1);

        for (int i = 0; i < 4; i++) {
            assertThat(bytes.get(JAVA_BYTE, ALLOWED + 9 * PAGE - 4 + i))
                    .isEqualTo(Rogue.pattern(i));
            assertThat(bytes.get(JAVA_BYTE, ALLOWED + i)).isEqualTo(Rogue.pattern(4 + i));
        }
    }

    @Test
    void memoryThatIsNotThereOrReadOnlyIsNoFault() {
        attach();
        assertThat(memory.add(Ram.readOnly(0x1_0000_0000L, PAGE)))
                .isEqualTo(GuestMemory.Change.DONE);
        map(IOVA, RAM, PAGE, MapFlags.READ | MapFlags.WRITE);
        map(IOVA + PAGE, 0x1_0000_0000L, PAGE, MapFlags.READ | MapFlags.WRITE);

        assertThat(shoot(Access.WRITE, IOVA, 16).absent()).isEqualTo(1);
        assertThat(shoot(Access.WRITE, IOVA + PAGE, 16).refused()).isEqualTo(1);
        assertThat(shoot(Access.READ, IOVA + PAGE, 16).ok()).isEqualTo(1);
        assertThat(faults.reported()).isZero();
    }

    // --- flood

    @Test
    void floodOfFaultsKeepsNoMoreThanTheQueueHolds() {
        attach();
        shoot(new Volley(Access.WRITE, new Aim.Stride(0, PAGE), 1, 100_000));

        assertThat(faults.reported()).isEqualTo(100_000);
        assertThat(faults.dropped()).isEqualTo(100_000 - CAPACITY);
        assertThat(faults.recent()).hasSize(CAPACITY);
        int polled = 0;
        while (faults.poll() != null) {
            polled++;
        }
        assertThat(polled).isEqualTo(CAPACITY);
        shoot(new Volley(Access.WRITE, new Aim.Stride(0, PAGE), 1, 1000));
        assertThat(faults.isEmpty()).as("the rate is spent until time passes").isTrue();
        clock.advance(1_000_000_000L);
        shoot(new Volley(Access.WRITE, new Aim.Stride(0, PAGE), 1, 1000));
        assertThat(faults.recent())
                .as("16 that were polled, and what waits")
                .hasSize(16 + CAPACITY);
        assertThat(faults.isEmpty()).isFalse();
    }

    @Test
    void batchesLetOtherWorkOfTheThreadComeBetween() {
        attach();
        CompletableFuture<Tally> many =
                rogue.fire(new Volley(Access.READ, new Aim.Stride(0, 8), 8, 1000));
        CompletableFuture<Tally> large =
                rogue.fire(new Volley(Access.READ, new Aim.Stride(0, 8), Volley.LENGTH_LIMIT, 3));
        int turns = 0;
        int refusedBefore = 0;
        while (!loop.isEmpty()) {
            loop.remove().run();
            long refused = faults.reported();
            assertThat(refused - refusedBefore).isLessThanOrEqualTo(Rogue.BATCH_ACCESSES);
            refusedBefore = (int) refused;
            turns++;
        }
        assertThat(turns).isEqualTo(4 + 3);
        assertThat(many.join().total()).isEqualTo(1000);
        assertThat(large.join().total()).isEqualTo(3);
    }

    @Test
    void volleyWhoseThreadEndsIsReported() {
        Deque<Runnable> tasks = new ArrayDeque<>();
        boolean[] ended = {false};
        Rogue stopped =
                new Rogue(
                        dma(guards.open()),
                        task -> {
                            if (ended[0]) {
                                throw new RejectedExecutionException("ended");
                            }
                            tasks.add(task);
                        });
        CompletableFuture<Tally> result =
                stopped.fire(new Volley(Access.READ, new Aim.Stride(0, 1), 1, 1_000_000));
        ended[0] = true;
        tasks.remove().run();
        assertThatThrownBy(result::join).hasCauseInstanceOf(RejectedExecutionException.class);
    }

    @Test
    void volleysOutOfRangeAreOurOwnMistake() {
        Aim aim = new Aim.Stride(0, 0);
        assertThatThrownBy(() -> new Volley(Access.READ, aim, 0, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Volley(Access.READ, aim, Volley.LENGTH_LIMIT + 1, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Volley(Access.READ, aim, 1, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Aim.Scatter(-1L, 0, 1))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void scatterStaysInItsRangeAndRepeatsForItsSeed() {
        Aim.Scatter scatter = new Aim.Scatter(100, 109, 5);
        Aim.Scatter all = new Aim.Scatter(0, -1L, 5);
        boolean[] hit = new boolean[10];
        boolean high = false;
        for (int i = 0; i < 1000; i++) {
            hit[(int) scatter.at(i) - 100] = true;
            assertThat(scatter.at(i)).isEqualTo(new Aim.Scatter(100, 109, 5).at(i));
            high |= all.at(i) < 0;
        }
        assertThat(hit).doesNotContain(false);
        assertThat(high).isTrue();
    }

    // --- while the driver maps and unmaps

    @Test
    void outcomesFollowTheMappingsThatTheDriverMakesBetweenVolleys() throws Exception {
        long seed = System.nanoTime();
        SplittableRandom random = new SplittableRandom(seed);
        String at = "seed " + seed;
        attach();
        int pages = 64;
        int[] flags = new int[pages];
        String outside = outside(ALLOWED, ALLOWED + (long) pages * PAGE - 1);
        long refused = 0;
        for (int round = 0; round < 4000; round++) {
            int page = random.nextInt(pages);
            if (flags[page] == 0) {
                flags[page] = random.nextInt(1, 4);
                // Scattered: neighbours of the IOVA are no neighbours in memory.
                map(IOVA + (long) page * PAGE, output(page, pages), PAGE, flags[page]);
            } else {
                unmap(IOVA + (long) page * PAGE, PAGE);
                flags[page] = 0;
            }
            Access access = random.nextBoolean() ? Access.READ : Access.WRITE;
            int length = random.nextInt(1, 3 * PAGE);
            Aim aim = new Aim.Scatter(IOVA - PAGE, IOVA + (pages + 1L) * PAGE, random.nextLong());
            Volley volley = new Volley(access, aim, length, 40);
            long expected = 0;
            for (int i = 0; i < volley.count(); i++) {
                long first = aim.at(i);
                expected += isAllowed(flags, access, first, first + length - 1) ? 1 : 0;
            }
            Tally tally = shoot(volley);
            assertThat(tally.ok()).as(at).isEqualTo(expected);
            assertThat(tally.faults()).as(at).isEqualTo(volley.count() - expected);
            refused += tally.faults();
        }
        assertThat(refused).as(at).isGreaterThanOrEqualTo(100_000);
        assertThat(outside(ALLOWED, ALLOWED + (long) pages * PAGE - 1)).as(at).isEqualTo(outside);
    }

    private static long output(int page, int pages) {
        return ALLOWED + (long) (page * 29 % pages) * PAGE;
    }

    private static boolean isAllowed(int[] flags, Access access, long first, long last) {
        int bit = access == Access.READ ? MapFlags.READ : MapFlags.WRITE;
        for (long page = Math.floorDiv(first - IOVA, PAGE); page <= (last - IOVA) / PAGE; page++) {
            if (page < 0 || page >= flags.length || (flags[(int) page] & bit) == 0) {
                return false;
            }
        }
        return true;
    }

    @Test
    void afterAnUnmapIsAnsweredNoWriteOfADeviceOnAnotherThreadArrives() throws Exception {
        attach();
        int pages = 16;
        ExecutorService deviceThread = Executors.newSingleThreadExecutor();
        AtomicBoolean stop = new AtomicBoolean();
        try {
            Rogue beside = new Rogue(dma(guards.open()), deviceThread);
            String outside = outside(ALLOWED, ALLOWED + (long) pages * PAGE - 1);
            CompletableFuture<Long> refused =
                    CompletableFuture.supplyAsync(() -> keepFiring(beside, pages, stop));
            long rounds = 0;
            while (rounds < 3000 || (!refused.isDone() && endpoint.counts().faults() < 100_000)) {
                int page = (int) (rounds % pages);
                long iova = IOVA + (long) page * PAGE;
                long gpa = output(page, pages);
                map(iova, gpa, PAGE, MapFlags.READ | MapFlags.WRITE);
                unmap(iova, PAGE);
                // It is the driver's again, and must stay as the driver leaves it.
                MemorySegment own = bytes.asSlice(gpa, PAGE);
                own.fill((byte) 0);
                for (int i = 0; i < 50; i++) {
                    Thread.onSpinWait();
                }
                assertThat(own.mismatch(MemorySegment.ofArray(new byte[PAGE])))
                        .as("page %d in round %d", page, rounds)
                        .isEqualTo(-1);
                rounds++;
            }
            stop.set(true);
            assertThat(refused.get(30, TimeUnit.SECONDS)).isGreaterThanOrEqualTo(100_000);
            assertThat(outside(ALLOWED, ALLOWED + (long) pages * PAGE - 1)).isEqualTo(outside);
        } finally {
            stop.set(true);
            deviceThread.shutdown();
        }
    }

    private static long keepFiring(Rogue rogue, int pages, AtomicBoolean stop) {
        long refused = 0;
        for (int i = 0; !stop.get() || refused < 100_000; i++) {
            Aim aim = new Aim.Scatter(IOVA, IOVA + (long) pages * PAGE - 1, i);
            refused += rogue.fire(new Volley(Access.WRITE, aim, 64, 256)).join().faults();
        }
        return refused;
    }
}
