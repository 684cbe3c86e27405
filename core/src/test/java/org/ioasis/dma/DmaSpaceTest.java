// SPDX-License-Identifier: Apache-2.0
package org.ioasis.dma;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.groups.Tuple.tuple;
import static org.ioasis.spec.VirtioIommu.F_BYPASS_CONFIG;
import static org.ioasis.spec.VirtioIommu.MAP_FLAGS;
import static org.ioasis.spec.VirtioIommu.MAP_VIRT_START;
import static org.ioasis.spec.VirtioIommu.REQUESTQ;
import static org.ioasis.spec.VirtioIommu.RESV_MEM_T_RESERVED;
import static org.ioasis.spec.VirtioIommu.S_DEVERR;
import static org.ioasis.spec.VirtioIommu.S_NOMEM;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommu.T_MAP;
import static org.ioasis.spec.VirtioIommu.T_UNMAP;
import static org.ioasis.virtio.iommu.driver.LocalMachine.translated;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.ioasis.iova.IovaAllocator;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.HandClock;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.iommu.driver.LocalMachine;
import org.ioasis.virtio.iommu.driver.RefusedException;
import org.ioasis.virtio.iommu.driver.ScriptedDevice;
import org.junit.jupiter.api.Test;

/** Buffers are reached while they are mapped, at addresses that are nobody else's. */
class DmaSpaceTest {
    private static final long ALL = -1;
    private static final int ENDPOINT = 1;

    private final HandClock clock = new HandClock();
    private final ScriptedDevice scripted = new ScriptedDevice();

    private static DriverDomain attached(IommuDriver driver) throws DriverException {
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        return domain;
    }

    /** With room for four pages of addresses. */
    private DmaSpace narrow(DriverDomain domain, FlushPolicy policy) {
        return new DmaSpace(domain, new IovaAllocator(4096, 0x10000, 0x13fff), policy);
    }

