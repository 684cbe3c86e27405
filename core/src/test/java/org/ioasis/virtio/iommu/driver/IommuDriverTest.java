// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.F_MAP_UNMAP;
import static org.ioasis.spec.VirtioIommu.S_NOENT;
import static org.ioasis.spec.VirtioIommu.S_NOMEM;
import static org.ioasis.virtio.iommu.driver.LocalMachine.OPTIONS;
import static org.ioasis.virtio.iommu.driver.LocalMachine.translated;
import static org.ioasis.virtio.iommu.driver.Permission.READ;
import static org.ioasis.virtio.iommu.driver.Permission.READ_WRITE;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Random;
import java.util.TreeMap;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The driver with the device of ours: what is mapped is reached, and nothing else. */
class IommuDriverTest {
    @Test
    void whatIsMappedIsReachedUntilItIsUnmapped() throws Exception {
        LocalMachine machine = new LocalMachine(1, 2);
        DriverDomain domain = machine.driver.domain();
        machine.driver.attach(domain, 1);
        Dma dma = machine.dma(1);

        domain.map(0x1_0000, 0x1_0fff, 0x5000, READ);
        assertThat(translated(dma, 0x1_0123, Access.READ)).isEqualTo(0x5123);
        assertThat(translated(dma, 0x1_0123, Access.WRITE)).isEqualTo(-1);
        assertThat(translated(machine.dma(2), 0x1_0123, Access.READ)).isEqualTo(-1);
        domain.unmap(0x1_0000, 0x1_0fff);
        assertThat(translated(dma, 0x1_0123, Access.READ)).isEqualTo(-1);
    }

    @Test
    void aDomainWithoutEndpointsIsToldWithItsFirst() throws Exception {
        LocalMachine machine = new LocalMachine(1);
        DriverDomain domain = machine.driver.domain();
        for (int i = 0; i < 1000; i++) {
            domain.map(0x1000L * i, 0x1000L * i + 0xfff, 0x1000L * (i % 100), READ_WRITE);
        }
        assertThat(machine.driver.counts().requests()).isZero();
        Dma dma = machine.dma(1);

        for (int round = 0; round < 3; round++) {
            machine.driver.attach(domain, 1);
            for (int i = 0; i < 1000; i++) {
                assertThat(translated(dma, 0x1000L * i + 5, Access.WRITE))
                        .isEqualTo(0x1000L * (i % 100) + 5);
            }
            machine.driver.detach(1);
            assertThat(translated(dma, 5, Access.READ)).isEqualTo(-1);
        }
    }

    @Test
    void afterAResetEverythingIsWhereItWas() throws Exception {
        LocalMachine machine = new LocalMachine(1, 2, 3);
        IommuDriver driver = machine.driver;
        DriverDomain mapped = driver.domain();
        DriverDomain bypass = driver.bypassDomain();
        mapped.map(0, 0xfff, 0x7000, READ);
        driver.attach(mapped, 1);
        driver.attach(mapped, 2);
        driver.attach(bypass, 3);

        driver.reset();

        assertThat(translated(machine.dma(1), 1, Access.READ)).isEqualTo(0x7001);
        assertThat(translated(machine.dma(2), 1, Access.READ)).isEqualTo(0x7001);
        assertThat(translated(machine.dma(3), 1, Access.READ)).isEqualTo(1);
        driver.stop();
        assertThat(translated(machine.dma(1), 1, Access.READ)).isEqualTo(-1);
    }

    @Test
    void faultsAreHandedOver() throws Exception {
        LocalMachine machine = new LocalMachine(1);
        DriverDomain domain = machine.driver.domain();
        machine.driver.attach(domain, 1);
        List<FaultReport> told = new ArrayList<>();
        machine.driver.onFault(told::add);

        // More than the queue has buffers, one after the other.
        for (int i = 0; i < 600; i++) {
            translated(machine.dma(1), 0x1000L * i, Access.WRITE);
            machine.clock.advance(10_000_000);
            machine.turn();
            machine.driver.pollEvents();
        }

        assertThat(told).hasSizeGreaterThan(256);
        assertThat(told.getFirst())
                .isEqualTo(new FaultReport(FaultReport.Reason.MAPPING, 1, false, true, true, 0));
    }

