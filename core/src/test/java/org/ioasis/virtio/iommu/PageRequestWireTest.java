// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;
import static org.ioasis.virtio.iommu.GuestTable.PAGE;
import static org.ioasis.virtio.iommu.GuestTable.READ_WRITE;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.pagetable.Rights;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommuTables;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Page requests and their answers, on the wire of the profile. */
class PageRequestWireTest {
    private static final int ENDPOINT = 1;
    private static final int PASID = 5;
    private static final int DOMAIN = 3;
    private static final long IOVA = 0x1234_5000L;
    private static final int USERS = Rights.READ | Rights.USER;
    private static final int EVENT = VirtioIommuTables.FAULT_SIZE;

    private static final long DEADLINE = 1000;

    private final Driver d =
            Driver.of(
                    Driver.OPTIONS.toBuilder().pageRequestNanos(DEADLINE).build(),
                    Profile.TABLES_2023);
    private final Dma plain = d.plug(ENDPOINT);
    private final Endpoint endpoint = requireNonNull(d.iommu.endpoint(ENDPOINT));
    private final Attachment space = requireNonNull(endpoint.open(PASID));
    private final Dma dma = d.iommu.askingDma(space, d.memory, d.guard);
    private final GuestTable table = new GuestTable(d.bytes(Driver.DMA), Driver.DMA, Driver.DMA);
    private final List<String> answers = new ArrayList<>();

