// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.Driver.DMA;
import static org.ioasis.virtio.iommu.Driver.OPTIONS;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.DomainView;
import org.ioasis.iommu.DomainView.MappingView;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommu.ReservedRegion.Kind;
import org.ioasis.iommu.ReservedWindows;
import org.ioasis.iommu.Restoration;
import org.ioasis.iommu.StateText;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.SegmentTables;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.Virtio;
import org.ioasis.virtio.iommu.DeviceModel.Setup;
import org.ioasis.virtio.iommu.Step.Move;
import org.ioasis.virtqueue.Chain;
import org.ioasis.virtqueue.MockDriver.Buffer;
import org.ioasis.virtqueue.MockDriver.Layout;
import org.ioasis.virtqueue.Pop;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A device is saved in the middle of its work, and a new one goes on as if nothing had happened.
 */
class SavedDeviceTest {
    private static final int RW = MAP_F_READ | MAP_F_WRITE;
    private static final long LATE = Long.MAX_VALUE / 2;

    private static final EndpointProperties NARROW =
            new EndpointProperties(
                    0x1000,
                    0x1000,
                    0xffff_ffffL,
                    ReservedWindows.of(List.of(new ReservedRegion(0x8000, 0x8fff, Kind.MSI))));

    private final Driver d = Driver.started();

    private Dma plugged(int id) {
        return d.plug(id);
    }

    private static Outcome touch(Dma dma, long iova, Access access) {
        dma.enter();
        try {
            return dma.resolve(iova, 1, access);
        } finally {
            dma.leave();
        }
    }

    @Test
    void aDeviceThatRunsOnSinceBeforeTheResetOfTheIommuIsStillBlockedAfterARestore()
            throws RestoreException {
        Dma first = plugged(1);
        plugged(2);
        first.deviceStarted();
        d.iommu.bypass(true);
        d.device.systemReset();
        assertThat(touch(first, DMA, Access.WRITE)).isEqualTo(Outcome.FAULT);
        d.start(d.type.features());
        d.iommu.bypass(true);

        d.move();
        d.move();

        Dma running = d.dma(1);
        assertThat(touch(running, DMA, Access.WRITE)).isEqualTo(Outcome.FAULT);
        assertThat(touch(d.dma(2), DMA, Access.WRITE)).as("bypass").isEqualTo(Outcome.OK);
        d.move();
        running = d.dma(1);
        assertThat(touch(running, DMA, Access.WRITE)).as("twice").isEqualTo(Outcome.FAULT);
        running.deviceReset();
        assertThat(touch(running, DMA, Access.WRITE)).isEqualTo(Outcome.OK);
    }

    @Test
    void whoIsBlockedMustBeAnEndpoint() {
        plugged(1).deviceStarted();
        d.device.systemReset();
        byte[] saved = SavedDevice.save(d.device, d.type);
        int id = saved.length - SaveWriter.CHECKSUM - 4;
        assertThat(saved[id]).isEqualTo((byte) 1);
        saved[id] = 9;
        SaveWriter.seal(saved);
        Driver other = new Driver(d.iommu.options(), d.type.features());
        other.plug(1);
        assertThat(refused(saved, other))
                .containsExactly("devices that run on behind endpoints that are not there");
    }

    // --- in the middle of traffic

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void aDeviceThatIsExchangedAfterEveryStepAnswersAsOneThatIsNot(long seed) {
        for (int number = 0; number < Steps.SETUPS; number++) {
            Setup setup = Steps.setup(number);
            List<Step> steps = new ArrayList<>();
            for (Step step : Steps.list(Choices.of(seed), setup, 400)) {
                steps.add(step);
                steps.add(new Move());
            }
            StepRunner.Seen seen =
                    StepRunner.runAndShrink(
                            "seed %d, setup %d".formatted(seed, number), setup, steps);
            assertThat(seen.requests).isGreaterThan(150);
        }
    }

