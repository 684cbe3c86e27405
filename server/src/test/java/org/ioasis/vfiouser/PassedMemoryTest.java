// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioUser.*;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.sys.Errno;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A device server that is given memory: what is mapped, while it is mapped, and nothing else. */
@Timeout(60)
class PassedMemoryTest {
    private static final int READ_WRITE = MapFlags.READ | MapFlags.WRITE;
    private static final long PAGE = 4096;
    private static final long IOVA = 0x10_0000;

    private static ProxyFixture fixture() throws IOException {
        return new ProxyFixture(new ProxySettings(Isolation.MAPPED, ProxyFixture.ANSWER_MILLIS, 0));
    }

    /** The request's answer; null: it has none yet. */
    private static AtomicReference<@Nullable Status> ask(
            ProxyFixture fixture, Consumer<Completion> request) {
        AtomicReference<@Nullable Status> answer = new AtomicReference<>();
        fixture.onLoop(() -> request.accept(answer::set));
        return answer;
    }

    private static Status awaited(ProxyFixture fixture, Consumer<Completion> request) {
        AtomicReference<@Nullable Status> answer = ask(fixture, request);
        fixture.await(() -> answer.get() != null);
        return Objects.requireNonNull(answer.get());
    }

    private static Status map(ProxyFixture fixture, long first, long last, long gpa) {
        return awaited(fixture, done -> fixture.domain.map(first, last, gpa, READ_WRITE, done));
    }