    private void attached() {
        d.start(d.type.features());
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN, PASID))).isEqualTo(S_OK);
    }

    private void ask(int group, int rights, boolean isLast, long address) {
        d.iommu.requestPage(
                space,
                group,
                rights,
                isLast,
                address,
                (pasid, number, response) -> answers.add(pasid + "/" + number + " " + response));
        d.turn();
    }

    private static byte[] event(int flags, int pasid, long address, int group) {
        byte[] bytes = Driver.request(0, flags, ENDPOINT, pasid, address, group);
        return Arrays.copyOf(bytes, EVENT);
    }

    @Test
    @Tag("H-18")
    void aDriverThatNeverAnswersIsTooLateWhenTheDeviceIsToldTheTime() {
        attached();
        d.addEventBuffers(4, EVENT);
        assertThat(d.device.needsTick()).isFalse();
        ask(9, USERS, true, IOVA);
        assertThat(d.eventBytes()).isNotNull();
        assertThat(d.device.needsTick()).isTrue();
        d.clock.advance(DEADLINE);
        d.device.tick(0);
        assertThat(answers).isEmpty();

        d.clock.advance(1);
        d.device.tick(0);

        assertThat(answers).containsExactly("5/9 INVALID");
        assertThat(d.device.needsTick()).isFalse();
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 9, 0))).isEqualTo(S_NOENT);
        assertThat(answers).hasSize(1);
    }

    @Test
    @Tag("H-18")
    void aDeviceThatNeverEndsItsGroupIsForgottenWhenTheDeviceIsToldTheTime() {
        attached();
        ask(9, USERS, false, IOVA);
        assertThat(d.device.needsTick()).isTrue();
        d.clock.advance(DEADLINE + 1);
        d.device.tick(0);
        assertThat(d.iommu.pageRequests().held()).isZero();
        assertThat(d.device.needsTick()).isFalse();
    }

    @Test
    @Tag("H-16")
    void aDeviceThatIsResetHasItsAnswerAndTheDriverIsTooLate() {
        attached();
        d.addEventBuffers(4, EVENT);
        ask(9, USERS, true, IOVA);
        assertThat(d.eventBytes()).isNotNull();
        ask(8, USERS, false, IOVA);

        plain.deviceReset();

        assertThat(answers).containsExactly("5/9 INVALID");
        assertThat(d.iommu.pageRequests().held()).isZero();
        ask(9, USERS, true, IOVA);
        assertThat(answers).as("cannot be told from the first").hasSize(2);
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 9, 0))).isEqualTo(S_NOENT);
        ask(9, USERS, true, IOVA);
        assertThat(d.eventBytes()).isNotNull();
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 9, 0))).isEqualTo(S_OK);
        assertThat(answers).hasSize(3).last().isEqualTo("5/9 SUCCESS");
    }

    private Outcome touch(Dma way, long iova) {
        way.enter();
        try {
            return way.resolve(iova, 1, Access.READ);
        } finally {
            way.leave();
        }
    }

    @Test
    @Tag("H-13")
    @Tag("S-27")
    void aGroupComesInOrderAndItsAnswerGoesBackOnce() {
        attached();
        d.addEventBuffers(4, EVENT);
        ask(9, USERS, false, IOVA);
        assertThat(d.eventBytes()).as("not before the last").isNull();
        ask(9, Rights.WRITE | Rights.EXECUTE, true, IOVA + PAGE);
        assertThat(d.eventBytes()).isEqualTo(event(0x721, PASID, IOVA, 9));
        assertThat(d.eventBytes()).isEqualTo(event(0x73e, PASID, IOVA + PAGE, 9));
        assertThat(d.eventBytes()).isNull();
        assertThat(answers).isEmpty();

        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 9, 0))).isEqualTo(S_OK);
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 9, 0))).isEqualTo(S_NOENT);
        assertThat(answers).containsExactly("5/9 SUCCESS");
        assertThat(d.type.pageRequestsDelivered()).isEqualTo(2);
    }

    @Test
    @Tag("H-13")
    void thePageThatWasAskedForIsThereAfterTheAnswer() {
        attached();
        d.addEventBuffers(4, EVENT);
        assertThat(touch(dma, IOVA)).isEqualTo(Outcome.FAULT);
        assertThat(d.eventBytes()).as("who asks is not reported").isNull();
        ask(1, USERS, true, IOVA);
        assertThat(d.eventBytes()).isNotNull();
        table.map(IOVA, Driver.DMA + 0x20000, READ_WRITE);
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 1, 0))).isEqualTo(S_OK);
        assertThat(touch(dma, IOVA)).isEqualTo(Outcome.OK);
        assertThat(d.faults.reported()).isZero();
        assertThat(space.counts().faults()).isEqualTo(1);
    }

    @Test
    @Tag("H-14")
    void eachCodeReachesTheDeviceAndOthersAreInval() {
        attached();
        d.addEventBuffers(8, EVENT);
        for (int code = 0; code < 3; code++) {
            ask(code, USERS, true, IOVA);
            assertThat(d.eventBytes()).isNotNull();
        }
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 0, 3))).isEqualTo(S_INVAL);
        byte[] flagged = GuestTable.respond(ENDPOINT, PASID, 0, 0);
        flagged[VirtioIommuTables.RESPONSE_FLAGS] = 3;
        assertThat(d.status(flagged)).isEqualTo(S_INVAL);
        assertThat(d.status(GuestTable.respond(99, PASID, 0, 0))).isEqualTo(S_NOENT);
        assertThat(d.status(GuestTable.respond(ENDPOINT, -1, 0, 0))).isEqualTo(S_NOENT);
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 7, 0))).isEqualTo(S_NOENT);
        assertThat(answers).isEmpty();
        for (int code = 0; code < 3; code++) {
            assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, code, code))).isEqualTo(S_OK);
        }
        assertThat(answers).containsExactly("5/0 SUCCESS", "5/1 INVALID", "5/2 FAILURE");
    }

    @Test
    @Tag("H-14")
    void anAnswerBeforeTheDriverHasHeardOfAllIsNoent() {
        attached();
        d.addEventBuffers(1, EVENT);
        ask(1, USERS, false, IOVA);
        ask(1, USERS, true, IOVA + PAGE);
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 1, 0))).isEqualTo(S_NOENT);
        assertThat(d.eventBytes()).isNotNull();
        d.addEventBuffers(1, EVENT);
        d.kickEvents();
        assertThat(d.eventBytes()).isNotNull();
        assertThat(d.status(GuestTable.respond(ENDPOINT, PASID, 1, 0))).isEqualTo(S_OK);
        assertThat(answers).containsExactly("5/1 SUCCESS");
    }

    @Test
    @Tag("H-15")
    void aBufferThatIsTooSmallGoesBackAndTheRequestWaits() {
        attached();
        d.addEventBuffers(2, EVENT - 1);
        ask(1, USERS, true, IOVA);
        assertThat(d.event()).isZero();
        assertThat(d.event()).isZero();
        assertThat(d.type.smallEventBuffers()).isEqualTo(2);
        d.addEventBuffers(1, EVENT);
        d.kickEvents();
        assertThat(d.eventBytes()).isEqualTo(event(0x731, PASID, IOVA, 1));
    }

    @Test
    @Tag("H-15")
    void aFaultIsLongerWhereThereIsRoomAndSaysItsPasid() {
        Attachment other = requireNonNull(endpoint.open(6));
        Dma six = d.iommu.dma(other, d.memory, d.guard);
        attached();
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN, 6))).isEqualTo(S_OK);
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        d.addEventBuffers(1, EVENT);
        d.addEventBuffers(1, EVENT);
        d.addEventBuffers(1, FAULT_SIZE);
        assertThat(touch(six, IOVA)).isEqualTo(Outcome.FAULT);
        assertThat(touch(plain, IOVA)).isEqualTo(Outcome.FAULT);
        assertThat(touch(plain, IOVA + PAGE)).isEqualTo(Outcome.FAULT);
        d.turn();
        byte[] withPasid = event(0x301, 6, IOVA, 0);
        withPasid[0] = FAULT_R_MAPPING;
        byte[] without = event(0x101, 0, IOVA, 0);
        without[0] = FAULT_R_MAPPING;
        assertThat(d.eventBytes()).isEqualTo(withPasid);
        assertThat(d.eventBytes()).isEqualTo(without);
        assertThat(d.eventBytes()).hasSize(FAULT_SIZE);
    }

    @Test
    @Tag("H-15")
    void aDriverThatHasNotAskedForThemHasFaultsAsEver() {
        d.start(VirtioIommuDevice.FEATURES);
        assertThat(d.status(Driver.attach(ENDPOINT, DOMAIN, 0))).isEqualTo(S_OK);
        d.addEventBuffers(1, EVENT);
        assertThat(touch(plain, IOVA)).isEqualTo(Outcome.FAULT);
        ask(1, USERS, true, IOVA);
        assertThat(answers).as("there is nobody to ask").containsExactly("5/1 INVALID");
        d.turn();
        assertThat(d.eventBytes()).hasSize(FAULT_SIZE);
    }

    @Test
    @Tag("H-16")
    void whatItCameThroughGoesAndTheGroupIsInvalid() {
        attached();
        ask(1, USERS, true, IOVA);
        assertThat(d.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(answers).containsExactly("5/1 INVALID");
        ask(2, USERS, true, IOVA);
        assertThat(answers).as("detached").hasSize(2);
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN, PASID))).isEqualTo(S_OK);
        ask(3, USERS, true, IOVA);
        assertThat(d.status(table.attach(ENDPOINT, 4, PASID))).isEqualTo(S_OK);
        assertThat(answers).as("moved").hasSize(3);
        ask(4, USERS, true, IOVA);
        d.device.writeStatus(0);
        d.turn();
        assertThat(answers)
                .containsExactly("5/1 INVALID", "5/2 INVALID", "5/3 INVALID", "5/4 INVALID");
        ask(5, USERS, true, IOVA);
        assertThat(answers).as("reset").hasSize(5);
        assertThat(d.iommu.pageRequests().held()).isZero();
    }

    @Test
    @Tag("H-16")
    void anUnpluggedDeviceHasItsAnswer() {
        attached();
        ask(1, USERS, true, IOVA);
        d.iommu.unplug(endpoint, () -> answers.add("gone"));
        assertThat(answers).containsExactly("5/1 INVALID", "gone");
    }

    @Test
    void aRequestGoesBeforeAFault() {
        attached();
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(touch(plain, IOVA)).isEqualTo(Outcome.FAULT);
        ask(1, USERS, true, IOVA);
        d.addEventBuffers(2, EVENT);
        d.kickEvents();
        assertThat(d.eventBytes()).isEqualTo(event(0x731, PASID, IOVA, 1));
        assertThat(MemorySegment.ofArray(requireNonNull(d.eventBytes())).get(Wire.LE32, 4))
                .isEqualTo(0x101);
    }

    @Test
    void aDeviceThatAsksAllTheTimeAndOneThatFaultsTakeTurns() {
        attached();
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        for (int i = 0; i < 2; i++) {
            assertThat(touch(plain, IOVA + i * PAGE)).isEqualTo(Outcome.FAULT);
        }
        for (int group = 0; group < 4; group++) {
            ask(group, USERS, true, IOVA);
        }
        d.addEventBuffers(6, EVENT);
        d.kickEvents();
        List<String> told = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            MemorySegment event = MemorySegment.ofArray(requireNonNull(d.eventBytes()));
            boolean isFault = event.get(ValueLayout.JAVA_BYTE, 0) == FAULT_R_MAPPING;
            told.add(isFault ? "fault" : "asked");
        }
        assertThat(told).containsExactly("asked", "fault", "asked", "fault", "asked", "asked");
    }

    /** What PASIDs and their endpoint ask for when all go by context descriptors. */
    @Test
    @Tag("H-26")
    void aGroupOfAPasidThatGoesByItsContextIsAnsweredOnceAndGoesWithTheDomain() {
        Driver arm = Driver.of(Driver.OPTIONS, Profile.TABLES_2021);
        arm.plug(ENDPOINT);
        Endpoint shared = requireNonNull(arm.iommu.endpoint(ENDPOINT));
        Attachment five = requireNonNull(shared.open(PASID));
        arm.start(arm.type.features());
        arm.addEventBuffers(4, EVENT);
        List<String> heard = new ArrayList<>();
        for (int group = 1; group <= 3; group++) {
            if (group == 2) {
                byte[] contexts = GuestArmTable.contexts(ENDPOINT, DOMAIN, 0, 0, Driver.DMA, 4);
                assertThat(arm.status(contexts)).isEqualTo(S_OK);
            }
            arm.iommu.requestPage(
                    five,
                    group,
                    USERS,
                    true,
                    IOVA,
                    (pasid, number, response) -> heard.add(pasid + "/" + number + " " + response));
            arm.turn();
        }
        assertThat(heard).as("attached to nothing at first").containsExactly("5/1 INVALID");
        assertThat(arm.status(GuestTable.respond(ENDPOINT, PASID, 2, 0))).isEqualTo(S_OK);
        assertThat(arm.status(GuestTable.respond(ENDPOINT, PASID, 2, 0))).isEqualTo(S_NOENT);
        assertThat(arm.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(heard).containsExactly("5/1 INVALID", "5/2 SUCCESS", "5/3 INVALID");
        assertThat(arm.iommu.pageRequests().held()).isZero();
    }
}
