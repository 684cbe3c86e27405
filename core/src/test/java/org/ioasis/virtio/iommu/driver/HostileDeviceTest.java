// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.driver.Permission.READ;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.join;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.properties;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.property;
import static org.ioasis.virtio.iommu.driver.ScriptedDevice.region;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.driver.DriverMemory;
import org.ioasis.virtio.driver.Patience;
import org.ioasis.virtio.iommu.driver.ScriptedDevice.Taken;
import org.junit.jupiter.api.Test;

/**
 * A device that does what no device may: the driver refuses it, never waits for ever, and never
 * uses what was not answered.
 */
class HostileDeviceTest {
    private static final int ENDPOINT = 7;

    private final ScriptedDevice device = new ScriptedDevice();

    // --- start

    @Test
    void aDeviceThatCannotBeDrivenIsNotStarted() {
        List<Consumer<ScriptedDevice>> wrongs =
                List.of(
                        each -> each.deviceId = Virtio.DEVICE_ID_BLOCK,
                        each -> each.offered &= ~Virtio.F_VERSION_1,
                        each -> each.offered &= ~F_MAP_UNMAP,
                        each -> each.statusBitsRefused = Virtio.STATUS_FEATURES_OK,
                        each -> each.statusBitsRefused = Virtio.STATUS_DRIVER_OK,
                        each -> each.staysInReset = true,
                        each -> each.refusesQueues = true,
                        each -> each.changes = Integer.MAX_VALUE,
                        each -> each.queueSizeMax[REQUESTQ] = 0,
                        each -> each.queueSizeMax[REQUESTQ] = 1,
                        each -> each.queueSizeMax[EVENTQ] = 0,
                        each -> each.queueSizeMax[EVENTQ] = -1,
                        each -> each.config.putLong(CONFIG_PAGE_SIZE_MASK, 0),
                        each ->
                                each.config
                                        .putLong(CONFIG_INPUT_START, -1)
                                        .putLong(CONFIG_INPUT_END, -2),
                        each ->
                                each.config
                                        .putInt(CONFIG_DOMAIN_START, 9)
                                        .putInt(CONFIG_DOMAIN_END, 8),
                        each -> each.config.putInt(CONFIG_PROBE_SIZE, -1),
                        each -> each.config.putInt(CONFIG_PROBE_SIZE, (1 << 16) + 1));
        for (int i = 0; i < wrongs.size(); i++) {
            ScriptedDevice each = new ScriptedDevice();
            wrongs.get(i).accept(each);

            assertThatThrownBy(each::driver).as("no. " + i).isInstanceOf(DriverException.class);
            assertThat(each.requests).isEmpty();
            if (i > 0 && !each.staysInReset) {
                assertThat(each.statusWrites.getLast() & Virtio.STATUS_FAILED)
                        .as("given up, no. " + i)
                        .isNotZero();
            }
        }
    }

    @Test
    void probeSizeMayBeAsMuchAsTheLimit() throws Exception {
        device.config.putInt(CONFIG_PROBE_SIZE, DriverOptions.DEFAULT.probeSize());
        assertThat(device.driver().probe(ENDPOINT)).isEqualTo(EndpointInfo.NONE);
    }

    @Test
    void aConfigurationThatStaysInTheLastReadIsTaken() throws Exception {
        device.changes = 31;
        device.driver();

        device.changes = 32;
        assertThatThrownBy(device::driver).isInstanceOf(DriverException.class);
    }

