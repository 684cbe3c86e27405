// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Provisioner;
import org.ioasis.guestkit.Qemu;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.spec.PackedRing;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.Batch;
import org.ioasis.virtio.iommu.driver.DriverDomain;
import org.ioasis.virtio.iommu.driver.DriverOptions;
import org.ioasis.virtio.iommu.driver.DriverOptions.Range;
import org.ioasis.virtio.iommu.driver.FaultReport;
import org.ioasis.virtio.iommu.driver.FaultReport.Reason;
import org.ioasis.virtio.iommu.driver.IommuDriver;
import org.ioasis.virtio.iommu.driver.Permission;
import org.ioasis.virtio.iommu.driver.RefusedException;
import org.ioasis.virtqueue.RingFormat;
import org.ioasis.vm.Workspace;
import org.junit.jupiter.api.Test;

/**
 * The driver of ours with QEMU's own virtio-iommu, without a guest: an endpoint of QEMU's reaches
 * what the driver's account says, and nothing else.
 */
class QemuDriverTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    /** The IOMMU's and the endpoint's places on the bus. */
    private static final int IOMMU = 0x08;

    private static final int ENDPOINT = 0x20;
    private static final int BARS = 0xe000_0000;

    // Guest memory: pages that mappings lead to, and behind them what is the driver's own.
    private static final long PAGE = 4096;
    private static final long TARGET = 4L << 20;
    private static final int TARGET_PAGES = 64;
    private static final long DRIVER = 16L << 20;

    private static final byte CLEAN = (byte) 0xcc;
    private static final Range MSI = new Range(0xfee0_0000L, 0xfeef_ffffL);

    private static String device(RingFormat ring) {
        return "virtio-iommu-pci,addr=1,granule=4k,aw-bits=39,boot-bypass=off,packed="
                + (ring == RingFormat.PACKED ? "on" : "off");
    }

    /** A machine of QEMU's, the driver in it, and what it was told. */
    private static final class Rig implements AutoCloseable {
        private final QtestVmm vmm;
        private final MemorySegment ram;
        private final DmaEngine edu;
        private final List<FaultReport> told = new ArrayList<>();
        final IommuDriver driver;

        Rig(QtestVmm vmm) throws Exception {
            this.vmm = vmm;
            ram = vmm.ram();
            PciDevice function = new PciDevice(vmm.qtest(), IOMMU);
            function.enable(BARS);
            VirtioPciTransport transport =
                    new VirtioPciTransport(new QtestBus(vmm.qtest(), function));
            transport.locate();
            edu = new DmaEngine.Edu(vmm.qtest(), ENDPOINT);
            edu.enable();
            DriverOptions options = DriverOptions.DEFAULT;
            long bytes = IommuDriver.memoryBytes(options);
            driver =
                    new IommuDriver(
                            transport,
                            new DriverMemory(ram.asSlice(DRIVER, bytes), DRIVER),
                            Patience.nanos(System::nanoTime, LIMIT.toNanos()),
                            options);
            driver.onFault(told::add);
        }

        /** Why a write of the endpoint is refused, or where it changes memory. */
        Object write(long iova) throws Exception {
            MemorySegment pages = ram.asSlice(TARGET, TARGET_PAGES * PAGE);
            pages.fill(CLEAN);
            edu.access(new Step.Access(iova, 8, true));
            told.clear();
            int _ = driver.pollEvents();
            List<Object> seen = new ArrayList<>();
            for (long at = 0; at < pages.byteSize(); at += 8) {
                if (pages.get(ValueLayout.JAVA_LONG, at) == 0) {
                    seen.add(TARGET + at);
                }
            }
            // An access is made in pieces, and each is reported.
            Set<Reason> reasons = EnumSet.noneOf(Reason.class);
            for (FaultReport fault : told) {
                assertThat(fault.endpoint()).isEqualTo(ENDPOINT);
                assertThat(fault.address() & -8).isEqualTo(iova);
                reasons.add(fault.reason());
            }
            seen.addAll(reasons);
            assertThat(seen).as("what a write at 0x%x does", iova).hasSize(1);
            return seen.getFirst();
        }

        @Override
        public void close() throws IOException {
            vmm.close();
        }
    }

    private static long page(int number) {
        return TARGET + number * PAGE;
    }

    /** What is done with a machine of QEMU's. */
    private interface Drive {
        void drive(Rig rig) throws Exception;
    }

    private static void with(RingFormat ring, Drive drive) throws Exception {
        Host host = Host.current();
        try (Cleanup cleanup = Cleanup.atExit();
                Workspace workspace = Workspace.create(host, cleanup, QtestVmm.RAM_BYTES)) {
            Qemu qemu = new Provisioner(host, cleanup, _ -> {}).provideQemu();
            List<String> devices = List.of(device(ring), DmaEngine.Edu.option(ENDPOINT >> 3));
            try (Rig rig =
                    new Rig(new QtestVmm(qemu, host, cleanup, workspace, "driver", devices))) {
                assertThat(rig.driver.config().has(Virtio.F_RING_PACKED))
                        .isEqualTo(ring == RingFormat.PACKED);
                drive.drive(rig);
            }
        }
    }

    @Test
    void theDriverDrivesTheDeviceOfQemu() throws Exception {
        with(RingFormat.SPLIT, QemuDriverTest::mapsAndUnmaps);
        with(RingFormat.SPLIT, QemuDriverTest::batches);
        with(RingFormat.SPLIT, QemuDriverTest::keepsItsAccount);
    }

    /**
     * QEMU's used descriptors of a packed ring have a length and not the flag without which a
     * driver has to ignore it (2.8.4), so what it answers counts as not answered.
     */
    @Test
    void overPackedRingsQemuGivesBackWithoutTheFlagThatItHasWritten() throws Exception {
        with(
                RingFormat.PACKED,
                rig -> {
                    assertThatThrownBy(() -> rig.driver.probe(ENDPOINT))
                            .isInstanceOf(RefusedException.class)
                            .hasMessageContaining("given back without an answer");
                    // The second half of the first descriptor: length, id, flags.
                    long used = rig.ram.get(ValueLayout.JAVA_LONG, DRIVER + 8);
                    assertThat(used & 0xffff_ffffL).as("length").isPositive();
                    assertThat((used >>> 48) & PackedRing.VIRTQ_DESC_F_WRITE).as("flag").isZero();
                });
    }

    private static void mapsAndUnmaps(Rig rig) throws Exception {
        assertThat(rig.driver.probe(ENDPOINT).msi()).isEqualTo(MSI);
        DriverDomain domain = rig.driver.domain();
        // QEMU forgets an endpoint that is in no domain.
        assertThat(rig.write(0x5000)).isEqualTo(Reason.UNKNOWN);
        rig.driver.attach(domain, ENDPOINT);
        assertThat(rig.write(0x5000)).isEqualTo(Reason.MAPPING);
        domain.map(0x5000, 0x5fff, page(3), Permission.READ);
        assertThat(rig.write(0x5010)).isEqualTo(Reason.MAPPING);
        domain.unmap(0x5000, 0x5fff);
        domain.map(0x5000, 0x5fff, page(4), Permission.READ_WRITE);
        assertThat(rig.write(0x5010)).isEqualTo(page(4) + 0x10);

        rig.driver.reset();
        assertThat(rig.write(0x5018)).as("after a reset").isEqualTo(page(4) + 0x18);
        rig.driver.detach(ENDPOINT);
        assertThat(rig.write(0x5010)).isEqualTo(Reason.UNKNOWN);
        domain.unmap(0, -1L >>> 25);
        rig.driver.close(domain);
    }

    /** More than the queue holds. */
    private static void batches(Rig rig) throws Exception {
        DriverDomain domain = rig.driver.domain();
        rig.driver.attach(domain, ENDPOINT);
        int requests = 2 * DriverOptions.DEFAULT.queueSize();
        long kicks = rig.driver.counts().kicks();
        Batch maps = domain.batch();
        for (int i = 0; i < requests; i++) {
            long first = 0x100_0000 + 2L * i * PAGE;
            maps.map(first, first + PAGE - 1, page(i % TARGET_PAGES), Permission.READ_WRITE);
        }
        maps.commit();
        assertThat(rig.driver.counts().kicks() - kicks).isBetween(1L, 8L);
        assertThat(domain.mappingCount()).isEqualTo(requests);
        for (int i = 0; i < requests; i += 37) {
            long first = 0x100_0000 + 2L * i * PAGE;
            assertThat(rig.write(first + 8)).isEqualTo(page(i % TARGET_PAGES) + 8);
            assertThat(rig.write(first + PAGE)).isEqualTo(Reason.MAPPING);
        }
        domain.unmap(0, -1L >>> 25);
        assertThat(rig.write(0x100_0008)).isEqualTo(Reason.MAPPING);
        rig.driver.detach(ENDPOINT);
        rig.driver.close(domain);
    }

    private static void keepsItsAccount(Rig rig) throws Exception {
        Random random = new Random(15);
        DriverDomain domain = rig.driver.domain();
        rig.driver.attach(domain, ENDPOINT);
        Map<Integer, Integer> model = new TreeMap<>();
        int reached = 0;
        for (int i = 0; i < 600; i++) {
            int number = random.nextInt(32);
            long first = 0x8000_0000L + number * PAGE;
            if (model.remove(number) != null) {
                domain.unmap(first, first + PAGE - 1);
            } else {
                int target = random.nextInt(TARGET_PAGES);
                domain.map(first, first + PAGE - 1, page(target), Permission.READ_WRITE);
                model.put(number, target);
            }
            int asked = random.nextInt(32);
            long iova = 0x8000_0000L + asked * PAGE + 8L * random.nextInt(512);
            Integer target = model.get(asked);
            Object expected =
                    target == null ? Reason.MAPPING : (Object) (page(target) + iova % PAGE);
            assertThat(rig.write(iova)).isEqualTo(expected);
            reached += target == null ? 0 : 1;
        }
        assertThat(reached).isBetween(100, 500);
        assertThat(rig.driver.counts().refusals()).isZero();
    }
}