    @Test
    void aBufferIsReachedAsItsDirectionSays() throws Exception {
        LocalMachine machine = new LocalMachine(ENDPOINT);
        DmaSpace space = new DmaSpace(attached(machine.driver), FlushPolicy.STRICT);
        Dma dma = machine.dma(ENDPOINT);

        long out = space.map(new Piece(0x1234, 0x2000), Direction.TO_DEVICE, ALL);
        long in = space.map(new Piece(0x5000, 1), Direction.FROM_DEVICE, ALL);
        long both = space.map(new Piece(0x6000, 1), Direction.BOTH, 0xffff_ffffL);

        assertThat(out & 0xfff).isEqualTo(0x234);
        assertThat(both).isBetween(0L, 0xffff_ffffL);
        assertThat(translated(dma, out + 0x1fff, Access.READ)).isEqualTo(0x1234 + 0x1fff);
        assertThat(translated(dma, out, Access.WRITE)).isEqualTo(-1);
        assertThat(translated(dma, in, Access.READ)).isEqualTo(-1);
        assertThat(translated(dma, in, Access.WRITE)).isEqualTo(0x5000);
        assertThat(translated(dma, both, Access.READ)).isEqualTo(0x6000);
        space.unmap(new Piece(out, 0x2000));
        assertThat(translated(dma, out, Access.READ)).isEqualTo(-1);
        assertThat(space.liveCount()).isEqualTo(2);
        assertThatThrownBy(() -> space.unmap(new Piece(out, 0x2000)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aListIsOneRunWhereItsBuffersMeetAtPages() throws Exception {
        DmaSpace space = new DmaSpace(attached(scripted.driver()), FlushPolicy.STRICT);
        int kicks = scripted.kicks[REQUESTQ];

        List<Piece> seen =
                space.map(
                        List.of(
                                // These two follow each other in memory: one MAP.
                                new Piece(0x1800, 0x800),
                                new Piece(0x2000, 0x1000),
                                // Elsewhere, but from page to page: the device sees no border.
                                new Piece(0x9000, 0x1800),
                                // Not at a page: a piece of its own.
                                new Piece(0x4010, 0x20)),
                        Direction.TO_DEVICE,
                        ALL);

        long iova = seen.getFirst().address() & -4096;
        assertThat(seen)
                .containsExactly(new Piece(iova + 0x800, 0x3000), new Piece(iova + 0x4010, 0x20));
        assertThat(scripted.of(T_MAP)).hasSize(3);
        assertThat(scripted.kicks[REQUESTQ] - kicks).isOne();

        space.unmap(seen);
        assertThat(scripted.of(T_UNMAP)).as("one for all").hasSize(1);
        assertThat(space.liveCount() + space.waitingCount()).isZero();
    }

    @Test
    void aListIsMappedAsAWholeOrNotAtAll() throws Exception {
        DriverDomain domain = attached(scripted.driver());
        DmaSpace space = narrow(domain, FlushPolicy.STRICT);
        List<Piece> two = List.of(new Piece(0x1000, 0x1000), new Piece(0x5000, 0x1000));
        scripted.answers =
                request -> {
                    boolean isSecond =
                            request.readable()[0] == T_MAP
                                    && request.readable()[MAP_VIRT_START + 1] % 0x20 == 0x10;
                    return ScriptedDevice.status(request, isSecond ? S_NOMEM : S_OK);
                };

        for (int i = 0; i < 20; i++) {
            assertThatThrownBy(() -> space.map(two, Direction.BOTH, ALL))
                    .isInstanceOfSatisfying(
                            RefusedException.class,
                            refused -> assertThat(refused.status()).isEqualTo(S_NOMEM));
            assertThat(domain.mappingCount()).isZero();
        }
        scripted.answers = ScriptedDevice::ok;
        space.map(two, Direction.BOTH, ALL);
        space.map(two, Direction.BOTH, ALL);
        assertThat(domain.mappingCount()).isEqualTo(4);
    }

    // --- lazy

    @Test
    void lazilyManyAreTakenAwayTogether() throws Exception {
        DriverDomain domain = attached(scripted.driver());
        DmaSpace space = new DmaSpace(domain, FlushPolicy.lazy(8, 1000, clock));
        List<Long> mapped = new ArrayList<>();
        for (int i = 0; i < 9; i++) {
            mapped.add(space.map(new Piece(0x1000L * i, 0x1000), Direction.BOTH, ALL));
        }
        for (int i = 0; i < 8; i++) {
            space.unmap(new Piece(mapped.get(i), 0x1000));
        }
        assertThat(scripted.of(T_UNMAP)).isEmpty();
        assertThat(space.waitingCount()).isEqualTo(8);

        space.unmap(new Piece(mapped.get(8), 0x1000));

        assertThat(space.waitingCount()).isZero();
        assertThat(space.flushes()).isOne();
        assertThat(scripted.of(T_UNMAP)).as("they follow each other").hasSize(1);
        assertThat(domain.mappingCount()).isZero();
    }

    @Test
    void lazilyNoneWaitsLongerThanItMay() throws Exception {
        DmaSpace space =
                new DmaSpace(attached(scripted.driver()), FlushPolicy.lazy(8, 1000, clock));
        long iova = space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);
        clock.advance(5000);
        space.unmap(new Piece(iova, 0x1000));
        clock.advance(999);
        space.tick();
        assertThat(space.waitingCount()).isOne();

        clock.advance(1);
        space.tick();

        assertThat(space.waitingCount()).isZero();
        assertThat(scripted.of(T_UNMAP)).hasSize(1);
    }

    @Test
    void anAddressIsNotUsedAgainBeforeTheDeviceHasAnswered() throws Exception {
        DriverDomain domain = attached(scripted.driver());
        DmaSpace space = narrow(domain, FlushPolicy.lazy(100, 1000, clock));
        Set<Long> waiting = new HashSet<>();
        for (int i = 0; i < 4; i++) {
            long iova = space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);
            space.unmap(new Piece(iova, 0x1000));
            assertThat(waiting.add(iova)).as("0x%x", iova).isTrue();
        }
        assertThat(scripted.of(T_UNMAP)).isEmpty();

        // Nothing is left: what waits is taken away first, and only then handed out.
        space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);

        List<Integer> types = scripted.types();
        assertThat(types.subList(types.size() - 2, types.size())).containsExactly(T_UNMAP, T_MAP);
    }

    @Test
    void whatTheDeviceDoesNotGiveUpIsNeverUsedAgain() throws Exception {
        DriverDomain domain = attached(scripted.driver());
        DmaSpace space = narrow(domain, FlushPolicy.STRICT);
        long iova = space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);
        scripted.answers = request -> ScriptedDevice.status(request, S_DEVERR);