    @Test
    void everySetOfFeaturesIsAgreedOnOrRefused() throws Exception {
        long[] bits = {
            F_INPUT_RANGE,
            F_DOMAIN_RANGE,
            F_MAP_UNMAP,
            F_BYPASS,
            F_PROBE,
            F_MMIO,
            F_BYPASS_CONFIG,
            Virtio.F_INDIRECT_DESC,
            Virtio.F_ACCESS_PLATFORM
        };
        int started = 0;
        for (int set = 0; set < 1 << bits.length; set++) {
            ScriptedDevice each = new ScriptedDevice();
            each.offered = Virtio.F_VERSION_1;
            for (int i = 0; i < bits.length; i++) {
                each.offered |= (set >> i & 1) != 0 ? bits[i] : 0;
            }
            each.config.putInt(CONFIG_DOMAIN_START, 3);
            if ((each.offered & F_MAP_UNMAP) == 0) {
                assertThatThrownBy(each::driver).isInstanceOf(DriverException.class);
                continue;
            }
            IommuDriver driver = each.driver();
            started++;
            assertThat(each.accepted).isEqualTo(each.offered & ~F_BYPASS);
            DriverDomain domain = driver.domain();
            driver.attach(domain, ENDPOINT);
            domain.map(0x1000, 0x1fff, 0, READ);
            boolean hasProbe = (each.offered & F_PROBE) != 0;
            assertThat(each.requests).hasSize(hasProbe ? 3 : 2);
            assertThat(domain.id()).isEqualTo((each.offered & F_DOMAIN_RANGE) != 0 ? 3 : 0);
            if ((each.offered & F_BYPASS_CONFIG) == 0) {
                assertThatThrownBy(driver::bypassDomain).isInstanceOf(IllegalStateException.class);
            } else {
                driver.bypassDomain();
            }
        }
        assertThat(started).isEqualTo(1 << (bits.length - 1));
    }

    // --- answers

    /** A device that has an endpoint attached and is asked for a mapping, which it keeps. */
    private DriverDomain asked(IommuDriver driver) throws DriverException {
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        device.isSilent = true;
        return domain;
    }