    @Test
    void mappingIsARegionOfExactlyItsAddressesThatBothSee() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).isEmpty();
            fixture.put(5 * PAGE, "theirs");

            assertThat(map(fixture, IOVA, IOVA + 2 * PAGE - 1, 5 * PAGE)).isEqualTo(Status.OK);

            assertThat(fixture.device.memory).containsOnlyKeys(IOVA);
            assertThat(fixture.device.given(IOVA).byteSize()).isEqualTo(2 * PAGE);
            assertThat(fixture.device.seen(IOVA, 6)).isEqualTo("theirs");
            fixture.device.given(IOVA).set(ValueLayout.JAVA_BYTE, 2 * PAGE - 1, (byte) '!');
            assertThat(fixture.get(7 * PAGE - 1, 1)).isEqualTo("!");
            ScriptedDevice.Asked told = fixture.device.asked(VFIO_USER_DMA_MAP).getFirst();
            assertThat(told.fds()).isOne();
            assertThat(told.fields().getLong(DMA_MAP_BYTES)).isEqualTo(2 * PAGE);
            assertThat(told.fields().getLong(DMA_MAP_OFFSET)).isEqualTo(5 * PAGE);
            assertThat(told.fields().getInt(DMA_MAP_FLAGS)).isEqualTo(3);
            // Messages are done as well, and translated as ever.
            assertThat(fixture.device.read(IOVA, 6)).isEqualTo("theirs");
            assertThat(fixture.device.read(IOVA + 2 * PAGE, 1)).isEqualTo("EFAULT");
        }
    }

    @Test
    void rightsAreThoseOfTheMappingAndOfTheMemory() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
            client.map(0, 8 * PAGE, 0, 3, fixture.file);
            client.map(8 * PAGE, 8 * PAGE, 8 * PAGE, 1, fixture.file);
            client.map(16 * PAGE, 8 * PAGE, 0, 3); // without a file
            fixture.map(IOVA, IOVA + PAGE - 1, 0, MapFlags.READ);
            fixture.map(IOVA + PAGE, IOVA + 2 * PAGE - 1, 8 * PAGE, READ_WRITE);
            fixture.map(IOVA + 2 * PAGE, IOVA + 3 * PAGE - 1, 8 * PAGE, MapFlags.WRITE);
            fixture.map(IOVA + 3 * PAGE, IOVA + 4 * PAGE - 1, PAGE, READ_WRITE | MapFlags.MMIO);
            fixture.map(IOVA + 4 * PAGE, IOVA + 5 * PAGE - 1, 16 * PAGE, READ_WRITE);
            client.read(0, 0, 4);

            assertThat(fixture.device.memory).containsOnlyKeys(IOVA, IOVA + PAGE);
            assertThat(fixture.device.asked(VFIO_USER_DMA_MAP))
                    .hasSize(2)
                    .allMatch(told -> told.fields().getInt(DMA_MAP_FLAGS) == 1);
        }
    }

    @Test
    void mappingIsCutWhereRegionsOfMemoryEndAndGoesAsItCame() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
            client.map(0, 4 * PAGE, 64 * PAGE, 3, fixture.file);
            client.map(6 * PAGE, 4 * PAGE, 32 * PAGE, 3, fixture.file);
            fixture.put(65 * PAGE, "low");
            fixture.put(32 * PAGE, "high");

            assertThat(map(fixture, IOVA, IOVA + 8 * PAGE - 1, PAGE)).isEqualTo(Status.OK);

            assertThat(fixture.device.memory).containsOnlyKeys(IOVA, IOVA + 5 * PAGE);
            assertThat(fixture.device.given(IOVA).byteSize()).isEqualTo(3 * PAGE);
            assertThat(fixture.device.given(IOVA + 5 * PAGE).byteSize()).isEqualTo(3 * PAGE);
            assertThat(fixture.device.seen(IOVA, 3)).isEqualTo("low");
            assertThat(fixture.device.seen(IOVA + 5 * PAGE, 4)).isEqualTo("high");

            assertThat(fixture.unmap(IOVA, IOVA + 8 * PAGE - 1)).isEqualTo(Status.OK);
            assertThat(fixture.device.memory).isEmpty();
            assertThat(fixture.device.asked(VFIO_USER_DMA_UNMAP)).hasSize(2);
        }
    }

    @Test
    void unmapIsAnsweredWhenTheDeviceHasLetGo() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            map(fixture, IOVA, IOVA + PAGE - 1, 0);
            CountDownLatch goOn = new CountDownLatch(1);
            holds(fixture, VFIO_USER_DMA_UNMAP, goOn);
            AtomicReference<@Nullable Status> answer =
                    ask(fixture, done -> fixture.domain.unmap(IOVA, IOVA + PAGE - 1, done));
            fixture.await(() -> fixture.device.asked(VFIO_USER_DMA_UNMAP).size() == 1);
            fixture.onLoop(() -> {});
            assertThat(answer.get()).isNull();
            assertThat(fixture.device.memory).containsOnlyKeys(IOVA);
            goOn.countDown();
            fixture.await(() -> answer.get() == Status.OK);
            assertThat(fixture.device.memory).isEmpty();
            assertThat(client.read(0, 0, 4)).isZero();
        }
    }

    private static void holds(ProxyFixture fixture, int command, CountDownLatch goOn) {
        fixture.device.script =
                (device, asked) -> {
                    if (asked.command() == command) {
                        awaitNow(goOn);
                    }
                    return false;
                };
    }

    private static void awaitNow(CountDownLatch latch) {
        try {
            assertThat(latch.await(10, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void mapIsAnsweredWhenTheDeviceKnows() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            CountDownLatch goOn = new CountDownLatch(1);
            holds(fixture, VFIO_USER_DMA_MAP, goOn);
            AtomicReference<@Nullable Status> answer =
                    ask(
                            fixture,
                            done -> fixture.domain.map(IOVA, IOVA + PAGE - 1, 0, READ_WRITE, done));
            fixture.await(() -> fixture.device.asked(VFIO_USER_DMA_MAP).size() == 1);
            fixture.onLoop(() -> {});
            assertThat(answer.get()).isNull();
            goOn.countDown();
            fixture.await(() -> answer.get() == Status.OK);
            assertThat(client.read(0, 0, 4)).isZero();
        }
    }

    /** Whether it has said how many it takes, or refuses when it has them. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void atTheLimitOfTheDevicesRegionsAMapIsNomemAndCountedUntilOneIsUnmapped(boolean isSaid)
            throws Exception {
        try (ProxyFixture fixture = fixture()) {
            fixture.device.mapsMax = isSaid ? 2 : 64;
            fixture.device.regionsMax = 2;
            fixture.ready().close(); // the connection made at the start was told of another limit
            fixture.awaitNoSession();
            try (MockVfioUserClient client = fixture.ready()) {
                assertThat(map(fixture, IOVA, IOVA + PAGE - 1, 0)).isEqualTo(Status.OK);
                assertThat(map(fixture, IOVA + PAGE, IOVA + 2 * PAGE - 1, 0)).isEqualTo(Status.OK);
                assertThat(map(fixture, IOVA + 2 * PAGE, IOVA + 3 * PAGE - 1, 0))
                        .isEqualTo(Status.NOMEM);
                assertThat(counts(fixture).refusals()).isOne();
                assertThat(counts(fixture).regionsMax()).isEqualTo(2);
                assertThat(fixture.device.memory).containsOnlyKeys(IOVA, IOVA + PAGE);
                fixture.onLoop(() -> assertThat(fixture.domain.size()).isEqualTo(2));

                assertThat(fixture.unmap(IOVA, IOVA + PAGE - 1)).isEqualTo(Status.OK);
                assertThat(map(fixture, IOVA + 2 * PAGE, IOVA + 3 * PAGE - 1, 0))
                        .isEqualTo(Status.OK);
                assertThat(fixture.device.memory).containsOnlyKeys(IOVA + PAGE, IOVA + 2 * PAGE);
                assertThat(counts(fixture).regions()).isEqualTo(2);
                assertThat(client.read(0, 0, 4)).isZero();
            }
        }
    }

    private static PassedCounts counts(ProxyFixture fixture) {
        AtomicReference<@Nullable PassedCounts> counts = new AtomicReference<>();
        fixture.onLoop(() -> counts.set(fixture.function.passedCounts()));
        return Objects.requireNonNull(counts.get());
    }

    @Test
    void ofAMappingOfSeveralPiecesThatIsRefusedNothingIsLeft() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = MockVfioUserClient.ready(fixture.server.path())) {
            client.map(0, 4 * PAGE, 0, 3, fixture.file);
            client.map(4 * PAGE, 4 * PAGE, 0, 3, fixture.file);
            fixture.device.regionsMax = 1;
            assertThat(map(fixture, IOVA, IOVA + 8 * PAGE - 1, 0)).isEqualTo(Status.NOMEM);
            assertThat(fixture.device.memory).isEmpty();
            fixture.device.regionsMax = 2;
            assertThat(map(fixture, IOVA, IOVA + 8 * PAGE - 1, 0)).isEqualTo(Status.OK);
            assertThat(fixture.device.memory).containsOnlyKeys(IOVA, IOVA + 4 * PAGE);
        }
    }

    @Test
    void nextSessionIsToldOfEachMappingAgain() throws Exception {
        try (ProxyFixture fixture = fixture()) {
            List<Long> keys = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                long first = IOVA + i * 3L * PAGE;
                assertThat(map(fixture, first, first + PAGE - 1, i * PAGE)).isEqualTo(Status.OK);
                fixture.put(i * PAGE, "page " + i);
                keys.add(first);
            }
            for (int round = 0; round < 3; round++) {
                try (MockVfioUserClient client = fixture.ready()) {
                    client.read(0, 0, 4);
                    assertThat(fixture.device.memory).containsOnlyKeys(keys.toArray(new Long[0]));
                    for (int i = 0; i < 10; i++) {
                        assertThat(fixture.device.seen(keys.get(i), 6)).isEqualTo("page " + i);
                    }
                }
                fixture.awaitNoSession();
            }
            assertThat(fixture.function.losses()).isZero();
        }
    }

    @Test
    void attachTellsOfAllAndDetachTakesAllBackFirst() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.onLoop(() -> fixture.iommu.bypass(false));
            PagingDomain other = other(fixture, 3);
            map(fixture, IOVA, IOVA + PAGE - 1, 0);

            assertThat(attach(fixture, other)).isEqualTo(Status.OK);
            assertThat(fixture.device.memory).containsOnlyKeys(0L, PAGE, 2 * PAGE);

            CountDownLatch goOn = new CountDownLatch(1);
            holds(fixture, VFIO_USER_DMA_UNMAP, goOn);
            AtomicReference<@Nullable Status> answer =
                    ask(fixture, done -> fixture.iommu.detach(fixture.endpoint.attachment(), done));
            fixture.await(() -> fixture.device.asked(VFIO_USER_DMA_UNMAP).size() == 2);
            fixture.onLoop(() -> {});
            assertThat(answer.get()).isNull();
            goOn.countDown();
            fixture.await(() -> answer.get() == Status.OK);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).isEmpty();
        }
    }

    /** A domain with so many mappings of a page each, one after the other from 0 on. */
    private static PagingDomain other(ProxyFixture fixture, int count) {
        AtomicReference<@Nullable PagingDomain> made = new AtomicReference<>();
        fixture.onLoop(() -> {
            PagingDomain other = fixture.iommu.pagingDomain(2);
            for (long i = 0; i < count; i++) {
                other.map(
                        i * PAGE,
                        i * PAGE + PAGE - 1,
                        i * PAGE,
                        READ_WRITE,
                        status -> assertThat(status).isEqualTo(Status.OK));
            }
            made.set(other);
        });
        return Objects.requireNonNull(made.get());
    }

    private static Status attach(ProxyFixture fixture, PagingDomain to) {
        return awaited(
                fixture, done -> fixture.iommu.attach(fixture.endpoint.attachment(), to, done));
    }

    @Test
    void moreMappingsThanItTakesAreOneRegionWhereTheyAreNeighboursUntilAPartIsUnmapped()
            throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.device.regionsMax = 64;
            PagingDomain other = other(fixture, 65);
            assertThat(attach(fixture, other)).isEqualTo(Status.OK);
            assertThat(fixture.device.memory).containsOnlyKeys(0L);
            assertThat(fixture.device.given(0).byteSize()).isEqualTo(65 * PAGE);

            assertThat(awaited(fixture, done -> other.unmap(8 * PAGE, 10 * PAGE - 1, done)))
                    .isEqualTo(Status.OK);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).containsOnlyKeys(0L, 10 * PAGE);
            assertThat(fixture.device.given(0).byteSize()).isEqualTo(8 * PAGE);
            assertThat(fixture.device.given(10 * PAGE).byteSize()).isEqualTo(55 * PAGE);
            fixture.put(10 * PAGE, "rest");
            assertThat(fixture.device.seen(10 * PAGE, 4)).isEqualTo("rest");
        }
    }

    @Test
    void howeverManyRegionsWaitToBeToldFewDescriptorsAreOpenForThem() throws Exception {
        try (ProxyFixture fixture = fixture()) {
            fixture.device.mapsMax = 1000;
            fixture.ready().close();
            fixture.awaitNoSession();
            try (MockVfioUserClient client = fixture.ready()) {
                client.read(0, 0, 4);
                PagingDomain other = other(fixture, 200);
                CountDownLatch goOn = new CountDownLatch(1);
                holds(fixture, VFIO_USER_DMA_MAP, goOn);
                Resources before = Resources.now();
                AtomicReference<@Nullable Status> answer =
                        ask(
                                fixture,
                                done ->
                                        fixture.iommu.attach(
                                                fixture.endpoint.attachment(), other, done));
                fixture.await(() -> fixture.device.asked(VFIO_USER_DMA_MAP).size() == 1);
                // Those on their way are in the socket, and one is the device's.
                assertThat(Resources.now().descriptors() - before.descriptors())
                        .isLessThanOrEqualTo(2);
                goOn.countDown();
                fixture.await(() -> answer.get() == Status.OK);
                assertThat(fixture.device.memory).hasSize(200);
            }
        }
    }

    @Test
    void attachToMoreThanItTakesIsRefusedAndAllIsAsItWas() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            map(fixture, IOVA, IOVA + PAGE - 1, 0);
            PagingDomain other = other(fixture, 3);
            fixture.device.regionsMax = 2;
            assertThat(attach(fixture, other)).isEqualTo(Status.NOMEM);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).containsOnlyKeys(IOVA);
            assertThat(counts(fixture).refusals()).isOne();
            assertThat(fixture.unmap(IOVA, IOVA + PAGE - 1)).isEqualTo(Status.OK);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).isEmpty();
        }
    }

    @Test
    void endpointOfNoDomainIsGivenMemoryAsItIsWhileThatIsLetThrough() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.onLoop(() -> fixture.iommu.bypass(true));
            assertThat(
                            awaited(
                                    fixture,
                                    done ->
                                            fixture.iommu.detach(
                                                    fixture.endpoint.attachment(), done)))
                    .isEqualTo(Status.OK);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).containsOnlyKeys(0L);
            client.unmap(0, ProxyFixture.RAM);
            client.map(0, 16 * PAGE, 0, 3, fixture.file);
            client.map(32 * PAGE, 16 * PAGE, 0, 3, fixture.file);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).containsOnlyKeys(0L, 32 * PAGE);
        }
    }

    @Test
    void memoryThatTheVmmTakesAwayIsTheDevicesNoMoreWhenThatIsAnswered() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            map(fixture, IOVA, IOVA + PAGE - 1, 0);
            CountDownLatch goOn = new CountDownLatch(1);
            holds(fixture, VFIO_USER_DMA_UNMAP, goOn);
            client.send(
                    VFIO_USER_DMA_UNMAP,
                    0,
                    MockVfioUserClient.unmapPayload(0, ProxyFixture.RAM, 0));
            fixture.await(() -> fixture.device.asked(VFIO_USER_DMA_UNMAP).size() == 1);
            assertThat(client.isSilentFor(20)).isTrue();
            goOn.countDown();
            assertThat(client.receive().command()).isEqualTo(VFIO_USER_DMA_UNMAP);
            assertThat(fixture.device.memory).isEmpty();

            client.map(0, ProxyFixture.RAM, 0, 3, fixture.file);
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).containsOnlyKeys(IOVA);
        }
    }

    @Test
    void resetOfTheIommuTakesAllBackWhateverWasOnItsWay() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            fixture.onLoop(() -> fixture.iommu.bypass(false));
            map(fixture, IOVA, IOVA + PAGE - 1, 0);
            CountDownLatch goOn = new CountDownLatch(1);
            holds(fixture, VFIO_USER_DMA_MAP, goOn);
            AtomicReference<@Nullable Status> late =
                    ask(
                            fixture,
                            done ->
                                    fixture.domain.map(
                                            IOVA + PAGE, IOVA + 2 * PAGE - 1, 0, READ_WRITE, done));
            AtomicReference<@Nullable Status> isReset =
                    ask(fixture, done -> fixture.iommu.reset(() -> done.complete(Status.OK)));
            assertThat(isReset.get()).isNull();
            goOn.countDown();
            fixture.await(() -> isReset.get() == Status.OK);
            assertThat(late.get()).isNull();
            client.read(0, 0, 4);
            assertThat(fixture.device.memory).isEmpty();
        }
    }

    @Test
    void deviceThatDoesNotGiveMemoryBackIsLostAndTheGuestHasItsAnswer() throws Exception {
        try (ProxyFixture fixture = fixture();
                MockVfioUserClient client = fixture.ready()) {
            map(fixture, IOVA, IOVA + PAGE - 1, 0);
            fixture.device.script =
                    (device, asked) -> {
                        if (asked.command() != VFIO_USER_DMA_UNMAP) {
                            return false;
                        }
                        device.error(asked, Errno.EBUSY);
                        return true;
                    };
            assertThat(fixture.unmap(IOVA, IOVA + PAGE - 1)).isEqualTo(Status.OK);
            client.awaitClose();
            fixture.awaitNoSession();
            assertThat(fixture.server.lastReason())
                    .contains("it does not give memory back at 0x100000: EBUSY");
        }
    }

    /** Whatever a server does instead of confirming: the guest is not kept waiting for ever. */
    @ParameterizedTest
    @EnumSource(HostileDeviceServerTest.Lie.class)
    void whateverTheDeviceDoesAtAnUnmapTheGuestHasItsAnswerAndTheNextSessionIsAsIfNothingHadBeen(
            HostileDeviceServerTest.Lie lie) throws Exception {
        Resources before = Resources.now();
        try (ProxyFixture fixture = fixture()) {
            for (int command : new int[] {VFIO_USER_DMA_MAP, VFIO_USER_DMA_UNMAP}) {
                AtomicInteger lies = new AtomicInteger();
                fixture.device.script =
                        (device, asked) -> {
                            if (asked.command() != command || lies.get() > 0) {
                                return false;
                            }
                            lies.incrementAndGet();
                            lie.instead(device, asked);
                            return true;
                        };
                try (MockVfioUserClient client = fixture.ready()) {
                    AtomicReference<@Nullable Status> mapped =
                            ask(
                                    fixture,
                                    done ->
                                            fixture.domain.map(
                                                    IOVA, IOVA + PAGE - 1, 0, READ_WRITE, done));
                    pass(fixture, lie, command == VFIO_USER_DMA_MAP, lies);
                    fixture.await(() -> mapped.get() == Status.OK);
                    AtomicReference<@Nullable Status> unmapped =
                            ask(fixture, done -> fixture.domain.unmap(IOVA, IOVA + PAGE - 1, done));
                    pass(fixture, lie, command == VFIO_USER_DMA_UNMAP, lies);
                    fixture.await(() -> unmapped.get() == Status.OK);
                    client.awaitClose();
                }
                fixture.awaitNoSession();
                assertThat(lies.get()).isOne();
                assertThat(fixture.server.lastReason()).contains("the device at ");
                try (MockVfioUserClient client = fixture.ready()) {
                    assertThat(map(fixture, IOVA, IOVA + PAGE - 1, 0)).isEqualTo(Status.OK);
                    assertThat(fixture.device.memory).containsOnlyKeys(IOVA);
                    assertThat(fixture.unmap(IOVA, IOVA + PAGE - 1)).isEqualTo(Status.OK);
                    assertThat(client.read(0, 0, 4)).isZero();
                    assertThat(fixture.device.memory).isEmpty();
                }
                fixture.awaitNoSession();
            }
        }
        assertThat(Resources.now()).isEqualTo(before);
    }

    /** If it is now that it does not answer, so long that nobody waits any more. */
    private static void pass(
            ProxyFixture fixture,
            HostileDeviceServerTest.Lie lie,
            boolean isNow,
            AtomicInteger lies) {
        if (isNow && lie == HostileDeviceServerTest.Lie.ANSWERS_NEVER) {
            fixture.await(() -> lies.get() == 1);
            fixture.pass(TimeUnit.MILLISECONDS.toNanos(ProxyFixture.ANSWER_MILLIS + 1));
            fixture.pass(TimeUnit.SECONDS.toNanos(1));
        }
    }

    @Test
    void allThatIsGivenIsGivenBackInTheEnd() throws Exception {
        Resources before = Resources.now();
        try (ProxyFixture fixture = fixture()) {
            for (int round = 0; round < 3; round++) {
                try (MockVfioUserClient client = fixture.ready()) {
                    map(fixture, IOVA, IOVA + PAGE - 1, 0);
                    client.read(0, 0, 4);
                    fixture.unmap(IOVA, IOVA + PAGE - 1);
                }
                fixture.awaitNoSession();
            }
        }
        assertThat(Resources.now()).isEqualTo(before);
    }
}