        assertThatThrownBy(() -> space.unmap(new Piece(iova, 0x1000)))
                .isInstanceOf(RefusedException.class);
        scripted.answers = ScriptedDevice::ok;

        assertThat(space.stuckBytes()).isEqualTo(0x1000);
        for (int i = 0; i < 3; i++) {
            assertThat(space.map(new Piece(0, 0x1000), Direction.BOTH, ALL)).isNotEqualTo(iova);
        }
        assertThatThrownBy(() -> space.map(new Piece(0, 1), Direction.BOTH, ALL))
                .isInstanceOf(DriverException.class);
    }

    @Test
    void afterAResetWhatWasNotAnsweredIsFreeAgain() throws Exception {
        IommuDriver driver = scripted.driver();
        DriverDomain domain = attached(driver);
        DmaSpace space = narrow(domain, FlushPolicy.STRICT);
        long kept = space.map(new Piece(0x7000, 0x1000), Direction.TO_DEVICE, ALL);
        long iova = space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);
        scripted.isSilent = true;
        assertThatThrownBy(() -> space.unmap(new Piece(iova, 0x1000)))
                .isInstanceOf(DriverException.class);
        assertThatThrownBy(() -> space.map(new Piece(0, 0x1000), Direction.BOTH, ALL))
                .isInstanceOf(DriverException.class);

        scripted.isSilent = false;
        scripted.requests.clear();
        driver.reset();

        List<ByteBuffer> replayed = scripted.of(T_MAP);
        assertThat(replayed).hasSize(1);
        assertThat(replayed.getFirst().getLong(MAP_VIRT_START)).isEqualTo(kept);
        assertThat(replayed.getFirst().getInt(MAP_FLAGS)).isOne();
        for (int i = 0; i < 3; i++) {
            space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);
        }
    }

    // --- regions, coherent memory, identity

    @Test
    void reservedAddressesAreNotHandedOutAlsoOfThoseThatComeLater() throws Exception {
        scripted.answers =
                request ->
                        request.readable()[4] == 2
                                ? ScriptedDevice.properties(
                                                ScriptedDevice.region(
                                                        RESV_MEM_T_RESERVED, 0, 0x12000, 0x13fff))
                                        .apply(request)
                                : ScriptedDevice.ok(request);
        IommuDriver driver = scripted.driver();
        DriverDomain domain = attached(driver);
        DmaSpace space = narrow(domain, FlushPolicy.STRICT);
        long iova = space.map(new Piece(0, 0x1000), Direction.BOTH, ALL);
        assertThat(iova).isEqualTo(0x13000);
        assertThatThrownBy(() -> driver.attach(domain, 2)).isInstanceOf(DriverException.class);
        space.unmap(new Piece(iova, 0x1000));
        driver.attach(domain, 2);

        assertThat(space.map(new Piece(0, 0x1000), Direction.BOTH, ALL)).isEqualTo(0x11000);
        assertThat(space.map(new Piece(0, 0x1000), Direction.BOTH, ALL)).isEqualTo(0x10000);
        assertThatThrownBy(() -> space.map(new Piece(0, 0x1000), Direction.BOTH, ALL))
                .isInstanceOf(DriverException.class);
    }

    @Test
    void coherentMemoryGoesBackWhenNobodyReachesIt() throws Exception {
        DmaSpace space =
                new DmaSpace(attached(scripted.driver()), FlushPolicy.lazy(100, 1000, clock));
        List<String> told = new ArrayList<>();
        PhysicalPages pages =
                new PhysicalPages() {
                    private boolean isTaken;

                    @Override
                    public long take(long bytes) {
                        if (isTaken) {
                            return NONE;
                        }
                        isTaken = true;
                        return 0x20000;
                    }

                    @Override
                    public void giveBack(long address, long bytes) {
                        isTaken = false;
                        told.add("0x%x+0x%x %s".formatted(address, bytes, scripted.types()));
                    }
                };

        DmaSpace.Coherent buffer = space.coherent(pages, 0x1801, ALL);
        assertThat(buffer.bytes()).isEqualTo(0x2000);
        assertThatThrownBy(() -> space.coherent(pages, 1, ALL)).isInstanceOf(DriverException.class);
        space.release(pages, buffer);

        assertThat(told).containsExactly("0x20000+0x2000 [1, 3, 4]");
        scripted.answers = request -> ScriptedDevice.status(request, S_NOMEM);
        assertThatThrownBy(() -> space.coherent(pages, 1, ALL))
                .isInstanceOf(RefusedException.class);
        assertThat(told).hasSize(2);
    }

    @Test
    void identityIsABypassDomainOrMappingsOfMemory() throws Exception {
        for (long offered :
                new long[] {
                    VirtioIommuDevice.FEATURES, VirtioIommuDevice.FEATURES & ~F_BYPASS_CONFIG
                }) {
            LocalMachine machine =
                    new LocalMachine(
                            LocalMachine.OPTIONS, offered, DriverOptions.DEFAULT, ENDPOINT);
            DriverDomain domain =
                    Identity.attach(
                            machine.driver,
                            ENDPOINT,
                            List.of(new Range(0, LocalMachine.RAM - 1), new Range(1L << 40, ALL)));

            assertThat(domain.isBypass()).isEqualTo((offered & F_BYPASS_CONFIG) != 0);
            Dma dma = machine.dma(ENDPOINT);
            for (long address : new long[] {0, 0x1234, LocalMachine.RAM - 1}) {
                assertThat(translated(dma, address, Access.WRITE)).isEqualTo(address);
            }
        }
    }

    @Test
    void identityLeavesOutWhatIsReserved() throws Exception {
        scripted.offered &= ~F_BYPASS_CONFIG;
        scripted.answers =
                ScriptedDevice.properties(
                        ScriptedDevice.join(
                                ScriptedDevice.region(RESV_MEM_T_RESERVED, 0, 0x3800, 0x47ff),
                                ScriptedDevice.region(RESV_MEM_T_RESERVED, 0, 0x9000, ALL)));

        DriverDomain domain =
                Identity.attach(
                        scripted.driver(),
                        ENDPOINT,
                        List.of(new Range(0x1000, 0x6fff), new Range(0x8000, 0xffff)));

        assertThat(scripted.of(T_MAP))
                .extracting(each -> each.getLong(8), each -> each.getLong(16))
                .containsExactly(
                        tuple(0x1000L, 0x2fffL), tuple(0x5000L, 0x6fffL), tuple(0x8000L, 0x8fffL));
        assertThat(domain.endpoints()).containsExactly(ENDPOINT);
    }

    /**
     * Strict and lazy beside the real device: what is in use is reached, whatever comes and goes.
     */
    @Test
    void manyBuffersComeAndGo() throws Exception {
        for (FlushPolicy policy :
                new FlushPolicy[] {FlushPolicy.STRICT, FlushPolicy.lazy(32, 50_000, clock)}) {
            LocalMachine machine = new LocalMachine(ENDPOINT);
            DmaSpace space = new DmaSpace(attached(machine.driver), policy);
            Dma dma = machine.dma(ENDPOINT);
            Random random = new Random(3);
            List<Piece> memory = new ArrayList<>();
            List<Piece> mapped = new ArrayList<>();
            for (int i = 0; i < 20_000; i++) {
                clock.advance(1000);
                if (mapped.size() < 50 || random.nextBoolean()) {
                    Piece buffer = new Piece(random.nextInt(1 << 22), 1 + random.nextInt(1 << 15));
                    memory.add(buffer);
                    mapped.add(new Piece(space.map(buffer, Direction.BOTH, ALL), buffer.length()));
                } else {
                    int at = random.nextInt(mapped.size());
                    memory.remove(at);
                    Piece old = mapped.remove(at);
                    space.unmap(old);
                    if (policy.equals(FlushPolicy.STRICT)) {
                        assertThat(translated(dma, old.address(), Access.READ)).isEqualTo(-1);
                    }
                }
                int at = random.nextInt(mapped.size());
                long offset = random.nextLong(mapped.get(at).length());
                assertThat(translated(dma, mapped.get(at).address() + offset, Access.WRITE))
                        .isEqualTo(memory.get(at).address() + offset);
            }
            space.flush();
            assertThat(space.waitingCount()).isZero();
            assertThat(space.liveCount()).isEqualTo(mapped.size());
        }
    }
}
