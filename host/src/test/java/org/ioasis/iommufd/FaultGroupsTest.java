// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.HwDevice.NO_PASID;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_NEST_PARENT;
import static org.ioasis.spec.Iommufd.HWPT_ALLOC_PASID;
import static org.ioasis.spec.Iommufd.PAGE_RESP_INVALID;
import static org.ioasis.spec.Iommufd.PAGE_RESP_SUCCESS;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_LAST_PAGE;
import static org.ioasis.spec.Iommufd.PGFAULT_FLAGS_PASID_VALID;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every group of page requests is answered once, whatever happens to what it came through. */
class FaultGroupsTest {
    private static final int LAST = PGFAULT_FLAGS_LAST_PAGE;
    private static final int WITH_PASID = PGFAULT_FLAGS_PASID_VALID;

    private final AtomicLong clock = new AtomicLong(Long.MAX_VALUE - 50);
    private final List<Device> bound = new ArrayList<>();

    /** A context with an address space and a parent for tables of guests. */
    private final class Host {
        final IommufdNode node;
        final IommufdContext context;
        final PagingHwpt parent;
        final AskingDevice hardware;
        final Device device;
        final FaultQueue queue;

        Host(IommufdNode node) throws IommufdException {
            this.node = node;
            context = node.openContext();
            Ioas ioas = context.allocateIoas();
            hardware = new AskingDevice(node);
            device = bind(hardware);
            parent = context.allocateHwpt(device, ioas, HWPT_ALLOC_NEST_PARENT | HWPT_ALLOC_PASID);
            queue = context.allocateFaultQueue();
        }

        Device bind(AskingDevice one) throws IommufdException {
            Device made = context.bind(one);
            bound.add(made);
            return made;
        }

        NestedHwpt table(FaultQueue faults) throws IommufdException {
            UserData data = UserData.of(1, Arena.ofAuto().allocate(8));
            return parent.allocateNested(device, HWPT_ALLOC_PASID, data, faults);
        }
    }

    private Host host() throws IommufdException {
        return new Host(IommufdNode.builder().build());
    }

    @AfterEach
    void detach() {
        for (Device device : bound) {
            for (int pasid : new int[] {NO_PASID, 5, 9}) {
                device.detach(pasid);
            }
            device.unbind();
        }
    }

    private static AskingDevice.Answer answer(int pasid, int group, int code) {
        return new AskingDevice.Answer(pasid, group, code);
    }

    @Test
    @Tag("S34")
    void aGroupThatCameThroughTheTableOfPasidsIsAnsweredWhenThatIsDetached()
            throws IommufdException {
        Host host = host();
        host.device.attach(host.table(host.queue).id(), NO_PASID);
        host.device.requests().report(LAST | WITH_PASID, 5, 1, 1, 0);
        host.device.requests().report(LAST | WITH_PASID, 5, 2, 1, 0);
        requireNonNull(host.queue.take());

        host.device.detach(NO_PASID);

        assertThat(host.hardware.answers)
                .containsExactlyInAnyOrder(
                        answer(5, 1, PAGE_RESP_INVALID), answer(5, 2, PAGE_RESP_INVALID));
        assertThat(host.queue.open()).isZero();
    }

    @Test
    @Tag("S34")
    void aDeviceThatAsksAgainFromItsAnswerHasOneAnswerForEachGroup() throws IommufdException {
        Host host = new Host(IommufdNode.builder().pageRequestDeadline(100, clock::get).build());
        host.device.attach(host.table(host.queue).id(), NO_PASID);
        for (int group = 1; group <= 3; group++) {
            host.device.requests().report(LAST, 0, group, 1, 0);
            requireNonNull(host.queue.take());
        }
        host.hardware.told =
                answer -> {
                    if (answer.group() < 100) {
                        host.device.requests().report(LAST, 0, answer.group() + 100, 1, 0);
                    }
                };
        clock.addAndGet(101);

        host.context.expirePageRequests();

        assertThat(host.hardware.answers)
                .containsExactlyInAnyOrder(
                        answer(0, 1, PAGE_RESP_INVALID),
                        answer(0, 2, PAGE_RESP_INVALID),
                        answer(0, 3, PAGE_RESP_INVALID));
        assertThat(host.queue.open()).isEqualTo(3);
    }

