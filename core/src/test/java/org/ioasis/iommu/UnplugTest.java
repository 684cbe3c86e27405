// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/** An endpoint is taken away while its driver is still at it. */
final class UnplugTest {
    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint endpoint = m.plug(1);
    private final List<String> told = new ArrayList<>();

    private void unplug() {
        m.iommu.unplug(endpoint, () -> told.add("gone"));
    }

    private void attachAndMap() {
        m.attach(1, 7);
        m.map(7, 0, 0xfff, RAM, READ);
    }

    @Test
    void itsIdIsFreeAndItsDomainHasEnded() {
        attachAndMap();

        unplug();

        assertThat(told).containsExactly("gone");
        assertThat(m.iommu.endpoint(1)).isNull();
        assertThat(m.iommu.domainCount()).isZero();
        assertThat(m.iommu.mappingCount()).isZero();
        Endpoint next = m.plug(1);
        assertThat(next).isNotSameAs(endpoint);
        assertThat(m.attach(1, 7)).isEqualTo(Status.OK);
    }

    @Test
    void othersOfItsDomainGoOn() {
        Endpoint other = m.plug(2);
        attachAndMap();
        m.attach(2, 7);

        unplug();

        assertThat(m.read(m.dma(other), 0)).isEqualTo(Machine.byteAt(RAM));
        assertThat(m.iommu.domainCount()).isEqualTo(1);
        assertThat(m.map(7, 0x1000, 0x1fff, RAM + 0x1000, READ)).isEqualTo(Status.OK);
        assertThat(m.read(m.dma(other), 0x1000)).isEqualTo(Machine.byteAt(RAM + 0x1000));
    }

    @Test
    void itReachesNothingNotEvenByBypass() {
        m.iommu.bypass(true);
        Dma dma = m.dma(endpoint);
        assertThat(m.access(dma, RAM, Access.READ)).isEqualTo(Outcome.OK);

        unplug();

        assertThat(m.access(dma, RAM, Access.READ)).isEqualTo(Outcome.FAULT);
        assertThat(m.faults.recent().getLast().explanation())
                .isEqualTo("the endpoint has been unplugged");
    }

    @Test
    void itWaitsForTheSectionThatIsOpenAndIsNotAskedForMeanwhile() {
        attachAndMap();
        Guard reader = m.guards.open();
        reader.enter();

        unplug();

        assertThat(told).isEmpty();
        assertThat(m.iommu.endpoint(1)).isNull();
        assertThat(m.attach(1, 7)).isEqualTo(Status.NOENT);
        assertThat(m.detach(1, 7)).isEqualTo(Status.NOENT);
        assertThatThrownBy(() -> m.plug(1)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(this::unplug).isInstanceOf(IllegalStateException.class);
        reader.leave();
        m.guards.poll();
        assertThat(told).containsExactly("gone");
        assertThat(m.plug(1)).isNotNull();
    }

    @Test
    void itWaitsForWhatItDoesByBypass() {
        m.iommu.bypass(true);
        Lease lease = m.pin(m.dma(endpoint), RAM, 1);

        unplug();

        assertThat(told).isEmpty();
        lease.close();
        m.guards.poll();
        assertThat(told).containsExactly("gone");
    }

    @Test
    void anEndpointOfAnotherIommuIsRefused() {
        Endpoint other = new Machine(Machine.STRICT).plug(1);

        assertThatThrownBy(() -> m.iommu.unplug(other, () -> {}))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("0x1");
        assertThat(m.iommu.endpoint(1)).isSameAs(endpoint);
    }

    @Test
    void itWaitsForALeaseUntilItsDeadline() {
        attachAndMap();
        Dma dma = m.dma(endpoint);
        Lease lease = requireNonNull(dma.pin(0, 1, Access.READ, m.clock.getAsLong() + 100));

        unplug();

        assertThat(told).isEmpty();
        m.clock.advance(99);
        m.guards.poll();
        assertThat(told).isEmpty();
        m.clock.advance(1);
        m.guards.poll();
        assertThat(told).containsExactly("gone");
        assertThat(lease.isRevoked()).isTrue();
    }

    @Test
    void aResetMeanwhileDoesNotForgetIt() {
        attachAndMap();
        Lease lease = m.pin(m.dma(endpoint), 0, 1);
        m.iommu.unplug(endpoint, () -> told.add("gone, lease revoked: " + lease.isRevoked()));
        assertThat(told).isEmpty();

        m.reset();
        lease.close();
        m.guards.poll();

        assertThat(told).containsExactly("gone, lease revoked: true");
        assertThat(m.plug(1)).isNotNull();
    }

    @Test
    void aResetEndsItsWaitForAListener() {
        List<DomainListener.Answer> owed = new ArrayList<>();
        m.iommu.listen(endpoint.attachment(), new LateListener(owed));
        m.attach(1, 7);
        m.requests.map(7, 0, 0xfff, RAM, READ, new Replies.One());
        unplug();
        assertThat(told).isEmpty();

        m.reset();

        assertThat(told).containsExactly("gone");
        assertThat(m.plug(1)).isNotNull();
    }

    @Test
    void itTakesItsTurnBehindAListenersAnswer() {
        List<DomainListener.Answer> owed = new ArrayList<>();
        m.iommu.listen(endpoint.attachment(), new LateListener(owed));
        m.attach(1, 7);
        Replies replies = new Replies();
        m.requests.map(7, 0, 0xfff, RAM, READ, replies.as("map"));

        unplug();

        assertThat(told).isEmpty();
        assertThat(owed).as("asked one thing at a time").hasSize(1);
        owed.removeFirst().ok();
        assertThat(replies.all()).containsExactly("map=OK");
        assertThat(told).as("the listener is to give up the mapping").isEmpty();
        owed.removeFirst().ok();
        assertThat(told).containsExactly("gone");
    }

    @Test
    void itIsGoneWhenAListenerRefusesWhatItWasAboutToBeAttachedTo() {
        List<DomainListener.Answer> owed = new ArrayList<>();
        m.iommu.listen(endpoint.attachment(), new LateListener(owed));
        m.plug(2);
        m.attach(2, 7);
        m.map(7, 0, 0xfff, RAM, READ);
        Replies replies = new Replies();
        m.requests.attach(1, 7, false, replies.as("attach"));
        assertThat(owed).hasSize(1);

        unplug();

        assertThat(told).isEmpty();
        owed.removeFirst().refused(Status.NOMEM);
        assertThat(replies.all()).containsExactly("attach=NOMEM");
        assertThat(told).containsExactly("gone");
        assertThat(m.plug(1)).isNotNull();
    }

    /** Owes an answer from its first mapping on. */
    private static final class LateListener implements DomainListener {
        private final List<Answer> owed;
        private boolean isLate;

        LateListener(List<Answer> owed) {
            this.owed = owed;
        }

        @Override
        public void begin() {}

        @Override
        public void translation(Kind kind) {}

        @Override
        public void mapped(long first, long last, long output, int flags) {
            isLate = true;
        }

        @Override
        public void unmapped(long first, long last) {}

        @Override
        public void commit(Answer answer) {
            if (isLate) {
                owed.add(answer);
            } else {
                answer.ok();
            }
        }
    }
}
