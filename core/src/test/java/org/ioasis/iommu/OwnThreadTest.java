// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * What belongs to the machine's loop says so when another thread calls it. Assertions are on in
 * tests and off in production.
 */
class OwnThreadTest {
    private final CountDownLatch end = new CountDownLatch(1);
    private final Machine m = new Machine(Machine.STRICT);
    private final Endpoint endpoint = m.plug(1);
    private final PagingDomain domain = m.iommu.pagingDomain(1);

    @AfterEach
    void endLoop() {
        end.countDown();
    }

    /** A loop that claims the machine and lives until the test is over. */
    private void startLoop() throws InterruptedException {
        CountDownLatch begun = new CountDownLatch(1);
        Thread.ofPlatform()
                .daemon()
                .start(() -> {
                    m.guards.claim();
                    begun.countDown();
                    try {
                        end.await();
                    } catch (InterruptedException e) {
                        throw new AssertionError(e);
                    }
                });
        begun.await();
    }

    @Test
    void engineAndMemoryAreChangedByTheLoopAlone() throws Exception {
        startLoop();
        Iommu iommu = m.iommu;
        Map<String, Runnable> calls = new LinkedHashMap<>();
        calls.put("plug", () -> iommu.plug(2, EndpointProperties.UNLIMITED));
        calls.put("unplug", () -> iommu.unplug(endpoint, () -> {}));
        calls.put("bypass", () -> iommu.bypass(false));
        calls.put("pagingDomain", () -> iommu.pagingDomain(2));
        calls.put("identityDomain", () -> iommu.identityDomain(2));
        calls.put("dma", () -> iommu.dma(endpoint, m.memory, m.guard));
        calls.put("beginBatch", iommu::beginBatch);
        calls.put("endBatch", iommu::endBatch);
        calls.put("whenSettled", () -> iommu.whenSettled(() -> {}));
        calls.put("attach", () -> iommu.attach(endpoint.attachment(), domain, _ -> {}));
        calls.put("detach", () -> iommu.detach(endpoint.attachment(), _ -> {}));
        calls.put("map", () -> domain.map(0, 0xfff, 0, 1, _ -> {}));
        calls.put("unmap", () -> domain.unmap(0, 0xfff, _ -> {}));
        calls.put("reset", () -> iommu.reset(() -> {}));
        calls.put("systemReset", () -> iommu.systemReset(() -> {}));

        calls.put(
                "memory.remove",
                () -> m.memory.remove(Machine.RAM, Machine.RAM + Machine.RAM_SIZE - 1, () -> {}));

        List<String> unnoticed = new ArrayList<>();
        calls.forEach((name, call) -> {
            if (!(catchThrowable(call::run) instanceof AssertionError)) {
                unnoticed.add(name);
            }
        });
        assertThat(unnoticed).isEmpty();
    }
}