    @Test
    @Tag("S34")
    void aGroupHasItsRequestsInTheirOrderAndNothingIsDeliveredBeforeTheLast()
            throws IommufdException {
        Host host = host();
        host.device.attach(host.table(host.queue).id(), NO_PASID);
        host.device.requests().report(0, 0, 7, 1, 0x1000);
        host.device.requests().report(0, 0, 8, 1, 0x9000);
        host.device.requests().report(0, 0, 7, 3, 0x2000);
        assertThat(host.queue.take()).isNull();
        host.device.requests().report(LAST, 0, 7, 1, 0x3000);

        FaultQueue.Taken taken = requireNonNull(host.queue.take());

        assertThat(taken.group().requests())
                .extracting(PageRequests.Request::address)
                .containsExactly(0x1000L, 0x2000L, 0x3000L);
        assertThat(host.queue.answer(taken.cookie(), 3)).isEqualTo(-Errno.EINVAL.number());
        assertThat(host.queue.answer(taken.cookie(), PAGE_RESP_SUCCESS)).isZero();
        assertThat(host.queue.answer(taken.cookie(), PAGE_RESP_SUCCESS))
                .isEqualTo(-Errno.EINVAL.number());
        assertThat(host.hardware.answers).containsExactly(answer(0, 7, PAGE_RESP_SUCCESS));
    }

    @Test
    @Tag("S34")
    void anOverflowForgetsWhatIsNotWholeAndWhatFollowsIsAShorterGroup() throws IommufdException {
        Host host = host();
        host.device.attach(host.table(host.queue).id(), NO_PASID);
        host.device.requests().report(0, 0, 7, 1, 0x1000);
        host.device.requests().overflow();
        host.device.requests().report(LAST, 0, 7, 1, 0x2000);

        FaultQueue.Taken taken = requireNonNull(host.queue.take());

        assertThat(taken.group().requests())
                .extracting(PageRequests.Request::address)
                .containsExactly(0x2000L);
        assertThat(host.device.requests().dropped()).isEqualTo(1);
    }

    @Test
    @Tag("S34")
    void aGroupIsAnsweredAsInvalidAfterItsDeadlineAndNotAtIt() throws IommufdException {
        Host host = new Host(IommufdNode.builder().pageRequestDeadline(100, clock::get).build());
        host.device.attach(host.table(host.queue).id(), NO_PASID);
        host.device.requests().report(LAST, 0, 1, 1, 0);
        FaultQueue.Taken taken = requireNonNull(host.queue.take());
        host.device.requests().report(LAST, 0, 2, 1, 0);
        clock.addAndGet(100);
        host.context.expirePageRequests();
        assertThat(host.hardware.answers).isEmpty();
        clock.addAndGet(1);

        host.context.expirePageRequests();

        assertThat(host.hardware.answers)
                .containsExactlyInAnyOrder(
                        answer(0, 1, PAGE_RESP_INVALID), answer(0, 2, PAGE_RESP_INVALID));
        assertThat(host.queue.answer(taken.cookie(), PAGE_RESP_SUCCESS))
                .isEqualTo(-Errno.EINVAL.number());
        assertThat(host.queue.expired()).isEqualTo(2);
    }

    @Test
    void withoutADeadlineNoTimeAnswersAGroup() throws IommufdException {
        Host host = host();
        host.device.attach(host.table(host.queue).id(), NO_PASID);
        host.device.requests().report(LAST, 0, 1, 1, 0);
        host.context.expirePageRequests();
        assertThat(host.queue.open()).isEqualTo(1);
        assertThat(host.queue.expired()).isZero();
    }

    /** What the queues must hold and what devices must have heard, kept the plain way. */
    private static final class Model {
        record Open(FaultQueue queue, Hwpt hwpt, Device device, int via, int pasid, int group) {}

        final List<Open> open = new ArrayList<>();
        final List<AskingDevice.Answer> expected = new ArrayList<>();

        void forget(Device device, int via) {
            close(open.stream().filter(o -> o.device == device && o.via == via).toList());
        }

