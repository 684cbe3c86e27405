// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.ioasis.spec.Virtio.*;
import static org.ioasis.spec.VirtioPci.*;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.ioasis.spec.Pci;
import org.ioasis.virtio.VirtioDevice;
import org.ioasis.virtqueue.DriverQueue;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;

/** Drives the function's registers as a guest does. */
class VirtioPciFunctionTest {
    private static final int CLASS = Pci.CLASS_STORAGE_SCSI;
    private static final long FRAME = F_VERSION_1 | F_RING_RESET;
    private static final int BAR = 2;

    private final MemorySegment ram = Arena.ofAuto().allocate(0x10000, 4096);
    private final EchoType type = new EchoType();
    private final VirtioPciFunction function = function();
    private DriverQueue ring = ring(0x1000, 8);
    private final List<Integer> triggered = new ArrayList<>();
    private boolean delivers = true;
    private final RegisterDriver driver = new RegisterDriver(bus(function));

    private VirtioPciFunction function() {
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 4);
        memory.add(new Region(0, ram.byteSize() - 1, ram, true, null));
        VirtioPciFunction made =
                new VirtioPciFunction(type, new DirectDma(memory, guards.open()), FRAME, CLASS);
        made.vectors(vector -> delivers && triggered.add(vector));
        return made;
    }

    private static RegisterDriver.Bus bus(PciFunction function) {
        return new RegisterDriver.Bus() {
            @Override
            public long configRead(int offset, int size) {
                return function.configRead(offset, size) & 0xffff_ffffL;
            }

            @Override
            public void configWrite(int offset, int size, long value) {
                function.configWrite(offset, size, (int) value);
            }

            @Override
            public long read(int bar, long offset, int size) {
                return function.barRead(bar, offset, size);
            }

            @Override
            public void write(int bar, long offset, int size, long value) {
                function.barWrite(bar, offset, size, value);
            }
        };
    }

    private DriverQueue ring(long at, int size) {
        return RingFormat.SPLIT.newDriver(
                ram.asSlice(at, RingFormat.SPLIT.driverBytes(size)), at, size, false);
    }

    /** Brings queue 0 up. */
    private void start() {
        driver.enableMsix();
        driver.negotiate(F_VERSION_1 | 1);
        driver.common(COMMON_CONFIG_MSIX_VECTOR, 2, 0);
        driver.enableQueue(0, 1, ring);
        driver.driverOk();
    }

    /** One chain: 4 bytes at 0x4000 to read, 4 at 0x5000 to write. */
    private void offerChain() {
        ram.set(ValueLayout.JAVA_INT, 0x4000, 0x04030201);
        int _ = ring.begin();
        ring.readable(0x4000, 4);
        ring.writable(0x5000, 4);
        ring.offer();
        ring.expose();
    }

    // One queue reset alone: 2.6.1 and 4.1.4.3.

    @Test
    void aQueueIsResetAloneAndEnabledAgain() {
        driver.negotiate(F_VERSION_1 | F_RING_RESET);
        driver.enableQueue(0, 0xffff, ring);
        driver.enableQueue(1, 0xffff, ring(0x6000, 4));
        driver.driverOk();
        offerChain();
        driver.kick(0);
        assertThat(ring.usedCount()).isOne();

        driver.common(COMMON_QUEUE_SELECT, 2, 0);
        driver.common(COMMON_QUEUE_RESET, 2, 1);

        assertThat(type.queueResets).isEqualTo(1);
        assertThat(driver.common(COMMON_QUEUE_RESET, 2)).isZero();
        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isZero();
        assertThat(driver.common(COMMON_QUEUE_SIZE, 2)).isEqualTo(8);
        offerChain();
        driver.kick(0);
        assertThat(ring.usedCount()).as("not used").isOne();
        driver.common(COMMON_QUEUE_SELECT, 2, 1);
        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isEqualTo(1);

        ring = ring(0x1000, 8);
        offerChain();
        driver.enableQueue(0, 0xffff, ring);
        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isEqualTo(1);
        assertThat(ring.usedCount()).as("found").isOne();
        assertThat(ram.get(ValueLayout.JAVA_INT, 0x5000)).isEqualTo(0x05040302);
        assertThat(type.resets).isEqualTo(1);
    }

    @Test
    void aQueueIsNotResetAloneUnlessThatWasNegotiated() {
        start();
        driver.common(COMMON_QUEUE_SELECT, 2, 0);
        driver.common(COMMON_QUEUE_RESET, 2, 1);

        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isEqualTo(1);
        assertThat(type.queueResets).isZero();
    }

    // Bus mastering: PCI 3.0, 6.2.2.

    @Test
    void functionThatIsNoMasterTouchesNoMemoryAndSendsNothing() {
        start();
        driver.master(false);
        offerChain();
        MemorySegment offered = MemorySegment.ofArray(ram.toArray(ValueLayout.JAVA_BYTE));

        driver.kick(0);
        function.memoryChanged();
        function.device().configChanged();

        assertThat(ram.mismatch(offered)).as("first byte that changed").isEqualTo(-1);
        assertThat(triggered).isEmpty();
        assertThat(type.kicks).as("the one at DRIVER_OK").isOne();
    }

    @Test
    void functionThatIsMasterAgainLooksAtItsQueuesAndSendsWhatItOwes() {
        start();
        driver.master(false);
        offerChain();
        driver.kick(0);
        function.device().configChanged();

        driver.master(true);

        assertThat(ring.usedCount()).isOne();
        assertThat(ram.get(ValueLayout.JAVA_INT, 0x5000)).isEqualTo(0x05040302);
        assertThat(triggered).containsExactlyInAnyOrder(0, 1);
    }

    @Test
    void queuesAreLookedAtWithoutAKickWhenTheFunctionIsMasterAgain() {
        start();
        driver.master(false);
        offerChain();

        driver.master(true);

        assertThat(ring.usedCount()).isOne();
    }

    @Test
    void deviceThatIsStartedBeforeItIsMasterBeginsWhenItIs() {
        driver.enableMsix();
        driver.negotiate(F_VERSION_1 | 1);
        driver.master(false);
        driver.enableQueue(0, 1, ring);
        offerChain();
        driver.driverOk();
        assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isEqualTo(0xf);
        assertThat(ring.usedCount()).isZero();

        driver.master(true);

        assertThat(ring.usedCount()).isOne();
        assertThat(triggered).containsExactly(1);
    }

    @Test
    void queueIsResetAndEnabledWhileTheFunctionIsNoMaster() {
        driver.negotiate(F_VERSION_1 | F_RING_RESET);
        driver.enableQueue(0, 0xffff, ring);
        driver.driverOk();
        driver.master(false);
        driver.common(COMMON_QUEUE_SELECT, 2, 0);
        driver.common(COMMON_QUEUE_RESET, 2, 1);
        assertThat(type.queueResets).isOne();
        offerChain();
        driver.enableQueue(0, 0xffff, ring);
        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isOne();
        assertThat(ring.usedCount()).isZero();

        driver.master(true);

        assertThat(ring.usedCount()).isOne();
    }

    @Test
    void kicksBeforeAResetAreForgotten() {
        start();
        driver.master(false);
        driver.kick(0);
        driver.common(COMMON_DEVICE_STATUS, 1, 0);
        int kicks = type.kicks;

        driver.master(true);

        assertThat(type.kicks).isEqualTo(kicks);
    }

    @Test
    void waitForAbsentMemoryDoesNotCountWhileTheFunctionIsNoMaster() {
        start();
        function.device().waitsForMemory(true);
        function.tick(0);
        driver.master(false);

        function.tick(VirtioDevice.ABSENT_LIMIT_NANOS);

        assertThat(function.device().brokenReason()).isNull();
    }

    // MSI-X: PCI 3.0, 6.8.2.

    private static final int TABLE_BAR = 1;

    private void msixFlags(int flags) {
        function.configWrite(driver.msix + Pci.MSIX_FLAGS, 2, flags);
    }

    private long pending() {
        return function.barRead(TABLE_BAR, 0x800, 8);
    }

    private void maskVector(int vector, boolean isMasked) {
        long control = vector * (long) Pci.MSIX_ENTRY_SIZE + Pci.MSIX_ENTRY_VECTOR_CTRL;
        function.barWrite(TABLE_BAR, control, 4, isMasked ? 1 : 0);
    }

    @Test
    void vectorWithoutADescriptorIsPendingUntilOneComes() {
        start();
        delivers = false;
        offerChain();
        driver.kick(0);
        assertThat(triggered).isEmpty();
        assertThat(pending()).isEqualTo(0b010);
        function.vectorsChanged();
        assertThat(pending()).as("still none").isEqualTo(0b010);

        delivers = true;
        function.vectorsChanged();

        assertThat(triggered).containsExactly(1);
        assertThat(pending()).isZero();
        function.vectorsChanged();
        assertThat(triggered).as("once").hasSize(1);
    }

    @Test
    void vectorOfAMaskedFunctionIsPendingUntilTheMaskGoes() {
        start();
        msixFlags(Pci.MSIX_FLAGS_ENABLE | Pci.MSIX_FLAGS_MASKALL);
        function.device().configChanged();
        offerChain();
        driver.kick(0);
        function.device().configChanged();
        assertThat(triggered).isEmpty();
        assertThat(pending()).isEqualTo(0b011);
        assertThat(function.barRead(TABLE_BAR, 0x800, 1)).isEqualTo(0b011);
        assertThat(function.barRead(TABLE_BAR, 0x804, 4)).isZero();

        msixFlags(Pci.MSIX_FLAGS_ENABLE);

        assertThat(triggered).as("each once").containsExactly(0, 1);
        assertThat(pending()).isZero();
    }

    @Test
    void maskedVectorIsPendingUntilItsOwnMaskGoes() {
        start();
        maskVector(1, true);
        offerChain();
        driver.kick(0);
        function.device().configChanged();
        assertThat(triggered).containsExactly(0);
        assertThat(pending()).isEqualTo(0b010);
        maskVector(0, false);
        assertThat(pending()).isEqualTo(0b010);

        maskVector(1, false);

        assertThat(triggered).containsExactly(0, 1);
        assertThat(pending()).isZero();
    }

    @Test
    void pendingVectorIsForgottenWithTheDriverOrTheTable() {
        Runnable[] ends = {
            () -> driver.common(COMMON_DEVICE_STATUS, 1, 0), () -> msixFlags(0), function::reset
        };
        for (Runnable end : ends) {
            start();
            msixFlags(Pci.MSIX_FLAGS_ENABLE | Pci.MSIX_FLAGS_MASKALL);
            function.device().configChanged();
            assertThat(pending()).isOne();

            end.run();

            assertThat(pending()).isZero();
        }
        assertThat(triggered).isEmpty();
    }

    @Test
    void tableKeepsWhatIsWrittenAndThePendingBitsDoNot() {
        assertThat(function.barRead(TABLE_BAR, 12, 4)).as("masked after reset").isOne();
        function.barWrite(TABLE_BAR, 0, 8, 0x1122334455667788L);
        function.barWrite(TABLE_BAR, 8, 4, 0xfee);
        function.barWrite(TABLE_BAR, 0x800, 8, -1);
        function.barWrite(TABLE_BAR, 3 * 16, 4, 5);

        assertThat(function.barRead(TABLE_BAR, 0, 4)).isEqualTo(0x55667788L);
        assertThat(function.barRead(TABLE_BAR, 4, 4)).isEqualTo(0x11223344L);
        assertThat(function.barRead(TABLE_BAR, 8, 8)).isEqualTo(0x1_0000_0feeL);
        assertThat(function.barRead(TABLE_BAR, 3 * 16, 4)).as("no fourth entry").isZero();
        assertThat(pending()).isZero();
        function.reset();
        assertThat(function.barRead(TABLE_BAR, 0, 8)).isZero();
    }

    // What a guest must not do.

    @Test
    void configSpaceKeepsWhatIsNotWritable() {
        byte[] before = config();

        for (int offset = 0; offset < 256; offset += 4) {
            function.configWrite(offset, 4, -1);
        }

        byte[] after = config();
        assertThat(after[Pci.VENDOR_ID]).isEqualTo(before[Pci.VENDOR_ID]);
        // Of the header: command, cache line size, the two BARs' bases and the interrupt line.
        assertThat(function.configRead(Pci.COMMAND, 4)).isEqualTo(0x00100546);
        assertThat(function.configRead(Pci.BASE_ADDRESS_0, 4)).isZero();
        assertThat(function.configRead(Pci.BASE_ADDRESS_0 + 4, 4)).isEqualTo(-0x1000);
        assertThat(function.configRead(Pci.BASE_ADDRESS_0 + 8, 4)).isEqualTo(-0x4000);
        for (int bar = 3; bar < 6; bar++) {
            assertThat(function.configRead(Pci.BASE_ADDRESS_0 + 4 * bar, 4)).isZero();
        }
        assertThat(function.configRead(Pci.INTERRUPT_LINE, 4)).isEqualTo(0xff);
        assertThat(new RegisterDriver(bus(function)).structures).containsOnlyKeys(1, 2, 3, 4, 5);
        assertThat(function.configRead(driver.msix + Pci.MSIX_FLAGS, 2)).isEqualTo(0xc002);

        function.reset();
        assertThat(config()).isEqualTo(before);
    }

    private byte[] config() {
        byte[] bytes = new byte[256];
        for (int i = 0; i < 256; i++) {
            bytes[i] = (byte) function.configRead(i, 1);
        }
        return bytes;
    }

    @Test
    void accessesThatFitNoFieldReadZeroAndChangeNothing() {
        start();
        for (int offset = 0; offset < 0x4000; offset++) {
            boolean isField = offset < 0x38 || offset == 0x1000 || (offset & ~0xf) == 0x2000;
            for (int size : new int[] {1, 2, 4, 8}) {
                boolean isIsr = offset == 0x1000;
                boolean fits = offset + size <= 0x4000;
                if (fits && !isIsr && (!isField || offset % size != 0)) {
                    assertThat(function.barRead(BAR, offset, size)).isZero();
                }
            }
        }
        function.barWrite(BAR, COMMON_DEVICE_STATUS, 4, 0);
        function.barWrite(BAR, COMMON_QUEUE_ENABLE + 1, 1, 0);
        function.barWrite(BAR, COMMON_NUM_QUEUES, 2, 7);
        function.barWrite(BAR, 0x2000 + EchoType.CONFIG_SIZE, 4, 7);
        function.barWrite(1, 0, 4, 7);
        function.barWrite(0, 0, 4, 7);

        assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isEqualTo(0xf);
        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isOne();
        assertThat(driver.common(COMMON_NUM_QUEUES, 2)).isEqualTo(2);
        assertThat(function.barRead(1, 0x800, 8)).isZero();
        assertThat(function.barSize(0) + function.barSize(3)).isZero();
    }

    @Test
    void queueThatIsNotThereReadsAsUnavailable() {
        for (int queue : new int[] {2, 100, 0xffff}) {
            driver.common(COMMON_QUEUE_SELECT, 2, queue);
            driver.common(COMMON_QUEUE_SIZE, 2, 8);
            driver.common(COMMON_QUEUE_MSIX_VECTOR, 2, 1);
            driver.common(COMMON_QUEUE_ENABLE, 2, 1);

            assertThat(driver.common(COMMON_QUEUE_SELECT, 2)).isEqualTo(queue);
            for (int field = COMMON_QUEUE_SIZE; field < COMMON_QUEUE_DESC; field += 2) {
                assertThat(driver.common(field, 2)).isZero();
            }
        }
    }

    @Test
    void vectorThatIsNotThereReadsAsNoVector() {
        driver.common(COMMON_CONFIG_MSIX_VECTOR, 2, 3);
        driver.common(COMMON_QUEUE_MSIX_VECTOR, 2, 0x7ff);

        assertThat(driver.common(COMMON_CONFIG_MSIX_VECTOR, 2)).isEqualTo(VIRTIO_MSI_NO_VECTOR);
        assertThat(driver.common(COMMON_QUEUE_MSIX_VECTOR, 2)).isEqualTo(VIRTIO_MSI_NO_VECTOR);
    }

    @Test
    void kicksOfQueuesThatAreNotThereOrNotRunningAreIgnored() {
        start();
        int kicks = type.kicks;

        function.barWrite(BAR, 0x3000, 2, 2);
        function.barWrite(BAR, 0x3000, 2, 0xffff);
        function.barWrite(BAR, 0x3004, 2, 1);
        function.barWrite(BAR, 0x3001, 2, 0);

        assertThat(type.kicks).isEqualTo(kicks);
    }

    @Test
    void barThatIsNoPowerOfTwoIsRefused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new ConfigSpace().defineBar(0, 24))
                .withMessageContaining("24");
    }

    @Test
    void windowCapabilityIgnoresWhatADriverMustNotSet() {
        int cap = driver.structure(VIRTIO_PCI_CAP_PCI_CFG).capability();
        int[][] bad = {{0, 0, 4}, {1, 0, 4}, {2, 0x4000, 4}, {2, -4, 4}, {2, 2, 4}, {2, 0, 8}};
        for (int[] window : bad) {
            function.configWrite(cap + CAP_BAR, 1, window[0]);
            function.configWrite(cap + CAP_OFFSET, 4, window[1]);
            function.configWrite(cap + CAP_LENGTH, 4, window[2]);
            function.configWrite(cap + CFG_CAP_DATA, 4, 0x55);
            assertThat(function.configRead(cap + CFG_CAP_DATA, 4)).isEqualTo(0x55);
        }
        assertThat(driver.common(COMMON_DEVICE_FEATURE_SELECT, 4)).isZero();
    }

    @Test
    void randomAccessesNeverThrow() {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        for (int i = 0; i < 200_000; i++) {
            int size = 1 << random.nextInt(3);
            int offset = random.nextInt(256 / size) * size;
            long value = random.nextBoolean() ? random.nextInt(16) : random.nextLong();
            int bar = 1 + random.nextInt(2);
            int where = (random.nextInt(4) << 12) + random.nextInt(0x48);
            long at = where & (function.barSize(bar) - 1);
            switch (random.nextInt(5)) {
                case 0 -> function.configRead(offset, size);
                case 1 -> function.configWrite(offset, size, (int) value);
                case 2 -> function.barRead(bar, at, size);
                case 3 -> function.barWrite(bar, at, size, value);
                default -> function.barWrite(BAR, at & -8, 8, value);
            }
        }
        function.reset();
        start();
        offerChain();
        driver.kick(0);
        assertThat(ram.get(ValueLayout.JAVA_INT, 0x5000)).as("seed %d", seed).isEqualTo(0x05040302);
    }

    // What it may.

    @Test
    void headerIsThatOfAModernVirtioDevice() {
        assertThat(function.configRead(Pci.VENDOR_ID, 2)).isEqualTo(0x1af4);
        assertThat(function.configRead(Pci.DEVICE_ID, 2)).isEqualTo(0x1040 + type.id());
        assertThat(function.configRead(Pci.REVISION_ID, 4)).isEqualTo((CLASS << 8) | 1);
        assertThat(function.configRead(Pci.STATUS, 2)).isEqualTo(Pci.STATUS_CAP_LIST);
        assertThat(function.configRead(0x0e, 1)).isZero();
        assertThat(function.configRead(Pci.CAPABILITY_LIST, 1)).isEqualTo(0x40);
        assertThat(function.configRead(0x3d, 1)).as("no INTx pin").isZero();
        assertThat(function.configRead(driver.msix + Pci.MSIX_FLAGS, 2)).isEqualTo(2);
        assertThat(function.configRead(driver.msix + Pci.MSIX_TABLE, 4)).isEqualTo(1);
        assertThat(function.configRead(driver.msix + Pci.MSIX_PBA, 4)).isEqualTo(0x801);
        assertThat(function.vectorCount()).isEqualTo(3);
        RegisterDriver.Structure common = driver.structure(VIRTIO_PCI_CAP_COMMON_CFG);
        assertThat(common.bar()).isEqualTo(2);
        assertThat(common.offset()).isZero();
        assertThat(common.length()).isEqualTo(64);
        assertThat(driver.structure(VIRTIO_PCI_CAP_ISR_CFG).offset()).isEqualTo(0x1000);
        assertThat(driver.structure(VIRTIO_PCI_CAP_DEVICE_CFG).offset()).isEqualTo(0x2000);
        assertThat(driver.structure(VIRTIO_PCI_CAP_NOTIFY_CFG).offset()).isEqualTo(0x3000);
        assertThat(driver.structure(VIRTIO_PCI_CAP_PCI_CFG).capability()).isPositive();
        assertThat(function.barSize(1)).isEqualTo(4096);
        assertThat(function.barSize(2)).isEqualTo(16384);
    }

    @Test
    void featuresAreShownInWindowsOf32Bits() {
        assertThat(driver.deviceFeatures()).isEqualTo(FRAME | 5);
        driver.common(COMMON_DEVICE_FEATURE_SELECT, 4, 2);
        assertThat(driver.common(COMMON_DEVICE_FEATURE, 4)).isZero();
        driver.common(COMMON_DEVICE_FEATURE_SELECT, 4, 0xffff_ffffL);
        assertThat(driver.common(COMMON_DEVICE_FEATURE, 4)).isZero();
        assertThat(driver.common(COMMON_DEVICE_FEATURE_SELECT, 4)).isEqualTo(0xffff_ffffL);

        driver.negotiate(F_VERSION_1 | 4);
        assertThat(driver.common(COMMON_DRIVER_FEATURE, 4)).isOne();
        driver.common(COMMON_DRIVER_FEATURE_SELECT, 4, 0);
        assertThat(driver.common(COMMON_DRIVER_FEATURE, 4)).isEqualTo(4);
        driver.common(COMMON_DRIVER_FEATURE_SELECT, 4, 7);
        assertThat(driver.common(COMMON_DRIVER_FEATURE, 4)).isZero();
        assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isEqualTo(0xb);
    }

    @Test
    void addressesAreWrittenInHalvesInAnyOrder() {
        driver.common(COMMON_QUEUE_DESC + 4, 4, 0x11223344);
        driver.common(COMMON_QUEUE_DESC, 4, 0x88990000L);
        function.barWrite(BAR, COMMON_QUEUE_DRIVER, 8, 0x8877665544332210L);

        assertThat(function.device().queueDesc(0)).isEqualTo(0x1122334488990000L);
        assertThat(function.barRead(BAR, COMMON_QUEUE_DESC, 8)).isEqualTo(0x1122334488990000L);
        assertThat(driver.common(COMMON_QUEUE_DRIVER, 4)).isEqualTo(0x44332210);
        assertThat(driver.common(COMMON_QUEUE_DRIVER + 4, 4)).isEqualTo(0x88776655L);
    }

    @Test
    void deviceIsBroughtUpAndDoesItsWorkAndTellsIt() {
        start();
        assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isEqualTo(0xf);
        assertThat(driver.common(COMMON_QUEUE_MSIX_VECTOR, 2)).isOne();
        offerChain();

        driver.kick(0);

        assertThat(ram.get(ValueLayout.JAVA_INT, 0x5000)).isEqualTo(0x05040302);
        assertThat(ring.usedCount()).isOne();
        assertThat(triggered).containsExactly(1);
        assertThat(driver.isr()).as("MSI-X is enabled").isZero();
    }

    @Test
    void withoutMsixTheIsrTellsAndIsClearedByReading() {
        driver.negotiate(F_VERSION_1);
        driver.enableQueue(0, VIRTIO_MSI_NO_VECTOR, ring);
        driver.driverOk();
        offerChain();

        driver.kick(0);

        assertThat(triggered).isEmpty();
        assertThat(function.configRead(Pci.STATUS, 2) & Pci.STATUS_INTERRUPT).isPositive();
        assertThat((function.configRead(Pci.COMMAND, 4) >>> 16) & Pci.STATUS_INTERRUPT)
                .isPositive();
        assertThat(driver.isr()).isEqualTo(ISR_QUEUE);
        assertThat(driver.isr()).isZero();
        assertThat(function.configRead(Pci.STATUS, 2) & Pci.STATUS_INTERRUPT).isZero();
    }

    @Test
    void configurationChangeIsToldByVectorAndIsrAndGeneration() {
        start();
        long generation = driver.common(COMMON_CONFIG_GENERATION, 1);
        driver.deviceConfig(4, 4, 0x11223344);
        assertThat(driver.deviceConfig(4, 4)).isEqualTo(0x11223344);
        assertThat(driver.deviceConfig(5, 1)).isEqualTo(0x33);
        assertThat(driver.deviceConfig(6, 2)).isEqualTo(0x1122);

        function.device().configChanged();

        assertThat(triggered).containsExactly(0);
        assertThat(driver.isr()).isEqualTo(ISR_CONFIG);
        driver.deviceConfig(4, 4);
        assertThat(driver.common(COMMON_CONFIG_GENERATION, 1)).isNotEqualTo(generation);
    }

    @Test
    void statusZeroUnmapsEveryVectorAndLeavesConfigSpaceAlone() {
        start();
        function.device().configChanged();

        driver.common(COMMON_DEVICE_STATUS, 1, 0);

        assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isZero();
        assertThat(driver.common(COMMON_CONFIG_MSIX_VECTOR, 2)).isEqualTo(VIRTIO_MSI_NO_VECTOR);
        assertThat(driver.common(COMMON_QUEUE_MSIX_VECTOR, 2)).isEqualTo(VIRTIO_MSI_NO_VECTOR);
        assertThat(driver.common(COMMON_QUEUE_ENABLE, 2)).isZero();
        assertThat(driver.isr()).isZero();
        assertThat(function.configRead(driver.msix + Pci.MSIX_FLAGS, 2)).isEqualTo(0x8002);
        assertThat(type.resets).isEqualTo(2); // one of them from negotiate
        assertThat(type.systemResets).isZero();
    }

    @Test
    void resetOfTheFunctionIsASystemReset() {
        start();

        function.reset();

        assertThat(type.systemResets).isOne();
        assertThat(driver.common(COMMON_DEVICE_STATUS, 1)).isZero();
        assertThat(driver.common(COMMON_QUEUE_MSIX_VECTOR, 2)).isEqualTo(VIRTIO_MSI_NO_VECTOR);
        assertThat(function.configRead(driver.msix + Pci.MSIX_FLAGS, 2)).isEqualTo(2);
    }

    /** Who waits for memory that was absent hears of it, and nobody else. */
    @Test
    void memoryThatChangesIsNoKick() {
        function.memoryChanged();
        start();
        offerChain();

        function.memoryChanged();

        assertThat(ring.usedCount()).as("nobody has kicked").isZero();
        driver.kick(0);
        assertThat(ring.usedCount()).isOne();
    }

    @Test
    void windowCapabilityReachesTheRegisters() {
        int cap = driver.structure(VIRTIO_PCI_CAP_PCI_CFG).capability();
        function.configWrite(cap + CAP_BAR, 1, 2);
        function.configWrite(cap + CAP_OFFSET, 4, COMMON_QUEUE_SELECT);
        function.configWrite(cap + CAP_LENGTH, 4, 2);

        function.configWrite(cap + CFG_CAP_DATA, 2, 1);
        assertThat(driver.common(COMMON_QUEUE_SELECT, 2)).isOne();
        driver.common(COMMON_QUEUE_SELECT, 2, 0);

        assertThat(function.configRead(cap + CFG_CAP_DATA, 2)).isZero();
        function.configWrite(cap + CAP_OFFSET, 4, COMMON_NUM_QUEUES);
        assertThat(function.configRead(cap + CFG_CAP_DATA, 2)).isEqualTo(2);
    }
}
