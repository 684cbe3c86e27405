// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.ioat;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.Ioat.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.pci.VectorSink;
import org.ioasis.spec.Pci;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The I/OAT function behind an IOMMU, driven by its registers; hostile drivers too. */
class IoatFunctionTest {
    private static final long RAM_BYTES = 1 << 20;

    /** Where guest-physical address 0 is mapped. */
    private static final long IOVA = 0x8000_0000L;

    private static final long CHAIN = IOVA;
    private static final long SOURCE = IOVA + 0x4000;
    private static final long TARGET = IOVA + 0x8000;
    private static final long COMPLETION = IOVA + 0xc000;
    private static final long UNMAPPED = IOVA + RAM_BYTES;
    private static final ValueLayout.OfLong U64 =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt U32 =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Guards guards = new Guards(System::nanoTime, lease -> {});
    private final Iommu iommu =
            new Iommu(
                    IommuOptions.DEFAULT,
                    guards,
                    new FaultQueue(64, 256, System::nanoTime),
                    IntervalStore::new);
    private final Endpoint endpoint = iommu.plug(0x10, EndpointProperties.UNLIMITED);
    private final GuestMemory memory = new GuestMemory(guards, 16);
    private final MemorySegment ram = Arena.ofAuto().allocate(RAM_BYTES, 8);
    private final Queue<Runnable> tasks = new ArrayDeque<>();
    private final List<Integer> vectors = new ArrayList<>();
    private final IoatFunction function =
            new IoatFunction(iommu.dma(endpoint, memory, guards.open()), tasks::add);

    @BeforeEach
    void mapAllOfMemoryAndStart() {
        memory.add(new Region(0, RAM_BYTES - 1, ram, true, null));
        PagingDomain domain = iommu.pagingDomain(1);
        iommu.attach(endpoint.attachment(), domain, status -> {});
        domain.map(IOVA, IOVA + RAM_BYTES - 1, 0, MapFlags.READ | MapFlags.WRITE, status -> {});
        function.vectors(vector -> {
            vectors.add(vector);
            return true;
        });
        enable();
    }

    private void enable() {
        function.configWrite(Pci.COMMAND, 2, Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER);
        function.barWrite(REGISTER_BAR, INTRCTRL, 1, INTRCTRL_MSIX_VECTOR_CONTROL);
    }

    private void write(int register, int size, long value) {
        function.barWrite(REGISTER_BAR, CHANNEL_SIZE + register, size, value);
    }

    private long read(int register, int size) {
        return function.barRead(REGISTER_BAR, CHANNEL_SIZE + register, size);
    }

    private int state() {
        return (int) read(CHANSTS, 8) & STATUS_MASK;
    }

    private void descriptor(long at, int length, int control, long source, long target, long next) {
        long here = at - IOVA;
        ram.set(U32, here + DESCRIPTOR_LENGTH, length);
        ram.set(U32, here + DESCRIPTOR_CONTROL, control);
        ram.set(U64, here + DESCRIPTOR_SOURCE, source);
        ram.set(U64, here + DESCRIPTOR_DESTINATION, target);
        ram.set(U64, here + DESCRIPTOR_NEXT, next);
    }

    private void start(int control, int count) {
        write(CHAINADDR, 8, CHAIN);
        write(CHANCTRL, 2, control);
        write(DMACOUNT, 2, count);
    }