        void close(List<Open> gone) {
            gone.forEach(one -> expected.add(answer(one.pasid, one.group, PAGE_RESP_INVALID)));
            open.removeAll(gone);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    @Tag("S34")
    void everyGroupIsAnsweredOnceWhateverHappensInWhateverOrder(long seed) throws IommufdException {
        Random random = new Random(seed);
        Host host = host();
        FaultQueue[] queues = {host.queue, host.context.allocateFaultQueue()};
        Hwpt[] tables = {
            host.table(queues[0]), host.table(queues[1]), host.table(queues[0]), host.parent
        };
        AskingDevice other = new AskingDevice(host.node);
        Device[] devices = {host.device, host.bind(other)};
        AskingDevice[] hardware = {host.hardware, other};
        int[] pasids = {NO_PASID, 5, 9};
        List<FaultQueue.Taken> taken = new ArrayList<>();
        List<FaultQueue> takenFrom = new ArrayList<>();
        Model model = new Model();
        int group = 0;
        for (int step = 0; step < 4000; step++) {
            int which = random.nextInt(2);
            Device device = devices[which];
            int pasid = pasids[random.nextInt(3)];
            switch (random.nextInt(9)) {
                case 0 -> {
                    if (device.attached(pasid) == null) {
                        device.attach(tables[random.nextInt(4)].id(), pasid);
                    }
                }
                case 1 -> {
                    device.detach(pasid);
                    model.forget(device, pasid);
                }
                case 2 -> {
                    Hwpt before = device.attached(pasid);
                    Hwpt next = tables[random.nextInt(4)];
                    if (before != null) {
                        device.replace(next.id(), pasid);
                        if (before != next) {
                            model.forget(device, pasid);
                        }
                    }
                }
                case 3 -> {
                    FaultQueue queue = queues[random.nextInt(2)];
                    FaultQueue.Taken next = queue.take();
                    Model.Open oldest =
                            model.open.stream()
                                    .filter(one ->
                                            one.queue == queue
                                                    && taken.stream()
                                                            .noneMatch(t ->
                                                                    t.group().number()
                                                                            == one.group))
                                    .findFirst()
                                    .orElse(null);
                    assertThat(next == null ? -1 : next.group().number())
                            .as("the order of last requests")
                            .isEqualTo(oldest == null ? -1 : oldest.group);
                    if (next != null) {
                        taken.add(next);
                        takenFrom.add(queue);
                    }
                }
                case 4 -> {
                    if (!taken.isEmpty()) {
                        // Often one that has its answer.
                        int i = random.nextInt(taken.size());
                        int number = taken.get(i).group().number();
                        int code = random.nextInt(2);
                        Model.Open one =
                                model.open.stream()
                                        .filter(o -> o.group == number)
                                        .findFirst()
                                        .orElse(null);
                        assertThat(takenFrom.get(i).answer(taken.get(i).cookie(), code))
                                .isEqualTo(one == null ? -Errno.EINVAL.number() : 0);
                        if (one != null) {
                            model.expected.add(answer(one.pasid, one.group, code));
                            model.open.remove(one);
                        }
                    }
                }
                case 5 -> {
                    int old = random.nextInt(3);
                    boolean isUsed =
                            List.of(devices).stream()
                                    .anyMatch(one ->
                                            List.of(NO_PASID, 5, 9).stream()
                                                    .anyMatch(p -> one.attached(p) == tables[old]));
                    if (!isUsed) {
                        host.context.destroy(tables[old].id());
                        Hwpt gone = tables[old];
                        model.close(model.open.stream().filter(one -> one.hwpt == gone).toList());
                        tables[old] = host.table(queues[random.nextInt(2)]);
                    }
                }
                case 6 -> device.requests().report(pasid == 0 ? 0 : WITH_PASID, pasid, group, 1, 0);
                default -> {
                    group++;
                    Hwpt direct = device.attached(pasid);
                    Hwpt whole = device.attached(NO_PASID);
                    boolean isWhole = direct == null && whole instanceof NestedHwpt;
                    Hwpt through = isWhole ? whole : direct;
                    FaultQueue queue = through == null ? null : through.faults();
                    device.requests()
                            .report(LAST | (pasid == 0 ? 0 : WITH_PASID), pasid, group, 1, 0);
                    if (through == null || queue == null) {
                        model.expected.add(answer(pasid, group, PAGE_RESP_INVALID));
                    } else {
                        model.open.add(
                                new Model.Open(
                                        queue,
                                        through,
                                        device,
                                        isWhole ? NO_PASID : pasid,
                                        pasid,
                                        group));
                    }
                }
            }
            assertThat(queues[0].open() + queues[1].open()).isEqualTo(model.open.size());
        }
        for (Device device : devices) {
            for (int pasid : pasids) {
                device.detach(pasid);
                model.forget(device, pasid);
            }
        }
        assertThat(group).isGreaterThan(500);
        Comparator<AskingDevice.Answer> order = Comparator.comparingInt(AskingDevice.Answer::group);
        List<AskingDevice.Answer> all = new ArrayList<>(hardware[0].answers);
        all.addAll(hardware[1].answers);
        all.sort(order);
        model.expected.sort(order);
        assertThat(all).isEqualTo(model.expected).hasSize(group);
    }
}