    @Test
    void anUnmapThatWaitedIsAnsweredOnceAndNotCarriedOutAgain() throws RestoreException {
        Dma dma = plugged(1);
        assertThat(d.status(Driver.attach(1, 1, 0))).isEqualTo(S_OK);
        assertThat(d.status(Driver.map(1, 0, 0xfff, DMA, RW))).isEqualTo(S_OK);
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, LATE));
        d.send(Driver.unmap(1, 0, 0xfff), TAIL_SIZE);
        d.send(Driver.map(1, 0, 0xfff, DMA + 0x1000, RW), TAIL_SIZE);
        d.kick();
        assertThat(requireNonNull(d.answer()).status()).as("MAP of the same range").isEqualTo(S_OK);
        assertThat(d.answer()).as("UNMAP waits for the lease").isNull();
        String state = StateText.of(d.iommu);

        d.move();
        assertThat(d.answer()).as("nothing is written before memory is there").isNull();
        d.device.memoryChanged();
        d.turn();

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
        assertThat(StateText.of(d.iommu)).isEqualTo(state);
        assertThat(d.iommu.mappingCount()).isEqualTo(1);
        assertThat(lease.isRevoked()).as("the device that was saved is as it was").isFalse();
    }

    @Test
    void anAnswerThatIsHeldBackOnPurposeIsGivenByTheNewDeviceAtOnce() throws RestoreException {
        plugged(1);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.map(1, 0, 0xfff, DMA, RW));
        List<Runnable> later = new ArrayList<>();
        d.type.inject(new Injection.UnmapDelay(50), (task, _) -> later.add(task));
        d.send(Driver.unmap(1, 0, 0xfff), TAIL_SIZE);
        d.kick();
        assertThat(d.answer()).isNull();
        assertThat(later).hasSize(1);

        d.move();
        d.device.memoryChanged();

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
    }

    @Test
    void aDetachThatWaitedIsAnsweredOnce() throws RestoreException {
        Dma dma = plugged(1);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.map(1, 0, 0xfff, DMA, RW));
        assertThat(dma.pin(0, 1, Access.READ, LATE)).isNotNull();
        d.send(Driver.detach(1, 1), TAIL_SIZE);
        d.kick();
        assertThat(d.answer()).isNull();

        d.move();
        d.device.memoryChanged();

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
        assertThat(d.iommu.domainCount()).isZero();
    }

    @Test
    void anAnswerWithoutMemoryForItIsWrittenByTheNewDevice() throws RestoreException {
        plugged(1);
        d.status(Driver.attach(1, 1, 0));
        d.take(Driver.OUT);
        d.send(Driver.map(1, 0, 0xfff, DMA, RW), TAIL_SIZE);
        d.send(Driver.probe(1), 516);
        d.kick();
        assertThat(d.iommu.mappingCount()).as("carried out").isEqualTo(1);
        assertThat(d.answer()).isNull();

        d.move();
        d.device.memoryChanged();
        assertThat(d.device.needsTick()).isTrue();
        d.giveBack(Driver.OUT);

        assertThat(requireNonNull(d.answer()).status()).as("MAP").isEqualTo(S_OK);
        Driver.Answer properties = requireNonNull(d.answer());
        assertThat(properties.status()).as("PROBE").isEqualTo(S_OK);
        assertThat(properties.written()).isEqualTo(516);
        assertThat(d.answer()).isNull();
        assertThat(d.iommu.mappingCount()).isEqualTo(1);
    }

    @Test
    void anAnswerThatCouldNotBePublishedIsPublishedByTheNewDevice() throws RestoreException {
        Dma dma = plugged(1);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.map(1, 0, 0xfff, DMA, RW));
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, LATE));
        d.send(Driver.unmap(1, 0, 0xfff), TAIL_SIZE);
        d.kick();
        d.take(Driver.REQUEST_RING);
        lease.close();
        assertThat(d.guards.poll()).isEqualTo(1);
        d.turn();
        assertThat(d.device.queue(REQUESTQ).unpublished()).isEqualTo(1);

        d.move();
        assertThat(d.device.queue(REQUESTQ).unpublished()).isEqualTo(1);
        d.giveBack(Driver.REQUEST_RING);

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).isNull();
    }

    @Test
    void requestsInTheRingAreTakenByTheNewDevice() throws RestoreException {
        plugged(1);
        d.status(Driver.attach(1, 1, 0));
        d.send(Driver.map(1, 0, 0xfff, DMA, RW), TAIL_SIZE);

        d.move();
        assertThat(d.iommu.mappingCount()).isZero();
        d.kick();

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.iommu.mappingCount()).isEqualTo(1);
    }

    @Test
    void faultsThatTheDriverHasNotHeardOfAreToldInOrder() throws RestoreException {
        Dma dma = plugged(1);
        assertThat(touch(dma, 0x5000, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(touch(dma, 0x5008, Access.READ)).isEqualTo(Outcome.FAULT);
        d.status(Driver.attach(1, 1, 0));
        assertThat(touch(dma, 0x6000, Access.WRITE)).isEqualTo(Outcome.FAULT);

        d.move();
        assertThat(d.faults.waiting()).hasSize(2);
        assertThat(d.faults.waiting().getFirst().count()).isEqualTo(2);
        d.addEventBuffers(2, FAULT_SIZE);
        d.device.memoryChanged();

        assertThat(requireNonNull(d.eventBytes()))
                .startsWith(FAULT_R_DOMAIN, 0, 0, 0, 1, 1)
                .endsWith(0, 0x50, 0, 0, 0, 0, 0, 0);
        assertThat(requireNonNull(d.eventBytes()))
                .startsWith(FAULT_R_MAPPING, 0, 0, 0, 2, 1)
                .endsWith(0, 0x60, 0, 0, 0, 0, 0, 0);
        assertThat(d.eventBytes()).isNull();
    }

    /** Linux crashes on an event that comes before it is ready, also from another device. */
    @Test
    void aDriverThatIsNotReadyHearsOfNoFaultFromTheNewDeviceEither() throws RestoreException {
        Dma dma = plugged(1);
        d.addEventBuffers(1, FAULT_SIZE);
        touch(dma, 0x5000, Access.READ);
        d.move();
        d.device.memoryChanged();
        assertThat(d.eventBytes()).isNull();
        d.kickEvents();
        assertThat(d.eventBytes()).isNotNull();
    }

    @Test
    void aDriverThatIsHalfWayThroughItsStartGoesOn() throws RestoreException {
        Driver half = new Driver(OPTIONS);
        half.plug(1);
        half.device.writeStatus(Virtio.STATUS_ACKNOWLEDGE);
        half.device.writeStatus(Virtio.STATUS_ACKNOWLEDGE | Virtio.STATUS_DRIVER);
        half.device.writeDriverFeatures(half.device.deviceFeatures());
        half.device.writeStatus(half.device.status() | Virtio.STATUS_FEATURES_OK);
        half.device.writeQueueSize(REQUESTQ, 64);
        half.device.writeQueueDesc(REQUESTQ, 0x1000);
        half.device.configChanged();

        half.move();

        assertThat(half.device.status())
                .isEqualTo(
                        Virtio.STATUS_ACKNOWLEDGE
                                | Virtio.STATUS_DRIVER
                                | Virtio.STATUS_FEATURES_OK);
        assertThat(half.device.driverFeatures()).isEqualTo(half.device.deviceFeatures());
        assertThat(half.device.queueSize(REQUESTQ)).isEqualTo(64);
        assertThat(half.device.queueDesc(REQUESTQ)).isEqualTo(0x1000);
        half.device.readConfig(CONFIG_BYPASS, 1);
        assertThat(half.device.configGeneration()).as("the change is still to be seen").isOne();
        half.device.writeStatus(0);
        half.start(half.type.features());
        assertThat(half.status(Driver.attach(1, 1, 0))).isEqualTo(S_OK);
    }

    @Test
    void aDeviceThatNeedsAResetStillDoesAndSaysWhy() throws RestoreException {
        d.plug(1);
        d.status(Driver.attach(1, 1, 0));
        d.requests.availIdx(d.requests.usedIdx() + Driver.QUEUE_SIZE + 1);
        d.kick();
        String reason = requireNonNull(d.device.brokenReason());

        d.move();

        assertThat(d.device.brokenReason()).isEqualTo(reason);
        assertThat(d.device.queue(REQUESTQ).brokenReason()).isEqualTo(reason);
        assertThat(d.device.isRunning()).isFalse();
        d.device.memoryChanged();
        assertThat(d.answer()).isNull();
        d.device.writeStatus(0);
        d.start(d.type.features());
        assertThat(d.status(Driver.attach(1, 1, 0))).isEqualTo(S_OK);
    }

    @Test
    void whatIsKnownOfEndpointsIsKept() throws RestoreException {
        d.plug(1);
        d.plug(2);
        d.ask(Driver.probe(2), 516);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.detach(1, 1));
        d.status(Driver.attach(99, 1, 0));

        d.move();

        assertThat(requireNonNull(d.iommu.endpoint(1)).wasAttached()).isTrue();
        assertThat(requireNonNull(d.iommu.endpoint(1)).wasProbed()).isFalse();
        assertThat(requireNonNull(d.iommu.endpoint(2)).wasAttached()).isFalse();
        assertThat(requireNonNull(d.iommu.endpoint(2)).wasProbed()).isTrue();
        assertThat(d.type.unknownEndpoint()).isEqualTo(99);
        assertThat(d.type.counts().total()).as("counters are of the process").isZero();
    }

    @Test
    void bordersOfMappingsThatTouchAreKept() throws RestoreException {
        d.plug(1);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.map(1, 0, 0xfff, DMA, RW));
        d.status(Driver.map(1, 0x1000, 0x2fff, DMA + 0x1000, RW));
        d.status(Driver.map(1, -0x1000L, -1L, 0, MAP_F_READ));

        d.move();

        assertThat(d.status(Driver.unmap(1, 0, 0x1fff))).isEqualTo(S_RANGE);
        assertThat(d.status(Driver.unmap(1, 0x1000, 0x2fff))).isEqualTo(S_OK);
        assertThat(d.status(Driver.unmap(1, -0x1000L, -1L))).isEqualTo(S_OK);
        assertThat(d.iommu.mappingCount()).isEqualTo(1);
    }

    /** A domain keeps what endpoints that have left could cause: nothing is taken away for that. */
    @Test
    void mappingsBeyondTheLimitOfWhoIsLeftAreKept() throws RestoreException {
        int bytes = 1 << 20;
        Driver narrow =
                new Driver(
                        OPTIONS.toBuilder()
                                .tableLimit(bytes)
                                .endpointMappingLimit(3)
                                .endpointTableLimit(1 << 16)
                                .build(),
                        VirtioIommuDevice.FEATURES,
                        Arena.ofAuto(),
                        guards ->
                                MappingStores.forPageSizes(
                                        0x1000, SegmentTables.pool(bytes, guards)));
        narrow.start(narrow.type.features());
        narrow.plug(1);
        narrow.plug(2);
        narrow.status(Driver.attach(1, 1, 0));
        narrow.status(Driver.attach(2, 1, 0));
        for (long i = 1; i <= 6; i++) {
            long iova = i << 40;
            assertThat(narrow.status(Driver.map(1, iova, iova + 0xfff, DMA, RW))).isEqualTo(S_OK);
        }
        assertThat(narrow.status(Driver.detach(2, 1))).isEqualTo(S_OK);

        narrow.move();

        assertThat(narrow.iommu.mappingCount()).isEqualTo(6);
        assertThat(narrow.status(Driver.map(1, 0x1000, 0x1fff, DMA, RW))).isEqualTo(S_NOMEM);
    }

    @Test
    void anEndpointThatIsBeingUnpluggedHasGoneForTheNewDevice() throws RestoreException {
        Dma dma = plugged(1);
        d.plug(2);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.map(1, 0, 0xfff, DMA, RW));
        touch(dma, 0x9000, Access.READ);
        assertThat(dma.pin(0, 1, Access.READ, LATE)).isNotNull();
        List<String> gone = new ArrayList<>();
        d.iommu.unplug(requireNonNull(d.iommu.endpoint(1)), () -> gone.add("gone"));
        assertThat(gone).isEmpty();

        byte[] saved = SavedDevice.save(d.device, d.type);
        Driver other = new Driver(OPTIONS);
        other.plug(2);
        SavedDevice.restore(saved, other.device, other.type);

        assertThat(other.iommu.domainCount()).isZero();
        assertThat(other.faults.waiting()).as("of before it went").hasSize(1);
        assertThat(SavedDevice.save(other.device, other.type)).isEqualTo(saved);
    }

    @Test
    void aSaveWhileAListenerOwesAnAnswerIsNotMade() {
        d.plug(1);
        d.iommu.listen(requireNonNull(d.iommu.endpoint(1)).attachment(), new Silent());
        d.status(Driver.attach(1, 1, 0));
        d.send(Driver.map(1, 0, 0xfff, DMA, RW), TAIL_SIZE);
        d.kick();
        assertThatThrownBy(() -> SavedDevice.save(d.device, d.type))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("a listener owes the IOMMU an answer");
    }

    /** Owes an answer to every MAP. */
    private static final class Silent implements DomainListener {
        private boolean hasMapped;

        @Override
        public void begin() {
            hasMapped = false;
        }

        @Override
        public void translation(Translation.Kind kind) {}

        @Override
        public void mapped(long first, long last, long output, int flags) {
            hasMapped = true;
        }

        @Override
        public void unmapped(long first, long last) {}

        @Override
        public void commit(Answer answer) {
            if (!hasMapped) {
                answer.ok();
            }
        }
    }

    // --- refusals

    /** A device with a bit of everything: its state. */
    private byte[] rich() {
        Dma dma = plugged(1);
        d.plug(7, NARROW);
        d.status(Driver.attach(1, 1, 0));
        d.status(Driver.attach(7, 2, ATTACH_F_BYPASS));
        d.status(Driver.map(1, 0, 0xfff, DMA, RW));
        touch(dma, 0x9000, Access.WRITE);
        assertThat(dma.pin(0, 1, Access.READ, LATE)).isNotNull();
        d.send(Driver.unmap(1, 0, 0xfff), TAIL_SIZE);
        d.kick();
        return SavedDevice.save(d.device, d.type);
    }

    private static List<String> refused(byte[] bytes, Driver into) {
        byte[] before = SavedDevice.save(into.device, into.type);
        String state = StateText.of(into.iommu);
        RestoreException refusal =
                catchThrowableOfType(
                        RestoreException.class,
                        () -> SavedDevice.restore(bytes, into.device, into.type));
        assertThat(refusal).isNotNull();
        assertThat(SavedDevice.save(into.device, into.type)).isEqualTo(before);
        assertThat(StateText.of(into.iommu)).isEqualTo(state);
        return refusal.reasons();
    }

    private static Driver like(IommuOptions options, long offered) {
        Driver other = new Driver(options, offered);
        other.plug(1);
        other.plug(7, NARROW);
        return other;
    }

    @Test
    void aDeviceThatWasMadeTheSameIsRestored() throws RestoreException {
        byte[] saved = rich();
        Driver other = like(OPTIONS, VirtioIommuDevice.FEATURES);
        SavedDevice.restore(saved, other.device, other.type);
        assertThat(SavedDevice.save(other.device, other.type)).isEqualTo(saved);
    }

    @Test
    void eachDifferenceIsNamedWithBothValues() {
        byte[] saved = rich();
        long all = VirtioIommuDevice.FEATURES;
        assertThat(refused(saved, like(OPTIONS, all & ~F_PROBE)))
                .containsExactly(
                        "offered features is 0x10530000077 in the file,"
                                + " here it is 0x10530000067");
        assertThat(refused(saved, like(options(0x3000, -1L, -1, 8, 1024), all)))
                .containsExactly("page_size_mask is 0x1000 in the file, here it is 0x3000");
        assertThat(refused(saved, like(options(0x1000, 0xffff_ffffL, -1, 8, 1024), all)))
                .containsExactly(
                        "input range is 0x0..0xffffffffffffffff in the file,"
                                + " here it is 0x0..0xffffffff");
        assertThat(refused(saved, like(options(0x1000, -1L, 9, 8, 1024), all)))
                .containsExactly(
                        "domain range is 0x0..0xffffffff in the file, here it is 0x0..0x9");
        assertThat(refused(saved, like(options(0x1000, -1L, -1, 4, 512), all)))
                .containsExactly(
                        "limit of domains is 8 in the file, here it is 4",
                        "limit of mappings is 1024 in the file, here it is 512",
                        "limit of mappings of an endpoint is 1024 in the file, here it is 512");
        assertThat(refused(saved, like(OPTIONS.toBuilder().bypassAtStart(true).build(), all)))
                .containsExactly("bypass at start is false in the file, here it is true");
        assertThat(refused(saved, like(Driver.options(true), all)))
                .containsExactly("detach by endpoint is false in the file, here it is true");
    }

    private static IommuOptions options(
            long mask, long inputLast, int domainLast, int domains, long mappings) {
        return IommuOptions.builder()
                .pageSizeMask(mask)
                .inputRange(0, inputLast)
                .domainRange(0, domainLast)
                .bypassAtStart(false)
                .detachByEndpoint(false)
                .endpointLimit(16)
                .domainLimit(domains)
                .mappingLimit(mappings)
                .build();
    }

    @Test
    void endpointsThatDifferAreNamed() {
        byte[] saved = rich();
        Driver other = new Driver(OPTIONS);
        other.plug(1, new EndpointProperties(0x2000, 0, -1L, ReservedWindows.NONE));
        other.plug(8);
        assertThat(refused(saved, other))
                .containsExactly(
                        "endpoint 0x1 is pages 0x0, input 0x0..0xffffffffffffffff in the file,"
                                + " here it is pages 0x2000, input 0x0..0xffffffffffffffff",
                        "endpoint 0x8 is not in the file,"
                                + " here it is pages 0x0, input 0x0..0xffffffffffffffff",
                        "endpoint 0x7 is pages 0x1000, input 0x1000..0xffffffff in the file,"
                                + " here it is not",
                        "endpoint 0x7, reserved region 1 is 0x8000..0x8fff MSI in the file,"
                                + " here it is not");
    }

    @Test
    void aDeviceThatIsInUseIsNotOverwritten() {
        byte[] saved = rich();
        Driver used = like(OPTIONS, VirtioIommuDevice.FEATURES);
        used.start(used.type.features());
        used.status(Driver.attach(1, 3, 0));
        assertThat(refused(saved, used))
                .containsExactly("the device is in use: it must be new or reset");
    }

    @Test
    void anEndpointWithAListenerIsNotGivenMappingsBehindItsBack() {
        byte[] saved = rich();
        Driver other = like(OPTIONS, VirtioIommuDevice.FEATURES);
        other.iommu.listen(requireNonNull(other.iommu.endpoint(1)).attachment(), new Silent());
        assertThat(refused(saved, other))
                .containsExactly(
                        "domain 0x1: endpoint 0x1 has a listener,"
                                + " which would not hear of its mappings");
    }

    @Test
    @Tag("S-08")
    void anotherVersionIsRefusedByItsNumber() {
        byte[] saved = rich();
        saved[8] = 3;
        SaveWriter.seal(saved);
        assertThat(refused(saved, like(OPTIONS, VirtioIommuDevice.FEATURES)))
                .containsExactly("format version 3 in the file, 2 here");
    }

    @Test
    void bytesThatAreCutOffAreRefusedWhereverTheCutIs() {
        byte[] saved = rich();
        Driver other = like(OPTIONS, VirtioIommuDevice.FEATURES);
        for (int length = 0; length < saved.length; length++) {
            byte[] cut = Arrays.copyOf(saved, length);
            assertThat(refused(cut, other)).hasSize(1);
            if (length >= SaveWriter.HEAD + SaveWriter.CHECKSUM) {
                SaveWriter.seal(cut);
                assertThat(refused(cut, other)).isNotEmpty();
            }
        }
    }

    @Test
    void aFlippedBitIsRefusedWhereverItIs() {
        byte[] saved = rich();
        Driver other = like(OPTIONS, VirtioIommuDevice.FEATURES);
        for (int bit = 0; bit < saved.length * 8; bit++) {
            saved[bit / 8] ^= (byte) (1 << bit % 8);
            assertThat(refused(saved, other)).hasSize(1);
            saved[bit / 8] ^= (byte) (1 << bit % 8);
        }
    }

    @Test
    void whatWouldGrowWithoutABoundIsRefused() {
        Driver other = like(OPTIONS, VirtioIommuDevice.FEATURES);
        SaveWriter huge = new SaveWriter();
        huge.i32(-1);
        assertThat(refused(huge.bytes(), other))
                .containsExactly("4294967295 things where there is no room for them");

        SaveWriter talkative = new SaveWriter();
        talkative.i32(SavedDevice.FACTS_MAX + 1);
        for (int i = 0; i <= SavedDevice.FACTS_MAX; i++) {
            talkative.text("");
            talkative.text("");
        }
        assertThat(refused(talkative.bytes(), other))
                .containsExactly("1048577 lines of description");
    }

    @Test
    void moreDomainsOrMappingsThanTheLimitAreRefused() {
        assertThat(refusedDomains(domain(1, 1, 0)).getFirst()).isEqualTo("restored");
        List<DomainView> many = new ArrayList<>();
        for (int id = 1; id <= 9; id++) {
            many.addAll(domain(id, id, 0));
        }
        assertThat(refusedDomains(many)).containsExactly("9 domains, limit 8");
        assertThat(refusedDomains(domain(1, 1, 1024)).getFirst()).isEqualTo("restored");
        assertThat(refusedDomains(domain(1, 1, 1025)))
                .containsExactly("domain 0x1: more mappings than the limit of 1024");
    }

    @Test
    void whatTheDriverCannotHaveBroughtAboutIsRefused() {
        Driver without = new Driver(OPTIONS, VirtioIommuDevice.FEATURES & ~F_BYPASS_CONFIG);
        without.iommu.bypass(true);
        byte[] bypassing = SavedDevice.save(without.device, without.type);
        assertThat(refused(bypassing, new Driver(OPTIONS, without.type.features())))
                .containsExactly("bypass is 1 without a feature for it");

        Driver idle = new Driver(OPTIONS);
        idle.plug(1);
        idle.type.domains().attach(1, 1, false, status -> assertThat(status).isEqualTo(Status.OK));
        Driver other = new Driver(OPTIONS);
        other.plug(1);
        assertThat(refused(SavedDevice.save(idle.device, idle.type), other))
                .containsExactly("domains or requests without a driver");
    }

    @Test
    void chainsInFlightThatNobodyAnswersAreRefused() {
        for (int queue : new int[] {REQUESTQ, EVENTQ}) {
            Driver odd = Driver.started();
            odd.addEventBuffers(1, FAULT_SIZE);
            odd.requests.add(Layout.DIRECT, List.of(new Buffer(Driver.OUT, 64, true)));
            odd.requests.expose();
            odd.device.dma().enter();
            assertThat(odd.device.queue(queue).pop(new Chain(Driver.QUEUE_SIZE)))
                    .isEqualTo(Pop.GOT);
            odd.device.dma().leave();
            assertThat(refused(SavedDevice.save(odd.device, odd.type), new Driver(OPTIONS)))
                    .containsExactly(
                            "0 requests to answer, %d in the ring"
                                    .formatted(queue == REQUESTQ ? 1 : 0));
        }
    }

    @Test
    void moreFaultsThanCanWaitAreRefused() {
        Dma dma = plugged(1);
        touch(dma, 0x9000, Access.WRITE);
        byte[] saved = SavedDevice.save(d.device, d.type);
        // The faults are the last fields but the list of who is blocked, which is empty: how many,
        // and for each its reason, access, endpoint, address and count.
        int length = 1 + "DOMAIN".length() + 1 + "WRITE".length() + 4 + 8 + 8;
        int first = saved.length - SaveWriter.CHECKSUM - 4 - length;
        assertThat(saved[first - 4]).isEqualTo((byte) 1);
        Driver other = new Driver(OPTIONS);
        other.plug(1);

        int many = other.faults.capacity() + 1;
        byte[] more = Arrays.copyOf(saved, saved.length + (many - 1) * length);
        for (int i = 1; i < many; i++) {
            System.arraycopy(saved, first, more, first + i * length, length);
        }
        more[first - 4] = (byte) many;
        SaveWriter.seal(more);
        assertThat(refused(more, other)).containsExactly("65 waiting faults");

        saved[first + length - 8] = 0;
        SaveWriter.seal(saved);
        assertThat(refused(saved, other))
                .singleElement()
                .asString()
                .startsWith("a fault that cannot be: ");
    }

    @Test
    void textThatCannotBePrintedIsRefused() {
        for (char bad : new char[] {0, '\n', 0x1b, 0x7f, 0xe9}) {
            SaveWriter out = new SaveWriter();
            out.text("a~ ");
            out.text("a" + bad);
            byte[] bytes = out.bytes();
            bytes[bytes.length - SaveWriter.CHECKSUM - 1] = (byte) bad;
            SaveWriter.seal(bytes);
            assertThatThrownBy(
                            () -> {
                                SaveReader in = new SaveReader(bytes);
                                assertThat(in.text()).isEqualTo("a~ ");
                                in.text();
                            })
                    .isInstanceOf(RestoreException.class)
                    .hasMessageContaining("text that cannot be printed");
        }
    }

    private static List<DomainView> domain(int id, int endpoint, int mappings) {
        List<MappingView> all = new ArrayList<>();
        for (int i = 0; i < mappings; i++) {
            all.add(new MappingView(i * 0x1000L, i * 0x1000L + 0xfff, 0, RW));
        }
        return List.of(new DomainView(id, false, 0x1000, List.of(endpoint), mappings, all));
    }

    private static List<String> refusedDomains(List<DomainView> domains) {
        Driver other = new Driver(OPTIONS);
        for (int id = 1; id <= 9; id++) {
            other.plug(id);
        }
        Restoration restoration = new Restoration(other.iommu);
        String problem = restoration.prepare(domains);
        assertThat(other.iommu.domainCount()).isZero();
        if (problem != null) {
            restoration.abandon();
            return List.of(problem);
        }
        restoration.commit(false);
        assertThat(other.iommu.domainCount()).isEqualTo(domains.size());
        return List.of("restored");
    }

    /** With a good checksum what was changed is looked at: refused, or a state like any other. */
    @Test
    void aByteThatWasChangedOnPurposeIsRefusedOrAStateLikeAnyOther() {
        byte[] saved = rich();
        int refusals = 0;
        for (int at = SaveWriter.HEAD; at < saved.length - SaveWriter.CHECKSUM; at++) {
            for (int value : new int[] {0, 1, 0x7f, 0xff}) {
                byte[] changed = saved.clone();
                changed[at] = (byte) value;
                SaveWriter.seal(changed);
                Driver other = like(OPTIONS, VirtioIommuDevice.FEATURES);
                byte[] before = SavedDevice.save(other.device, other.type);
                try {
                    SavedDevice.restore(changed, other.device, other.type);
                    assertThat(SavedDevice.save(other.device, other.type)).isEqualTo(changed);
                } catch (RestoreException e) {
                    refusals++;
                    assertThat(SavedDevice.save(other.device, other.type)).isEqualTo(before);
                }
            }
        }
        assertThat(refusals).isGreaterThan(saved.length);
    }
}
