// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.CONFIG_BYPASS;
import static org.ioasis.spec.VirtioIommu.F_BYPASS;
import static org.ioasis.spec.VirtioIommu.F_BYPASS_CONFIG;
import static org.ioasis.spec.VirtioIommu.MAP_F_READ;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.unmap;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.memory.Outcome;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Who observes the state sees each change when it is made, whenever it is answered. */
final class StateObserverTest {
    private final Driver d = Driver.started();
    private final Dma dma = d.plug(1);
    private final List<String> seen = new ArrayList<>();

    @BeforeEach
    void observe() {
        observe(d);
    }

    private void observe(Driver driver) {
        driver.type.observeState(
                new StateObserver() {
                    @Override
                    public void decided(
                            RequestType type,
                            int endpoint,
                            int domain,
                            long first,
                            long last,
                            long output,
                            int flags,
                            Status status,
                            @Nullable Refusal refusal) {
                        seen.add(
                                "%s %d %d 0x%x 0x%x 0x%x %d %s %s"
                                        .formatted(
                                                type, endpoint, domain, first, last, output, flags,
                                                status, refusal));
                    }

                    @Override
                    public void bypass(boolean isBypassing) {
                        seen.add("bypass " + isBypassing);
                    }

                    @Override
                    public void reset(boolean isMachine) {
                        seen.add("reset " + isMachine);
                    }
                });
    }