    @Test
    void anEndpointThatIsGoneIsForgotten() throws Exception {
        LocalMachine machine = new LocalMachine(1, 2);
        IommuDriver driver = machine.driver;
        DriverDomain domain = driver.domain();
        driver.group(List.of(1, 2));
        driver.attach(domain, 1);
        machine.iommu.unplug(requireNonNull(machine.iommu.endpoint(1)), () -> {});
        machine.turn();

        driver.unplugged(1);

        assertThat(domain.endpoints()).containsExactly(2);
        assertThatThrownBy(() -> driver.attach(domain, 1))
                .isInstanceOfSatisfying(
                        RefusedException.class,
                        refused -> assertThat(refused.status()).isEqualTo(S_NOENT));
        machine.iommu.plug(1, EndpointProperties.UNLIMITED);
        driver.attach(domain, 1);
        assertThat(domain.endpoints()).containsExactly(1, 2);
    }

    @Test
    void aDomainThatCannotBeToldAgainKeepsItsEndpointOut() throws Exception {
        LocalMachine machine =
                new LocalMachine(
                        OPTIONS.toBuilder().mappingLimit(10).build(),
                        VirtioIommuDevice.FEATURES,
                        DriverOptions.DEFAULT,
                        1);
        DriverDomain domain = machine.driver.domain();
        for (int i = 0; i < 11; i++) {
            domain.map(0x1000L * i, 0x1000L * i + 0xfff, 0, READ);
        }

        assertThatThrownBy(() -> machine.driver.attach(domain, 1))
                .isInstanceOfSatisfying(
                        RefusedException.class,
                        refused -> assertThat(refused.status()).isEqualTo(S_NOMEM));

        assertThat(machine.driver.domainOf(1)).isNull();
        assertThat(translated(machine.dma(1), 0, Access.READ)).isEqualTo(-1);
        domain.unmap(0, 0xfff);
        machine.driver.attach(domain, 1);
        assertThat(translated(machine.dma(1), 0x1000, Access.READ)).isZero();
    }

    /** A quarter of a million requests with each, beside a table of what must be reached. */
    @ParameterizedTest
    @ValueSource(
            longs = {
                0,
                Virtio.F_INDIRECT_DESC | Virtio.F_EVENT_IDX,
                Virtio.F_RING_PACKED,
                Virtio.F_RING_PACKED | Virtio.F_INDIRECT_DESC | Virtio.F_EVENT_IDX
            })
    void whatIsReachedIsWhatWasAnswered(long frame) throws Exception {
        LocalMachine machine =
                new LocalMachine(
                        OPTIONS,
                        VirtioIommuDevice.FEATURES,
                        DriverOptions.DEFAULT.withFeatures(
                                DriverOptions.FEATURES | Virtio.F_VERSION_1 | frame, F_MAP_UNMAP),
                        1);
        IommuDriver driver = machine.driver;
        DriverDomain domain = driver.domain();
        driver.attach(domain, 1);
        Dma dma = machine.dma(1);
        Random random = new Random(frame);
        TreeMap<Long, long[]> model = new TreeMap<>();
        while (driver.counts().requests() < 250_000) {
            Batch batch = domain.batch();
            List<long[]> asked = new ArrayList<>();
            List<long[]> left = new ArrayList<>();
            for (int i = 0; i < 400; i++) {
                long first = (long) random.nextInt(4096) << 12;
                long last = first + ((1L + random.nextInt(3)) << 12) - 1;
                if (!domain.isMapped(first, last)) {
                    long output = (long) random.nextInt(1024) << 12;
                    batch.map(first, last, output, READ_WRITE);
                    asked.add(new long[] {first, last, output});
                } else {
                    Map.Entry<Long, long[]> known = model.floorEntry(first);
                    if (known != null) {
                        leave(batch, known.getKey(), known.getValue()[0], left);
                    }
                }
            }
            batch.commit();
            left.forEach(each -> model.remove(each[0]));
            asked.forEach(each -> model.put(each[0], new long[] {each[1], each[2]}));
            assertThat(domain.mappingCount()).isEqualTo(model.size());
            for (int i = 0; i < 40; i++) {
                long iova = (long) random.nextInt(4096 << 12);
                assertThat(translated(dma, iova, Access.WRITE)).isEqualTo(expected(model, iova));
            }
        }
        assertThat(model).isNotEmpty();
        assertThat(driver.counts().refusals()).isZero();
    }

    /** Unmaps what begins there, once. */
    private static void leave(Batch batch, long first, long last, List<long[]> left) {
        if (left.stream().noneMatch(each -> each[0] == first)) {
            batch.unmap(first, last);
            left.add(new long[] {first});
        }
    }

    private static long expected(NavigableMap<Long, long[]> model, long iova) {
        Map.Entry<Long, long[]> known = model.floorEntry(iova);
        if (known == null || iova > known.getValue()[0]) {
            return -1;
        }
        return iova - known.getKey() + known.getValue()[1];
    }
}
