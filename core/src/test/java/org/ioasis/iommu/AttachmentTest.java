// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.ioasis.iommu.Machine.RAM;
import static org.ioasis.iommu.Machine.byteAt;
import static org.ioasis.iommu.mapping.MapFlags.READ;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Lease;
import org.ioasis.memory.Outcome;
import org.junit.jupiter.api.Test;

/** Address spaces of an endpoint: with a PASID each, and without. */
class AttachmentTest {
    private static final int PASID = 5;

    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint endpoint = m.plug(1);
    private final Attachment pasid = requireNonNull(endpoint.open(PASID));
    private final Dma plain = m.dma(endpoint);
    private final Dma tagged = m.iommu.dma(pasid, m.memory, m.guard);
    private final List<String> told = new ArrayList<>();

    private PagingDomain attached(Attachment attachment, int id, long output) {
        PagingDomain domain = m.iommu.pagingDomain(id);
        Replies.One attach = new Replies.One();
        m.iommu.attach(attachment, domain, attach);
        assertThat(attach.status()).isEqualTo(Status.OK);
        Replies.One map = new Replies.One();
        domain.map(0, 0xfff, output, READ, map);
        assertThat(map.status()).isEqualTo(Status.OK);
        return domain;
    }

    @Test
    void eachPasidReachesWhatItsOwnDomainMaps() {
        attached(endpoint.attachment(), 7, RAM);
        attached(pasid, 8, RAM + 0x1000);

        assertThat(m.read(plain, 0)).isEqualTo(byteAt(RAM));
        assertThat(m.read(tagged, 0)).isEqualTo(byteAt(RAM + 0x1000));
        assertThat(m.read(tagged, 1)).isEqualTo(byteAt(RAM + 0x1001));
        assertThat(endpoint.attachment().counts().translations()).isEqualTo(1);
        assertThat(pasid.counts().translations()).isEqualTo(2);
        assertThat(endpoint.attachment(PASID)).isSameAs(pasid);
    }

    @Test
    void aFaultSaysThePasidAndWhatRefused() {
        attached(pasid, 8, RAM);

        assertThat(m.read(tagged, 0x5000)).isEqualTo(Outcome.FAULT);
        assertThat(m.read(plain, 0x5000)).isEqualTo(Outcome.FAULT);

        List<Fault> faults = m.faults.waiting();
        assertThat(faults).hasSize(2);
        assertThat(faults.getFirst().pasid()).isEqualTo(PASID);
        assertThat(faults.getFirst().kind()).isEqualTo(Kind.MAPPED);
        assertThat(faults.getLast().pasid()).isEqualTo(Attachment.NO_PASID);
        assertThat(faults.getLast().kind()).isEqualTo(Kind.BLOCKED);
    }

    @Test
    void aPasidThatIsAttachedToNothingIsBlockedWhateverBypassSays() {
        m.iommu.bypass(true);

        assertThat(m.read(plain, RAM)).isEqualTo(byteAt(RAM));
        assertThat(m.read(tagged, RAM)).isEqualTo(Outcome.FAULT);

        assertThat(m.faults.recent().getLast().explanation())
                .isEqualTo("its PASID 5 is attached to no domain");
    }

    @Test
    void movingOneAddressSpaceDoesNotWaitForLeasesOfAnother() {
        attached(endpoint.attachment(), 7, RAM);
        attached(pasid, 8, RAM);
        Lease lease = m.pin(plain, 0, 1);
        Replies replies = new Replies();

        m.iommu.detach(pasid, replies.as("pasid"));
        m.iommu.detach(endpoint.attachment(), replies.as("plain"));

        assertThat(replies.all()).containsExactly("pasid=OK");
        lease.close();
        m.guards.poll();
        assertThat(replies.all()).containsExactly("pasid=OK", "plain=OK");
    }

    @Test
    void anEndpointIsGoneWhenAllItsAddressSpacesAre() {
        attached(endpoint.attachment(), 7, RAM);
        attached(pasid, 8, RAM);
        Lease lease = m.pin(tagged, 0, 1);

        m.iommu.unplug(endpoint, () -> told.add("gone"));

        assertThat(told).isEmpty();
        lease.close();
        m.guards.poll();
        assertThat(told).containsExactly("gone");
        assertThat(m.read(tagged, 0)).isEqualTo(Outcome.FAULT);
        assertThat(m.read(plain, 0)).isEqualTo(Outcome.FAULT);
    }

    @Test
    void anEndpointIsGoneHoweverManyAddressSpacesItHas() {
        Domain shared = m.iommu.identityDomain(9);
        m.iommu.attach(pasid, shared, new Replies.One());
        for (int i = 1; i < Endpoint.PASID_LIMIT; i++) {
            Attachment opened = requireNonNull(endpoint.open(0x1000 + i));
            m.iommu.attach(opened, shared, new Replies.One());
        }
        assertThat(shared.attachments()).hasSize(Endpoint.PASID_LIMIT);

        m.iommu.unplug(endpoint, () -> told.add("gone"));

        assertThat(told).containsExactly("gone");
        assertThat(shared.attachments()).isEmpty();
        assertThat(m.iommu.endpoint(1)).isNull();
    }

    @Test
    void aResetDetachesEveryAddressSpace() {
        attached(pasid, 8, RAM);

        m.reset();

        assertThat(pasid.domain()).isNull();
        assertThat(m.read(tagged, 0)).isEqualTo(Outcome.FAULT);
        assertThat(m.iommu.mappingCount()).isZero();
    }

    @Test
    void atTheLimitOfPasidsNoneIsOpenedUntilOneIsClosed() {
        for (int i = 1; i < Endpoint.PASID_LIMIT; i++) {
            assertThat(endpoint.open(0x1000 + i)).isNotNull();
        }

        assertThat(endpoint.open(1)).isNull();

        assertThat(endpoint.pasidCount()).isEqualTo(Endpoint.PASID_LIMIT);
        endpoint.close(pasid);
        assertThat(endpoint.open(1)).isNotNull();
    }

    @Test
    void whatIsAttachedIsNotClosed() {
        attached(pasid, 8, RAM);

        assertThatThrownBy(() -> endpoint.close(pasid)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> endpoint.open(PASID)).isInstanceOf(IllegalArgumentException.class);
    }
}
