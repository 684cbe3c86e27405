// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Objects by id, beside a HashMap. */
class IdMapTest {
    private final IdMap<String> map = new IdMap<>();

    @Test
    void behavesAsAHashMapDoes() {
        long seed = 99;
        SplittableRandom random = new SplittableRandom(seed);
        for (int round = 0; round < 60; round++) {
            IdMap<String> ids = new IdMap<>();
            Map<Integer, String> model = new HashMap<>();
            // Few ids collide in every way; the stride makes clusters.
            int space = random.nextInt(4, 200);
            int stride = random.nextInt();
            for (int step = 0; step < 2000; step++) {
                int id = random.nextInt(space) * stride;
                if (random.nextInt(5) < 2) {
                    if (!model.containsKey(id)) {
                        model.put(id, "v" + id);
                        ids.put(id, "v" + id);
                    }
                } else if (random.nextBoolean()) {
                    model.remove(id);
                    ids.remove(id);
                }
                assertThat(ids.get(id)).as("seed %d step %d", seed, step).isEqualTo(model.get(id));
                assertThat(ids.size()).isEqualTo(model.size());
            }
            for (int i = 0; i < space; i++) {
                assertThat(ids.get(i * stride)).isEqualTo(model.get(i * stride));
            }
            List<String> seen = new ArrayList<>();
            ids.forEach(seen::add);
            assertThat(seen).containsExactlyInAnyOrderElementsOf(model.values());
        }
    }

    @Test
    void growsBeyondItsFirstSizeAndForgetsAtOnce() {
        for (int i = 0; i < 1000; i++) {
            map.put(i << 16, "x" + i);
        }
        assertThat(map.size()).isEqualTo(1000);
        assertThat(map.get(999 << 16)).isEqualTo("x999");

        map.clear();

        assertThat(map.size()).isZero();
        assertThat(map.get(0)).isNull();
    }

    @Test
    void visitorsMayRemove() {
        for (int i = 0; i < 50; i++) {
            map.put(i, "" + i);
        }

        map.forEach(value -> map.remove(Integer.parseInt(value)));

        assertThat(map.size()).isZero();
    }
}
