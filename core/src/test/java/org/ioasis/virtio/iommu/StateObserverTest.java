// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VirtioIommu.CONFIG_BYPASS;
import static org.ioasis.spec.VirtioIommu.MAP_F_READ;
import static org.ioasis.spec.VirtioIommu.TAIL_SIZE;
import static org.ioasis.virtio.iommu.Driver.attach;
import static org.ioasis.virtio.iommu.Driver.detach;
import static org.ioasis.virtio.iommu.Driver.map;
import static org.ioasis.virtio.iommu.Driver.probe;
import static org.ioasis.virtio.iommu.Driver.unmap;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.Status;
import org.ioasis.memory.Dma;
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
        d.type.observeState(
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