    @Test
    void requestsAreToldWithTheirAnswersAndWhy() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, 0x5000, MAP_F_READ));
        d.status(map(7, 0x1000, 0x2fff, 0x5000, MAP_F_READ));
        d.status(probe(1));
        d.status(unmap(7, 0x1000, 0x1fff));
        d.status(detach(1, 7));
        d.status(detach(1, 7));

        assertThat(seen)
                .containsExactly(
                        "ATTACH 1 7 0x0 0x0 0x0 0 OK null",
                        "MAP 0 7 0x1000 0x1fff 0x5000 1 OK null",
                        "MAP 0 7 0x1000 0x2fff 0x5000 1 INVAL OVERLAPS",
                        "UNMAP 0 7 0x1000 0x1fff 0x0 0 OK null",
                        "DETACH 1 7 0x0 0x0 0x0 0 OK null",
                        "DETACH 1 7 0x0 0x0 0x0 0 INVAL NOT_ATTACHED");
    }

    @Test
    void anUnmapIsToldWhenItIsDoneAndNotWhenItIsAnswered() {
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, 0x5000, MAP_F_READ));
        seen.clear();
        // One batch: the UNMAP waits for its end, and what was mapped there is mapped anew before.
        d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        d.send(map(7, 0x1000, 0x1fff, 0x6000, MAP_F_READ), TAIL_SIZE);
        d.kick();

        assertThat(seen)
                .containsExactly(
                        "UNMAP 0 7 0x1000 0x1fff 0x0 0 OK null",
                        "MAP 0 7 0x1000 0x1fff 0x6000 1 OK null");
        assertThat(dma).isNotNull();
    }

    @Test
    void anUnmapWhoseAnswerIsPlantedToComeLateIsToldOnce() {
        List<Runnable> later = new ArrayList<>();
        d.type.inject(new Injection.UnmapDelay(50), (task, _) -> later.add(task));
        d.status(attach(1, 7, 0));
        d.status(map(7, 0x1000, 0x2fff, 0x5000, MAP_F_READ));
        seen.clear();
        d.send(unmap(7, 0x1000, 0x2fff), TAIL_SIZE);
        d.send(map(7, 0x1000, 0x2fff, 0x6000, MAP_F_READ), TAIL_SIZE);
        d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        d.kick();
        later.forEach(Runnable::run);

        assertThat(later).isNotEmpty();
        assertThat(seen)
                .containsExactly(
                        "UNMAP 0 7 0x1000 0x2fff 0x0 0 OK null",
                        "MAP 0 7 0x1000 0x2fff 0x6000 1 OK null",
                        "UNMAP 0 7 0x1000 0x1fff 0x0 0 RANGE CUTS");
    }

    /** Answers when it is told to, each batch with the next of its answers. */
    private static final class Slow implements DomainListener {
        private final Deque<Answer> owed = new ArrayDeque<>();
        private boolean isSlow;

        @Override
        public void begin() {
            // Only the answers matter.
        }

        @Override
        public void translation(Kind kind) {
            // Likewise.
        }

        @Override
        public void mapped(long first, long last, long output, int flags) {
            // Likewise.
        }

        @Override
        public void unmapped(long first, long last) {
            // Likewise.
        }

        @Override
        public void commit(Answer answer) {
            if (isSlow) {
                owed.add(answer);
            } else {
                answer.ok();
            }
        }
    }

    private Slow listener() {
        Slow slow = new Slow();
        d.plug(2);
        d.iommu.listen(requireNonNull(d.iommu.endpoint(2)).attachment(), slow);
        return slow;
    }

    @Test
    void anUnmapThatAListenerAnswersLateIsToldWhenTheMappingIsGone() {
        Slow slow = listener();
        d.status(attach(1, 7, 0));
        d.status(attach(2, 7, 0));
        d.status(map(7, 0x1000, 0x1fff, 0x5000, MAP_F_READ));
        seen.clear();
        slow.isSlow = true;
        d.send(unmap(7, 0x1000, 0x1fff), TAIL_SIZE);
        d.kick();

        assertThat(d.answer()).isNull();
        dma.enter();
        assertThat(dma.peek(0x1000, 1)).isEqualTo(Outcome.FAULT);
        dma.leave();
        assertThat(seen).containsExactly("UNMAP 0 7 0x1000 0x1fff 0x0 0 OK null");

        slow.owed.remove().ok();
        d.turn();
        assertThat(requireNonNull(d.answer()).status()).isEqualTo(S_OK);
        assertThat(seen).hasSize(1);
    }

    @Test
    void anAttachThatLosesWhatWasThereIsToldAsTheDetachThatItBecomes() {
        Slow slow = listener();
        d.status(attach(2, 7, 0));
        seen.clear();
        slow.isSlow = true;
        d.send(attach(2, 8, 0), TAIL_SIZE);
        d.send(attach(2, 9, 0), TAIL_SIZE);
        d.kick();
        slow.owed.remove().lost();
        assertThat(seen).as("it is still attached").isEmpty();
        slow.owed.remove().ok();
        assertThat(seen)
                .containsExactly(
                        "DETACH 2 7 0x0 0x0 0x0 0 OK null", "ATTACH 2 8 0x0 0x0 0x0 0 DEVERR null");
        // The next one has nothing to lose, and one that is refused changes nothing.
        slow.owed.remove().refused(Status.DEVERR);
        d.turn();

        assertThat(seen).hasSize(3).last().isEqualTo("ATTACH 2 9 0x0 0x0 0x0 0 DEVERR null");
    }

    @Test
    void aDetachOfManyPasidsIsToldWhenTheLastIsOut() {
        Driver other = Driver.of(Driver.OPTIONS, Profile.TABLES_2023);
        other.plug(1);
        other.start(other.type.features());
        observe(other);
        GuestTable table = new GuestTable(other.bytes(Driver.DMA), Driver.DMA, Driver.DMA);
        assertThat(other.status(table.attach(1, 3, 5))).isEqualTo(S_OK);
        assertThat(other.status(table.attach(1, 3, 6))).isEqualTo(S_OK);
        seen.clear();
        Guard busy = other.guards.open();
        busy.enter();
        other.send(detach(1, 3), TAIL_SIZE);
        other.kick();

        assertThat(other.answer()).isNull();
        assertThat(seen).containsExactly("DETACH 1 3 0x0 0x0 0x0 0 OK null");
        busy.leave();
        int _ = other.guards.poll();
        other.turn();
        assertThat(requireNonNull(other.answer()).status()).isEqualTo(S_OK);
        assertThat(seen).hasSize(1);
    }

    @Test
    void theOldWayToBypassIsToldToo() {
        Driver old =
                new Driver(
                        Driver.OPTIONS.toBuilder().bypassAtStart(true).build(),
                        (VirtioIommuDevice.FEATURES & ~F_BYPASS_CONFIG) | F_BYPASS);
        observe(old);
        assertThat(seen).as("whatever the options say").containsExactly("bypass false");
        old.start(old.type.features());
        assertThat(seen).hasSize(2).last().isEqualTo("bypass true");
        old.device.writeStatus(0);
        old.start(old.type.features() & ~F_BYPASS);
        old.device.systemReset();

        assertThat(seen.subList(2, seen.size()))
                .containsExactly("bypass false", "reset false", "reset true", "bypass false");
    }

    @Test
    void bypassAndResetsAreTold() {
        d.type.writeConfig(CONFIG_BYPASS, 1, 1);
        d.type.writeConfig(CONFIG_BYPASS, 1, 0);
        d.type.writeConfig(CONFIG_BYPASS, 1, 2); // no value of it
        d.type.systemReset();
        d.type.reset();

        assertThat(seen)
                .containsExactly("bypass true", "bypass false", "reset true", "reset false");
    }
}