    /** Turns until nothing waits; how many there were. */
    private int run() {
        int turns = 0;
        for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
            assertThat(tasks).as("one turn waits at a time").isEmpty();
            task.run();
            turns++;
        }
        return turns;
    }

    private long count(String name) {
        return requireNonNull(function.counters().get(name), name);
    }

    @Test
    void registersSayWhatDriversLookFor() {
        assertThat(function.configRead(0, 4)).isEqualTo((DEVICE_ID << 16) | VENDOR_ID);
        assertThat(function.configSize()).isEqualTo(4096);
        assertThat(function.configRead(CHANERR_INT, 4)).isZero();
        assertThat(function.barRead(REGISTER_BAR, CHANCNT, 1)).isEqualTo(1);
        assertThat(function.barRead(REGISTER_BAR, XFERCAP, 1)).isEqualTo(14);
        assertThat(function.barRead(REGISTER_BAR, VERSION, 1)).isEqualTo(VERSION_3_2);
        assertThat(read(COMPATIBILITY, 2)).isEqualTo(COMPATIBILITY_V2);
        assertThat(state()).isEqualTo(STATUS_HALTED);
    }

    @Test
    void chainIsCopiedAndItsCompletionWrittenWithAnInterrupt() {
        ram.set(U64, SOURCE - IOVA, 0x1122_3344_5566_7788L);
        ram.set(U64, SOURCE - IOVA + 16376, 42);
        descriptor(CHAIN, 0, CONTROL_NULL, UNMAPPED, UNMAPPED, CHAIN + 64);
        descriptor(CHAIN + 64, 16384, 0, SOURCE, TARGET, CHAIN + 128);
        descriptor(
                CHAIN + 128,
                8,
                CONTROL_COMPLETION | CONTROL_INTERRUPT,
                SOURCE,
                TARGET + 0x10,
                CHAIN);
        write(CHANCMP, 4, COMPLETION);
        write(CHANCMP + 4, 4, 0);

        start(CHANCTRL_INT_REARM, 3);
        assertThat(state()).isEqualTo(STATUS_ACTIVE);
        run();

        assertThat(state()).isEqualTo(STATUS_DONE);
        assertThat(ram.get(U64, TARGET - IOVA)).isEqualTo(0x1122_3344_5566_7788L);
        assertThat(ram.get(U64, TARGET - IOVA + 16376)).isEqualTo(42);
        assertThat(ram.get(U64, TARGET - IOVA + 16)).isEqualTo(0x1122_3344_5566_7788L);
        assertThat(ram.get(U64, COMPLETION - IOVA)).isEqualTo((CHAIN + 128) | STATUS_DONE);
        assertThat(vectors).containsExactly(0);
        assertThat(count("descriptors")).isEqualTo(3);
        assertThat(count("bytes")).isEqualTo(16392);
        assertThat(endpoint.counts().faults()).isZero();
    }

    @Test
    void interruptComesOnceUntilTheDriverIsReadyForAnother() {
        descriptor(CHAIN, 8, CONTROL_INTERRUPT, SOURCE, TARGET, CHAIN);
        start(CHANCTRL_INT_REARM, 5);
        run();
        assertThat(vectors).hasSize(1);
        write(CHANCTRL, 2, CHANCTRL_INT_REARM);
        assertThat(vectors).hasSize(2);
        write(CHANCTRL, 2, CHANCTRL_INT_REARM);
        assertThat(vectors).hasSize(2);
        assertThat(count("interrupts")).isEqualTo(2);
    }

    @Test
    void suspendedChannelGoesOnWhereItWas() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN);
        start(0, 100);
        Runnable first = tasks.remove();
        first.run();
        write(CHANCMD, 1, CHANCMD_SUSPEND);
        assertThat(state()).isEqualTo(STATUS_SUSPENDED);
        run();
        assertThat(count("descriptors")).isEqualTo(IoatChannel.TURN_DESCRIPTORS);
        write(CHANCMD, 1, CHANCMD_RESUME);
        run();
        assertThat(state()).isEqualTo(STATUS_DONE);
        assertThat(count("descriptors")).isEqualTo(100);
    }

    @Test
    void countGoesRoundAndANewChainBeginsItAtNothing() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN);
        start(0, 0xffff);
        run();
        write(DMACOUNT, 2, 2);
        run();
        assertThat(count("descriptors")).isEqualTo(0xffff + 3);
        start(0, 1);
        run();
        assertThat(count("descriptors")).isEqualTo(0xffff + 4);
    }

    /** A loop of descriptors lasts as long as the driver has said, a part of it at a time. */
    @Test
    void loopOfDescriptorsEndsAtItsCountAndLetsOthersGoFirst() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN + 64);
        descriptor(CHAIN + 64, 8, 0, SOURCE, TARGET, CHAIN);
        start(0, 0xffff);
        int turns = run();

        assertThat(count("descriptors")).isEqualTo(0xffff);
        assertThat(turns).isEqualTo(0x10000 / IoatChannel.TURN_DESCRIPTORS);
        assertThat(count("postponed")).isEqualTo(turns - 1);
    }

    /** However often the driver says go, one turn waits and does no more than any other. */
    @Test
    void countsWrittenWithoutEndPostOneTurn() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN);
        write(CHAINADDR, 8, CHAIN);
        for (int i = 1; i <= 10_000; i++) {
            write(DMACOUNT, 2, i);
            write(CHANCMD, 1, i % 2 == 0 ? CHANCMD_SUSPEND : CHANCMD_RESUME);
        }
        write(CHANCMD, 1, CHANCMD_RESUME);
        assertThat(tasks).hasSize(1);
        tasks.remove().run();
        assertThat(count("descriptors")).isEqualTo(IoatChannel.TURN_DESCRIPTORS);
    }

    @Test
    void resetInTheMiddleOfALoopEndsItAndTheTurnThatWaitsDoesNothing() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN);
        start(0, 0xffff);
        tasks.remove().run();
        long done = count("descriptors");

        write(CHANCMD, 1, CHANCMD_RESET);
        assertThat(state()).isEqualTo(STATUS_HALTED);
        assertThat(read(CHANCMD, 1)).as("it is over at once").isZero();
        run();
        write(DMACOUNT, 2, 7);
        run();

        assertThat(count("descriptors")).isEqualTo(done);
        assertThat(count("resets")).isEqualTo(1);
        start(0, 1);
        run();
        assertThat(state()).isEqualTo(STATUS_DONE);
    }

    @Test
    void functionThatIsResetWhileItCopiesTouchesNothingAnyMore() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN);
        start(0, 0xffff);
        tasks.remove().run();
        ram.set(U64, SOURCE - IOVA, 99);
        function.reset();
        run();
        assertThat(ram.get(U64, TARGET - IOVA)).isZero();
        assertThat(state()).isEqualTo(STATUS_HALTED);
    }

    @Test
    void addressesThatAreNotMappedHaltTheChannelEachWithItsError() {
        assertHalts(ERROR_SOURCE_ADDRESS, 8, 0, UNMAPPED, TARGET);
        assertHalts(ERROR_DESTINATION_ADDRESS, 8, 0, SOURCE, UNMAPPED);
        assertHalts(ERROR_SOURCE_ADDRESS, 16, 0, -8L, TARGET);
        assertThat(endpoint.counts().faults()).isEqualTo(3);
        assertHalts(ERROR_LENGTH, 0, 0, SOURCE, TARGET);
        assertHalts(ERROR_LENGTH, 16385, 0, SOURCE, TARGET);
        assertHalts(ERROR_LENGTH, -1, 0, SOURCE, TARGET);
        assertHalts(ERROR_CONTROL, 8, 0x87 << CONTROL_OPERATION_SHIFT, SOURCE, TARGET);
        assertThat(endpoint.counts().faults()).isEqualTo(3);
        assertThat(count("errors")).isEqualTo(7);
        assertThat(count("bytes")).isZero();
    }

    private void assertHalts(int error, int length, int control, long source, long target) {
        descriptor(CHAIN, length, control, source, target, CHAIN);
        start(CHANCTRL_INT_REARM, 3);
        run();
        assertThat(state()).isEqualTo(STATUS_HALTED);
        assertThat(read(CHANERR, 4)).isEqualTo(error);
        start(0, 3);
        run();
        assertThat(state()).as("not before the error is cleared").isEqualTo(STATUS_HALTED);
        write(CHANERR, 4, error);
        assertThat(read(CHANERR, 4)).isZero();
        assertThat(vectors).as("errors send none unless they are to").isEmpty();
    }

    @Test
    void chainThatLeadsNowhereHaltsTheChannel() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, UNMAPPED);
        start(CHANCTRL_INT_REARM | CHANCTRL_ERR_INT_EN, 2);
        run();
        assertThat(read(CHANERR, 4)).isEqualTo(ERROR_NEXT_ADDRESS);
        assertThat(count("descriptors")).isEqualTo(1);
        assertThat(vectors).hasSize(1);
        write(CHANERR, 4, -1);
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN + 8);
        start(0, 2);
        run();
        assertThat(read(CHANERR, 4)).isEqualTo(ERROR_ALIGNMENT);
    }

    @Test
    void completionAddressThatIsNotMappedHaltsTheChannelAndIsTriedOnce() {
        descriptor(CHAIN, 8, CONTROL_COMPLETION, SOURCE, TARGET, CHAIN);
        write(CHANCMP, 8, UNMAPPED);
        start(CHANCTRL_ERR_COMPLETION_EN, 0xffff);
        run();
        assertThat(state()).isEqualTo(STATUS_HALTED);
        assertThat(read(CHANERR, 4)).isEqualTo(ERROR_COMPLETION_ADDRESS);
        assertThat(endpoint.counts().faults()).isEqualTo(1);
        assertThat(count("completions")).isZero();
        assertThat(count("errors")).isEqualTo(1);
        assertThat(count("descriptors")).isEqualTo(1);
    }

    @Test
    void errorIsToldWhereTheDriverLooksForCompletionsIfItSaidSo() {
        descriptor(CHAIN, 8, CONTROL_COMPLETION, SOURCE, UNMAPPED, CHAIN);
        write(CHANCMP, 8, COMPLETION);
        start(CHANCTRL_ERR_COMPLETION_EN, 1);
        run();
        assertThat(ram.get(U64, COMPLETION - IOVA)).isEqualTo(STATUS_HALTED);
    }

    @Test
    void functionThatMayNotTouchMemoryHalts() {
        descriptor(CHAIN, 8, 0, SOURCE, TARGET, CHAIN);
        function.configWrite(Pci.COMMAND, 2, Pci.COMMAND_MEMORY);
        start(0, 1);
        run();
        assertThat(read(CHANERR, 4)).isEqualTo(ERROR_READ_DATA);
        assertThat(endpoint.counts().faults()).isZero();
    }

    @Test
    void addressesAreWrittenWholeOrInHalves() {
        write(CHAINADDR + 4, 4, 0x1234);
        write(CHAINADDR, 4, 0x5678_0000);
        assertThat(read(CHAINADDR, 8)).isEqualTo(0x1234_5678_0000L);
        assertThat(read(CHAINADDR + 4, 4)).isEqualTo(0x1234);
        write(CHANCMP, 8, -1);
        assertThat(read(CHANCMP, 8)).isEqualTo(-8);
    }

    @Test
    void otherRegistersOfTheBarReadAsNothing() {
        for (int offset = 2 * CHANNEL_SIZE; offset < 0x4000; offset += 8) {
            function.barWrite(REGISTER_BAR, offset, 8, -1);
            assertThat(function.barRead(REGISTER_BAR, offset, 8)).isZero();
        }
        function.vectors(VectorSink.NONE);
        assertThat(tasks).isEmpty();
    }
}
