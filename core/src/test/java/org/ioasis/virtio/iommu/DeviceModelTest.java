// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.DMA;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.memory.Access;
import org.ioasis.virtio.iommu.DeviceModel.Setup;
import org.ioasis.virtio.iommu.Step.Ask;
import org.ioasis.virtio.iommu.Step.Away;
import org.ioasis.virtio.iommu.Step.Buffers;
import org.ioasis.virtio.iommu.Step.Restart;
import org.ioasis.virtio.iommu.Step.Touch;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The device beside {@link DeviceModel}: sequences at random, as Linux sends them, and for long. A
 * failure prints its seed and the few steps that are needed for it; {@code -Dioasis.seed=N} adds a
 * seed.
 */
class DeviceModelTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void randomSequencesAreAnsweredAsTheModelSays(long seed) {
        int refused = 0;
        int requests = 0;
        int events = 0;
        for (int setup = 0; setup < Steps.SETUPS; setup++) {
            StepRunner.Seen seen = random(seed, setup, 1000);
            refused += seen.refused;
            requests += seen.requests;
            events += seen.events;
        }
        assertThat(refused).isBetween(requests / 4, requests * 19 / 20);
        assertThat(events).isGreaterThan(10);
    }

    @Test
    void aNewSeedIsTriedEachTime() {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        for (int setup = 0; setup < Steps.SETUPS; setup++) {
            random(seed + setup, setup, 1000);
        }
    }

    private static StepRunner.Seen random(long seed, int number, int length) {
        Setup setup = Steps.setup(number);
        return StepRunner.runAndShrink(
                "seed %d, setup %d".formatted(seed, number),
                setup,
                Steps.list(Choices.of(seed), setup, length));
    }

    /** The oracle must be able to say no: a device that does otherwise is found and shrunk. */
    @Test
    void aDeviceThatDoesOtherwiseIsFoundAndTheStepsAreFew() {
        Setup strict = Steps.setup(0);
        Setup other = Steps.setup(3);
        List<Step> steps = Steps.list(Choices.of(1), strict, 200);
        StepRunner.run(strict, steps);

        assertThatThrownBy(() ->
                        StepRunner.runAndShrink(
                                "planted",
                                new Setup(
                                        strict.mask(),
                                        strict.inputFirst(),
                                        strict.inputLast(),
                                        strict.domainFirst(),
                                        strict.domainLast(),
                                        strict.bypassAtStart(),
                                        strict.detachByEndpoint(),
                                        strict.domainLimit(),
                                        strict.mappingLimit(),
                                        strict.offered(),
                                        withWrongProperties(other)),
                                steps))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("with 1 steps");
    }

    private static SortedMap<Integer, DeviceModel.Endpoint> withWrongProperties(Setup setup) {
        SortedMap<Integer, DeviceModel.Endpoint> wrong = new TreeMap<>(setup.endpoints());
        wrong.replaceAll((_, one) ->
                new DeviceModel.Endpoint(
                        one.mask(),
                        one.first(),
                        one.last(),
                        one.windows(),
                        List.of(new DeviceModel.Window(0, 0xfff, DeviceModel.Kind.RESERVED))));
        return wrong;
    }

    // --- for long

    @Test
    @Timeout(120)
    void aSoakOfManyRequestsLeavesNothingBehind() {
        long seed = Long.getLong("ioasis.seed", System.nanoTime());
        Setup setup = Steps.setup(1);
        Choices choices = Choices.of(seed);
        StepRunner runner = new StepRunner(setup, Arena.ofAuto());
        long[] regions = {Driver.REQUEST_RING, Driver.IN, Driver.OUT, DMA};
        int asked = 0;
        try {
            while (asked < 65_536) {
                Ask ask = Steps.ask(choices, setup);
                asked++;
                if (asked % 1000 == 0) {
                    runner.apply(Steps.restart(choices, setup));
                } else if (asked % 50 == 0) {
                    runner.apply(
                            new Away(regions[choices.next(regions.length)], ask, asked % 250 == 0));
                } else {
                    runner.apply(ask);
                }
                if (asked % 64 == 0) {
                    runner.apply(new Buffers(1, FAULT_SIZE, false));
                    runner.apply(new Touch(1, choices.next(0x10000), Access.READ));
                }
            }
        } catch (AssertionError e) {
            throw new AssertionError("seed " + seed + ", request " + asked, e);
        }
        StepRunner.Seen seen = runner.finish();
        assertThat(seen.requests).isGreaterThan(65_000);
        assertThat(seen.restarts).isEqualTo(65);
    }

    // --- as Linux does it

    private static Ask ask(byte[] request, boolean isKicked) {
        int writable = request[0] == T_PROBE ? 516 : TAIL_SIZE;
        return new Ask(request, writable, Layout.INDIRECT, 128, 1024, isKicked);
    }

    private static final Setup LINUX = Steps.setup(3);

    /** Event buffers after DRIVER_OK and without a kick, then PROBE before ATTACH, one by one. */
    private static List<Step> linuxStart(long features) {
        return linuxStart(features, RingFormat.SPLIT);
    }

    private static List<Step> linuxStart(long features, RingFormat ring) {
        List<Step> steps = new ArrayList<>();
        steps.add(new Restart(features, true, ring, true));
        steps.add(new Buffers(64, FAULT_SIZE, false));
        return steps;
    }

    @Test
    void everyDeviceOfARangeIsProbedAndAttachedAtOnce() {
        List<Step> steps = linuxStart(LINUX.offered());
        for (int endpoint : new int[] {1, 2, 3, 5, 0x10001}) {
            steps.add(ask(Driver.probe(endpoint), true));
            steps.add(ask(Driver.attach(endpoint, 1, 0), true));
        }
        steps.add(ask(Driver.map(1, 0x10000, 0x1ffff, DMA, RW), true));
        steps.add(new Touch(0x10001, 0x12345, Access.WRITE));
        steps.add(new Touch(2, 0x20000, Access.WRITE));
        StepRunner.Seen seen = StepRunner.runAndShrink("at once", LINUX, steps);
        assertThat(seen.refused).isZero();
        assertThat(seen.events).isEqualTo(1);
    }

    @Test
    void identityByGiantMapsReachesBeyondMemory() {
        List<Step> steps = linuxStart(LINUX.offered() & ~F_BYPASS_CONFIG);
        steps.add(ask(Driver.attach(2, 0, 0), true));
        steps.add(ask(Driver.map(0, 0, 0x7fff, 0, RW), true));
        steps.add(ask(Driver.map(0, 0x9000, -1L, 0x9000, RW), true));
        steps.add(new Touch(2, DMA + 5, Access.WRITE));
        steps.add(new Touch(2, -1L, Access.READ));
        steps.add(new Touch(2, 0x8000, Access.READ));
        steps.add(ask(Driver.detach(2, 0), true));
        StepRunner.Seen seen = StepRunner.runAndShrink("identity", LINUX, steps);
        assertThat(seen.refused).isZero();
        assertThat(seen.events).as("the window of the MSI region").isEqualTo(1);
    }

    @Test
    void identityByBypassIsDetachedWithIdZero() {
        List<Step> steps = linuxStart(LINUX.offered());
        steps.add(ask(Driver.attach(1, 5, ATTACH_F_BYPASS), true));
        steps.add(ask(Driver.attach(2, 5, ATTACH_F_BYPASS), true));
        steps.add(new Touch(1, DMA, Access.WRITE));
        steps.add(ask(Driver.detach(1, 0), true));
        steps.add(ask(Driver.detach(2, 0), true));
        steps.add(ask(Driver.attach(1, 5, 0), true));
        assertThat(StepRunner.runAndShrink("id zero", LINUX, steps).refused).isZero();
    }

    @ParameterizedTest
    @EnumSource(RingFormat.class)
    void queuesAreFilledWithoutAKickAndDrainedAtOnce(RingFormat ring) {
        List<Step> steps = linuxStart(LINUX.offered(), ring);
        steps.add(ask(Driver.attach(1, 1, 0), true));
        for (int round = 0; round < 12; round++) {
            for (int i = 0; i < 16; i++) {
                long iova = 0x100000 + i * 0x1000L;
                steps.add(ask(Driver.map(1, iova, iova + 0xfff, DMA + i * 0x1000L, RW), i == 15));
            }
            for (int i = 0; i < 16; i++) {
                long iova = 0x100000 + i * 0x1000L;
                steps.add(ask(Driver.unmap(1, iova, iova + 0xfff), i == 15));
            }
        }
        StepRunner.Seen seen = StepRunner.runAndShrink("drains", LINUX, steps);
        assertThat(seen.refused).isZero();
        assertThat(seen.requests).isEqualTo(385);
    }

    /** Linux queues until nothing more fits in, and then waits for all of it at once. */
    @ParameterizedTest
    @EnumSource(Layout.class)
    void aFullQueueIsDrainedAtOnce(Layout layout) {
        Driver driver = Driver.started();
        driver.plug(1);
        driver.status(Driver.attach(1, 1, 0));
        int inRing = layout == Layout.INDIRECT ? 1 : 2;
        for (int round = 0; round < 6; round++) {
            int sent = 0;
            while (driver.requests.hasRoom(inRing)) {
                long iova = sent * 0x1000L;
                byte[] request =
                        round % 2 == 0
                                ? Driver.map(1, iova, iova + 0xfff, DMA, RW)
                                : Driver.unmap(1, iova, iova + 0xfff);
                driver.send(layout, request, TAIL_SIZE, 128, 128);
                sent++;
            }
            assertThat(sent).isEqualTo(Driver.QUEUE_SIZE / inRing);
            driver.kick();
            for (int i = 0; i < sent; i++) {
                assertThat(requireNonNull(driver.answer()).status()).isEqualTo(S_OK);
            }
            assertThat(driver.answer()).isNull();
            assertThat(driver.iommu.mappingCount()).isEqualTo(round % 2 == 0 ? sent : 0);
        }
    }

    @Test
    void everyFunctionOfABusIsAttachedInOneDrain() {
        Driver driver =
                Driver.started(
                        IommuOptions.builder()
                                .endpointLimit(256)
                                .domainLimit(256)
                                .mappingLimit(1024)
                                .build());
        for (int function = 0; function < 256; function++) {
            driver.plug(0x10000 + function);
            driver.send(
                    Layout.INDIRECT,
                    Driver.attach(0x10000 + function, function, 0),
                    TAIL_SIZE,
                    128,
                    128);
        }
        driver.kick();
        for (int function = 0; function < 256; function++) {
            assertThat(requireNonNull(driver.answer()).status()).isEqualTo(S_OK);
        }
        assertThat(driver.iommu.domainCount()).isEqualTo(256);
        for (int function = 0; function < 256; function++) {
            assertThat(driver.status(Driver.detach(0x10000 + function, 0))).isEqualTo(S_OK);
        }
        assertThat(driver.iommu.domainCount()).isZero();
    }

    @Test
    void aDriverThatIsUnboundAndBoundFindsAnEmptyDevice() {
        List<Step> steps = linuxStart(LINUX.offered());
        for (int round = 0; round < 3; round++) {
            steps.add(ask(Driver.attach(1, 1, 0), true));
            steps.add(ask(Driver.map(1, 0, 0xfff, DMA, RW), true));
            steps.add(new Restart(LINUX.offered(), false, RingFormat.SPLIT, false));
            steps.add(ask(Driver.detach(1, 1), true));
        }
        assertThat(StepRunner.runAndShrink("unbound", LINUX, steps).refused).isEqualTo(3);
    }
}
