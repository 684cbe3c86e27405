// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.*;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.TableListener;
import org.ioasis.iommu.VtdTable;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Tables of a driver for an endpoint whose accesses somebody else carries out, who listens. */
class ListenedTablesTest {
    private static final int ENDPOINT = 1;
    private static final int OTHER = 2;
    private static final int DOMAIN = 3;
    private static final long IOVA = 0x7f00_0000_0000L;

    private final Driver d = Driver.of(Driver.OPTIONS, Profile.TABLES_2023);
    private final GuestTable table = new GuestTable(d.bytes(Driver.DMA), Driver.DMA, Driver.DMA);
    private final Walks walks = new Walks();

    /** Writes down what it hears. */
    static final class Walks implements TableListener {
        private final List<String> heard = new ArrayList<>();
        private final Deque<Answer> owed = new ArrayDeque<>();
        private boolean isLate;
        private Status refusal = Status.OK;

        @Override
        public void begin() {
            heard.add("begin");
        }

        @Override
        public void translation(Kind kind) {
            heard.add(kind.toString());
        }

        @Override
        public void table(VtdTable table) {
            heard.add("table 0x%x of %d bits".formatted(table.root(), table.width()));
        }

        @Override
        public void invalidated(long first, long last) {
            heard.add("0x%x..0x%x".formatted(first, last));
        }

        @Override
        public void mapped(long first, long last, long output, int flags) {
            heard.add("mapped");
        }

        @Override
        public void unmapped(long first, long last) {
            heard.add("unmapped");
        }

        @Override
        public void commit(Answer answer) {
            if (isLate) {
                owed.add(answer);
            } else if (refusal != Status.OK) {
                answer.refused(refusal);
            } else {
                answer.ok();
            }
        }

        List<String> take() {
            List<String> taken = List.copyOf(heard);
            heard.clear();
            return taken;
        }
    }

    ListenedTablesTest() {
        d.plug(ENDPOINT);
        d.plug(OTHER);
        d.iommu.listen(requireNonNull(d.iommu.endpoint(ENDPOINT)).attachment(), walks);
        walks.heard.clear();
        d.start(d.type.features());
    }

    @Test
    @Tag("H-17")
    void whoListensHearsOfTheTableAndOfItsEnd() {
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(walks.take()).containsExactly("begin", "WALKED", "table 0xc00000 of 48 bits");
        assertThat(d.status(table.attach(OTHER, DOMAIN))).as("a plain one").isEqualTo(S_OK);
        assertThat(walks.take()).isEmpty();
        assertThat(d.status(Driver.detach(ENDPOINT, DOMAIN))).isEqualTo(S_OK);
        assertThat(walks.take()).containsExactly("begin", "BLOCKED");
        assertThat(d.status(GuestTable.invalidate(DOMAIN))).isEqualTo(S_OK);
        assertThat(walks.take()).as("nothing of it is its own any more").isEmpty();
    }

    @Test
    @Tag("H-17")
    void anInvalidateIsAnsweredWhenWhoListensHasForgotten() {
        d.status(table.attach(ENDPOINT, DOMAIN));
        walks.take();
        walks.isLate = true;
        d.send(GuestTable.invalidate(DOMAIN, IOVA, 2), TAIL_SIZE);
        d.send(GuestTable.invalidate(DOMAIN), TAIL_SIZE);
        d.kick();
        assertThat(d.answer()).isNull();
        assertThat(walks.take()).containsExactly("begin", "0x7f0000000000..0x7f0000001fff");
        assertThat(walks.owed).hasSize(1);

        walks.owed.remove().ok();
        d.turn();

        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(d.answer()).as("the other is behind it").isNull();
        assertThat(walks.take()).containsExactly("begin", "0x0..0xffffffffffffffff");
        walks.owed.remove().ok();
        d.turn();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
    }

    @Test
    @Tag("H-17")
    void whatWhoListensRefusesIsRefusedToTheDriver() {
        walks.refusal = Status.NOMEM;
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN))).isEqualTo(S_NOMEM);
        assertThat(d.iommu.domainCount()).isZero();
        assertThat(requireNonNull(d.iommu.endpoint(ENDPOINT)).isAttached()).isFalse();
    }

    @Test
    @Tag("H-17")
    void probeTellsOfNoPasidsAndNoPageRequestsThereAndAPasidIsUnsupp() {
        byte[] here = properties(OTHER);
        byte[] there = properties(ENDPOINT);
        List<Integer> differ = new ArrayList<>();
        for (int i = 0; i < here.length; i++) {
            if (here[i] != there[i]) {
                differ.add(i);
            }
        }
        // Bits of a PASID, and two bits of what the registers say.
        assertThat(differ).containsExactly(52, 75, 77);
        assertThat(there[52]).isZero();
        assertThat(here[75] ^ there[75]).as("page requests").isEqualTo(1 << 29 >>> 24);
        assertThat(here[77] ^ there[77]).as("PASIDs").isEqualTo(1);
        assertThat(d.status(table.attach(ENDPOINT, DOMAIN, 5))).isEqualTo(S_UNSUPP);
        assertThat(requireNonNull(d.iommu.endpoint(ENDPOINT)).pasidCount()).isZero();
        assertThat(walks.take()).isEmpty();
    }

    private byte[] properties(int endpoint) {
        Driver.Answer answer = d.ask(Driver.probe(endpoint), 516);
        assertThat(answer.status()).isEqualTo(S_OK);
        return Arrays.copyOf(answer.bytes(), 512);
    }

    @Test
    @Tag("H-17")
    void aResetTakesTheTableAwayThereToo() {
        d.status(table.attach(ENDPOINT, DOMAIN));
        walks.take();
        d.device.writeStatus(0);
        assertThat(walks.take()).containsExactly("begin", "BLOCKED");
    }
}