    private void assertBroken(IommuDriver driver, DriverDomain domain) throws DriverException {
        assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0, READ))
                .isInstanceOf(BrokenException.class);
        assertThat(domain.mappingCount()).isZero();
        // Nothing more is asked, whatever the device does now.
        int sent = device.requests.size();
        device.isSilent = false;
        device.answerAll();
        assertThatThrownBy(() -> domain.map(0x2000, 0x2fff, 0, READ))
                .isInstanceOf(BrokenException.class);
        assertThatThrownBy(() -> driver.detach(ENDPOINT)).isInstanceOf(BrokenException.class);
        assertThat(device.requests).hasSize(sent);
        assertThat(domain.mappingCount()).isZero();

        driver.reset();
        domain.map(0x1000, 0x1fff, 0, READ);
        assertThat(domain.mappingCount()).isOne();
        assertThat(domain.endpoints()).containsExactly(ENDPOINT);
    }

    @Test
    void noAnswerIsNoAnswerHoweverLate() throws Exception {
        IommuDriver driver = device.driver();
        assertBroken(driver, asked(driver));
        assertThat(driver.counts().resets()).isOne();
    }

    @Test
    void theAnswerInTheLastLookCounts() throws Exception {
        for (int late : new int[] {3, 4}) {
            ScriptedDevice each = new ScriptedDevice();
            int[] looks = new int[1];
            IommuDriver driver =
                    new IommuDriver(
                            each,
                            new DriverMemory(each.memory, ScriptedDevice.BASE),
                            Patience.looks(
                                    3,
                                    () -> {
                                        if (++looks[0] == late) {
                                            each.answerAll();
                                        }
                                    }),
                            DriverOptions.DEFAULT);
            DriverDomain domain = driver.domain();
            driver.attach(domain, ENDPOINT);
            each.isSilent = true;
            looks[0] = 0;
            if (late == 3) {
                domain.map(0x1000, 0x1fff, 0, READ);
            } else {
                assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0, READ))
                        .isInstanceOf(BrokenException.class);
            }
        }
    }

    @Test
    void aLengthBeyondTheBufferIsRefused() throws Exception {
        for (long length : new long[] {TAIL_SIZE + 1, 1 << 20, 0xffff_ffffL}) {
            IommuDriver driver = device.driver();
            DriverDomain domain = driver.domain();
            driver.attach(domain, ENDPOINT);
            device.answers =
                    request -> {
                        device.used(REQUESTQ, request.name(), length);
                        return new byte[0];
                    };
            assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0, READ))
                    .isInstanceOf(BrokenException.class);
            assertThat(domain.mappingCount()).isZero();
            device.answers = ScriptedDevice::ok;
        }
    }

    @Test
    void chainsThatAreNotOutAreRefused() throws Exception {
        for (int name : new int[] {-1, 1, 255, 256, 0x7fff_ffff, 0x8000_0000}) {
            ScriptedDevice each = new ScriptedDevice();
            IommuDriver driver = each.driver();
            DriverDomain domain = driver.domain();
            driver.attach(domain, ENDPOINT);
            each.answers =
                    request -> {
                        int wrong = name == request.name() ? name + 1 : name;
                        each.used(REQUESTQ, wrong, TAIL_SIZE);
                        return ScriptedDevice.ok(request);
                    };
            assertThatThrownBy(() -> domain.map(0x1000, 0x1fff, 0, READ))
                    .isInstanceOf(BrokenException.class);
            assertThat(domain.mappingCount()).isZero();
        }
    }

    @Test
    void anAnswerThatComesTwiceIsNoAnswerToTheNextRequest() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        device.answers =
                request -> {
                    device.used(REQUESTQ, request.name(), TAIL_SIZE);
                    return ScriptedDevice.ok(request);
                };
        domain.map(0x1000, 0x1fff, 0, READ);
        device.answers = ScriptedDevice::ok;
        int sent = device.requests.size();

        assertThatThrownBy(() -> domain.map(0x2000, 0x2fff, 0, READ))
                .isInstanceOf(BrokenException.class);
        assertThat(domain.mappingCount()).isOne();
        assertThat(device.requests).hasSize(sent);
    }

    @Test
    void whatWasInTheBufferIsNoAnswer() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        domain.map(0x1000, 0x1fff, 0, READ);
        // The length says that all was written, and nothing was: the OK of the request before is
        // not there any more.
        device.answers =
                request -> {
                    device.used(REQUESTQ, request.name(), TAIL_SIZE);
                    return new byte[0];
                };
        assertThatThrownBy(() -> domain.map(0x3000, 0x3fff, 0, READ))
                .isInstanceOf(DriverException.class);
        assertThat(domain.isMapped(0x3000, 0x3fff)).isFalse();
    }

    @Test
    void everyStatusButOkIsARefusal() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        domain.map(0x1000, 0x1fff, 0, READ);
        for (int status = 1; status < 256; status++) {
            int each = status;
            device.answers = request -> ScriptedDevice.status(request, each);

            assertThatThrownBy(() -> domain.map(0x2000, 0x2fff, 0, READ))
                    .isInstanceOfSatisfying(
                            RefusedException.class,
                            refused -> assertThat(refused.status()).isEqualTo(each));
            assertThatThrownBy(() -> domain.unmap(0x1000, 0x1fff))
                    .isInstanceOf(RefusedException.class);
            assertThatThrownBy(() -> driver.detach(ENDPOINT)).isInstanceOf(RefusedException.class);
            assertThatThrownBy(() -> driver.attach(driver.domain(), 8))
                    .isInstanceOf(RefusedException.class);
            assertThat(domain.mappingCount()).isOne();
            assertThat(domain.endpoints()).containsExactly(ENDPOINT);
            assertThat(driver.domainOf(8)).isNull();
        }
    }

    @Test
    void eachStatusOfABatchIsLookedAt() throws Exception {
        IommuDriver driver = device.driver();
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        int kicks = device.kicks[REQUESTQ];
        // 128 go at once: the 3rd and the 300th are refused, one of them without an answer.
        int[] seen = new int[1];
        device.answers =
                request ->
                        switch (seen[0]++) {
                            case 3 -> ScriptedDevice.status(request, S_NOMEM);
                            case 299 -> new byte[0];
                            default -> ScriptedDevice.ok(request);
                        };
        Batch batch = domain.batch();
        for (int i = 0; i < 300; i++) {
            batch.map(0x1000L * i, 0x1000L * i + 0xfff, 0, READ);
        }

        assertThatThrownBy(batch::commit)
                .isInstanceOfSatisfying(
                        RefusedException.class,
                        refused -> {
                            assertThat(refused.status()).isEqualTo(S_NOMEM);
                            assertThat(refused.getSuppressed()).hasSize(1);
                        });

        assertThat(device.kicks[REQUESTQ] - kicks).as("128 + 128 + 44").isEqualTo(3);
        assertThat(domain.mappingCount()).isEqualTo(298);
        for (int i = 0; i < 300; i++) {
            boolean isRefused = i == 3 || i == 299;
            assertThat(batch.isDone(i)).as("no. " + i).isNotEqualTo(isRefused);
            assertThat(domain.isMapped(0x1000L * i, 0x1000L * i)).isNotEqualTo(isRefused);
        }
        assertThat(driver.counts().refusals()).isEqualTo(2);
        assertThat(driver.counts().unanswered()).isOne();
    }

    @Test
    void answersMayComeInAnyOrder() throws Exception {
        Random random = new Random(7);
        // It answers only when it is looked at, the last first or any.
        Patience late =
                Patience.looks(
                        200,
                        () -> {
                            if (!device.taken.isEmpty()) {
                                Taken each =
                                        device.taken.remove(random.nextInt(device.taken.size()));
                                boolean isThird = each.readable()[MAP_VIRT_START + 1] == 0x30;
                                device.answer(
                                        each,
                                        ScriptedDevice.status(each, isThird ? S_INVAL : S_OK));
                            }
                        });
        device.isSilent = true;
        IommuDriver driver =
                new IommuDriver(
                        device,
                        new DriverMemory(device.memory, ScriptedDevice.BASE),
                        late,
                        DriverOptions.DEFAULT.withFeatures(F_MAP_UNMAP, F_MAP_UNMAP));
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);
        Batch batch = domain.batch();
        for (int i = 0; i < 15; i++) {
            batch.map(0x1000L * i, 0x1000L * i + 0xfff, 0, READ);
        }

        assertThatThrownBy(batch::commit)
                .isInstanceOfSatisfying(
                        RefusedException.class,
                        refused -> assertThat(refused.getSuppressed()).isEmpty());

        assertThat(domain.mappingCount()).isEqualTo(14);
        assertThat(domain.isMapped(0x3000, 0x3fff)).isFalse();
        assertThat(batch.isDone(3)).isFalse();
    }

    // --- properties

    @Test
    void propertiesThatMakeNoSenseKeepAnEndpointOut() throws Exception {
        byte[] good = region(RESV_MEM_T_RESERVED, 0, 0x5000, 0x5fff);
        List<byte[]> wrongs =
                List.of(
                        // It ends behind the list.
                        property(PROBE_T_RESV_MEM, 0xffff, new byte[20]),
                        property(0x33, 0x7f, new byte[8]),
                        // Its end is cut off.
                        property(PROBE_T_RESV_MEM, 19, new byte[19]),
                        property(PROBE_T_RESV_MEM, 0, new byte[0]),
                        // It ends before it begins.
                        region(RESV_MEM_T_RESERVED, 0, 1, 0),
                        region(RESV_MEM_T_MSI, 0, -1, 0x7fff_ffff_ffff_ffffL));
        for (int i = 0; i < wrongs.size(); i++) {
            byte[] wrong = wrongs.get(i);
            ScriptedDevice each = new ScriptedDevice();
            each.answers = properties(join(good, wrong));
            IommuDriver driver = each.driver();
            DriverDomain domain = driver.domain();

            assertThatThrownBy(() -> driver.attach(domain, ENDPOINT))
                    .as("no. " + i)
                    .isInstanceOf(DriverException.class);
            assertThat(each.of(T_ATTACH)).isEmpty();
        }
    }

    @Test
    void aListMayBeFullAndARegionMayBeTheWholeSpace() throws Exception {
        device.config.putInt(CONFIG_PROBE_SIZE, 24);
        device.answers = properties(region(RESV_MEM_T_RESERVED, 0, 0, -1));
        IommuDriver driver = device.driver();
        DriverDomain domain = driver.domain();
        driver.attach(domain, ENDPOINT);

        assertThatThrownBy(() -> domain.map(-4096, -1, 0, READ))
                .isInstanceOf(IllegalArgumentException.class);
    }

    // --- events

    @Test
    void eventsOfEveryShapeLeaveTheBuffersFilled() throws Exception {
        IommuDriver driver = device.driver();
        List<FaultReport> told = new ArrayList<>();
        driver.onFault(told::add);
        Random random = new Random(11);
        int whole = 0;
        for (int i = 0; i < 2000; i++) {
            byte[] bytes = new byte[FAULT_SIZE];
            random.nextBytes(bytes);
            int length = random.nextInt(FAULT_SIZE + 1);
            boolean isWhole = length == FAULT_SIZE && (bytes[1] | bytes[2] | bytes[3]) == 0;
            whole += isWhole ? 1 : 0;
            device.event(bytes, length);
            if (i % 7 == 0) {
                driver.pollEvents();
            }
        }
        while (driver.pollEvents() > 0) {
            // Until all are handed over.
        }

        assertThat(told).hasSize(whole);
        assertThat(driver.counts().ignoredEvents()).isEqualTo(2000 - whole);
        assertThat(device.eventBuffers()).isEqualTo(256);
    }

    @Test
    void aFloodOfEventsIsHandedOverInPieces() throws Exception {
        IommuDriver driver = device.driver();
        byte[] report = new byte[FAULT_SIZE];
        // Each report brings the next one: the device is faster than any driver.
        driver.onFault(_ -> {
            if (device.eventBuffers() > 0) {
                device.event(report, FAULT_SIZE);
            }
        });
        device.event(report, FAULT_SIZE);

        assertThat(driver.pollEvents()).isEqualTo(256);
        assertThat(device.eventBuffers()).isEqualTo(256);
    }

    @Test
    void aListenerThatFailsCostsNoBuffer() throws Exception {
        IommuDriver driver = device.driver();
        driver.onFault(_ -> {
            throw new IllegalStateException("the listener's");
        });
        device.event(new byte[FAULT_SIZE], FAULT_SIZE);

        assertThatThrownBy(driver::pollEvents).hasMessage("the listener's");

        assertThat(device.eventBuffers()).isEqualTo(256);
    }

    @Test
    void eventsThatAreLongerThanTheirBufferOrNotOutAreRefused() throws Exception {
        IommuDriver driver = device.driver();
        device.event(new byte[FAULT_SIZE], FAULT_SIZE + 1);
        assertThatThrownBy(driver::pollEvents).isInstanceOf(BrokenException.class);

        device.used(EVENTQ, 256, FAULT_SIZE);
        assertThatThrownBy(driver::pollEvents).isInstanceOf(BrokenException.class);

        driver.reset();
        assertThat(driver.pollEvents()).isZero();
    }

    // --- anything

    @Test
    void whateverTheDeviceSaysTheDriverEndsAndKnowsWhatWasAnswered() throws Exception {
        Random random = new Random(42);
        int refused = 0;
        int broken = 0;
        int mapped = 0;
        for (int i = 0; i < 3000; i++) {
            ScriptedDevice each = new ScriptedDevice();
            IommuDriver driver = each.driver(DriverOptions.DEFAULT.withQueueSize(16));
            DriverDomain domain = driver.domain();
            driver.attach(domain, ENDPOINT);
            boolean[] isOk = new boolean[1];
            each.answers =
                    request -> {
                        int shape = random.nextInt(8);
                        if (shape == 0) {
                            each.used(REQUESTQ, random.nextInt(), random.nextInt());
                        } else if (shape == 1) {
                            each.used(REQUESTQ, random.nextInt(16), random.nextInt(6));
                        } else if (shape == 2) {
                            each.used(REQUESTQ, request.name(), random.nextInt());
                        }
                        byte[] answer = new byte[random.nextInt(TAIL_SIZE + 1)];
                        random.nextBytes(answer);
                        if (random.nextBoolean() && answer.length > 0) {
                            answer[0] = 0;
                        }
                        // That it has written more is what the other entry may say.
                        isOk[0] |= answer.length > 0 && answer[0] == S_OK;
                        return answer;
                    };
            try {
                domain.map(0x1000, 0x1fff, 0, READ);
                assertThat(isOk[0]).isTrue();
                assertThat(domain.mappingCount()).isOne();
                mapped++;
            } catch (BrokenException _) {
                assertThat(domain.mappingCount()).isZero();
                broken++;
            } catch (RefusedException _) {
                assertThat(domain.mappingCount()).isZero();
                refused++;
            }
        }
        assertThat(mapped).isPositive();
        assertThat(broken).isPositive();
        assertThat(refused).isPositive();
    }
}
